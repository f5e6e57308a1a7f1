"""Keras layers of the attention networks. They need Keras and NumPy only and run on any Keras backend."""

from aeanet_tf.layers.attention import GlobalAttention
from aeanet_tf.layers.convolution import Projection, convolution
from aeanet_tf.layers.gvto import GVTO, AEABlock, DownSamplingGVTO, SizePreservingGVTO, UpSamplingGVTO
from aeanet_tf.layers.moments import Moments, context_moments, merge_batch, merge_moments
from aeanet_tf.layers.residual import PreActivation, ResidualBlock

__all__ = [
    "GVTO",
    "AEABlock",
    "DownSamplingGVTO",
    "GlobalAttention",
    "Moments",
    "PreActivation",
    "Projection",
    "ResidualBlock",
    "SizePreservingGVTO",
    "UpSamplingGVTO",
    "context_moments",
    "convolution",
    "merge_batch",
    "merge_moments",
]
