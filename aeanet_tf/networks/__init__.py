"""Networks from specs. They need Keras, NumPy and pydantic only and run on any Keras backend."""

from aeanet_tf.startup import load_backend

load_backend()

# ruff: noqa: E402  the backend comes first
from aeanet_tf.networks.build import PRECISIONS, as_spec, build_network, check_precision
from aeanet_tf.networks.care_spec import CARESpec
from aeanet_tf.networks.graph import NetworkGraph, receptive_radius
from aeanet_tf.networks.presets import presets
from aeanet_tf.networks.spec import (
    AttentionSpec,
    CENetSpec,
    FNetSpec,
    ProjectionSpec,
    SSANSpec,
    SuperResolutionSpec,
    UNetSpec,
    UNetVariantSpec,
)

__all__ = [
    "PRECISIONS",
    "AttentionSpec",
    "CARESpec",
    "CENetSpec",
    "FNetSpec",
    "NetworkGraph",
    "ProjectionSpec",
    "SSANSpec",
    "SuperResolutionSpec",
    "UNetSpec",
    "UNetVariantSpec",
    "as_spec",
    "build_network",
    "check_precision",
    "presets",
    "receptive_radius",
]
