"""Microscopy image transformation with global attention: AEANet and GVTNet in Keras 3.

Importing the package is cheap: the names below are resolved on first use, so that neither TensorFlow nor
CSBDeep is loaded before something needs them.
"""

import os

# TensorFlow reads this once, when it is first imported: its start-up messages are not for a user's terminal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

_LAZY = {
    "AEANet": "aeanet_tf.models",
    "AEANetConfig": "aeanet_tf.models",
    "Ensemble": "aeanet_tf.models",
    "ProjectionAEANet": "aeanet_tf.models",
    "ProjectionAEANetConfig": "aeanet_tf.models",
    "SegmentationAEANet": "aeanet_tf.models",
    "SegmentationAEANetConfig": "aeanet_tf.models",
    "SliceInterpolationConfig": "aeanet_tf.models",
    "SliceInterpolationNet": "aeanet_tf.models",
    "build_network": "aeanet_tf.networks",
    "plot_history": "aeanet_tf.models.plots",
    "plot_some": "csbdeep.utils",
    "presets": "aeanet_tf.networks",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name):
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
