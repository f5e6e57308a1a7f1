"""Keras layers of the attention networks. They need Keras and NumPy only and run on any Keras backend.

Examples in the docstrings take ``from keras import ops`` and ``from aeanet_tf.layers import *`` as given.
"""

from aeanet_tf.startup import load_backend

load_backend()

# ruff: noqa: E402  the backend comes first
from aeanet_tf.layers.attention import GlobalAttention
from aeanet_tf.layers.channel_attention import ChannelAttention, GlobalFeatures
from aeanet_tf.layers.context import TakesContext
from aeanet_tf.layers.convolution import Projection, convolution
from aeanet_tf.layers.dilated import DilatedConvolution
from aeanet_tf.layers.gvto import GVTO, AEABlock, DownSamplingGVTO, SizePreservingGVTO, UpSamplingGVTO
from aeanet_tf.layers.moments import Moments, context_moments, merge_batch, merge_moments
from aeanet_tf.layers.preactivation import PreActivation
from aeanet_tf.layers.residual import ResidualBlock
from aeanet_tf.layers.residual_dense import ResidualDenseBlock
from aeanet_tf.layers.sparse_attention import (
    AttentionAwareLayer,
    SparseAttentionUnit,
    attention_factors,
    sparse_factors,
)
from aeanet_tf.layers.up_sampling import CubicUpSampling, DepthToSpace
from aeanet_tf.layers.warping import LocalConvolution, Warp
from aeanet_tf.layers.weightless import (
    BinomialFilter,
    LateralUpSampling,
    MaskBlend,
    OneNeighbour,
    Scale,
    SurfaceProjection,
    SwapNeighbours,
    WeightedMean,
    repeat_lateral,
)

__all__ = [
    "GVTO",
    "AEABlock",
    "AttentionAwareLayer",
    "BinomialFilter",
    "ChannelAttention",
    "CubicUpSampling",
    "DepthToSpace",
    "DilatedConvolution",
    "DownSamplingGVTO",
    "GlobalAttention",
    "GlobalFeatures",
    "LateralUpSampling",
    "LocalConvolution",
    "MaskBlend",
    "Moments",
    "OneNeighbour",
    "PreActivation",
    "Projection",
    "ResidualBlock",
    "ResidualDenseBlock",
    "Scale",
    "SizePreservingGVTO",
    "SparseAttentionUnit",
    "SurfaceProjection",
    "SwapNeighbours",
    "TakesContext",
    "UpSamplingGVTO",
    "Warp",
    "WeightedMean",
    "attention_factors",
    "context_moments",
    "convolution",
    "merge_batch",
    "merge_moments",
    "repeat_lateral",
    "sparse_factors",
]
