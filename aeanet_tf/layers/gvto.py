"""Global voxel transformer operators and AEA blocks: attention with pre-activation and a residual path."""

import keras
from keras import ops

from aeanet_tf.errors import check_choice, expect
from aeanet_tf.layers.attention import GlobalAttention
from aeanet_tf.layers.context import TakesContext
from aeanet_tf.layers.convolution import convolution
from aeanet_tf.layers.moments import context_moments
from aeanet_tf.layers.preactivation import PreActivation
from aeanet_tf.layers.steps import Step


@keras.saving.register_keras_serializable(package="aeanet_tf")
class GVTO(TakesContext, keras.layers.Layer):
    """A global voxel transformer operator (GVTNet paper): ``h = preact(x)``, attention of ``h``, residual path.

    * ``size="same"``: ``y = x + attention(h)``; ``filters`` must equal the channels of ``x``.
    * ``residual="v1"``: ``y = shortcut + attention(h)``, the shortcut a 3x3 (transposed) convolution of ``h`` with
      stride 2 and without bias.
    * ``residual="v2"``: ``y = q + attention(h)``, q the query features before the head scaling; the query then has
      ``filters`` channels, and ``key_filters`` is left out.

    Args:
        filters: output channels.
        size: ``"same"``, ``"down"``, ``"up"`` or ``"up4"``, see `GlobalAttention`. ``up4`` knows ``"v2"`` only.
        residual: ``"v1"`` or ``"v2"``, for changes of size; ignored by ``"same"``.
        num_heads, shared_references, batch_aware, normalization, query, computation, dropout, seed: see
            `GlobalAttention`. The normalisation is by query length, as in GVTNet's program.
        batch_norm, momentum, epsilon, activation: of the pre-activation, see `PreActivation`.
        kernel_initializer: Glorot uniform by default.
        key_filters, value_filters: channels of query and key, and of value; ``filters`` by default.

    Call arguments: ``x`` of shape ``(batch, *spatial, channels)``; ``context``, `Moments` to attend to instead of
    those of ``h``; ``training``.

    Raises:
        ValueError: as `GlobalAttention`; filters or key filters that do not fit what is added to the attention.

    Example:
        >>> tuple(GVTO(8, size="up", residual="v1")(ops.ones((1, 16, 16, 4))).shape)
        (1, 32, 32, 8)
    """

    def __init__(
        self,
        filters,
        size="same",
        residual="v2",
        num_heads=2,
        shared_references=0,
        batch_aware=False,
        normalization="query_length",
        query="input",
        computation=None,
        batch_norm=False,
        momentum=0.997,
        epsilon=1e-5,
        kernel_initializer="glorot_uniform",
        dropout=0.0,
        seed=None,
        key_filters=None,
        value_filters=None,
        activation="relu6",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # As in GlobalAttention: a context stays in float32.
        self.residual = check_choice("residual", residual, ("v1", "v2"))
        weightless = size == "up4" and residual == "v1"
        expect(not weightless, "residual", "'v1' with size='up4'", "'v2': its query carries no weights")
        alike = size == "same" or residual == "v1" or key_filters in (None, filters)
        expect(alike, "key_filters", key_filters, f"{filters}, the channels that the query of 'v2' is added to")
        self.batch_norm = PreActivation(
            batch_norm, momentum, epsilon, activation, dtype=self.dtype_policy, name="batch_norm"
        )
        self.attention = GlobalAttention(
            filters,
            size=size,
            num_heads=num_heads,
            shared_references=shared_references,
            batch_aware=batch_aware,
            normalization=normalization,
            query=query,
            key_filters=key_filters,
            value_filters=value_filters,
            computation=computation,
            kernel_initializer=kernel_initializer,
            dropout=dropout,
            seed=seed,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.projection_shortcut = None

    def build(self, input_shape):
        filters, size = self.attention.filters, self.attention.size
        fits = size != "same" or filters == input_shape[-1]
        expect(fits, "filters", filters, f"{input_shape[-1]}, the channels of the input that is added")
        self.batch_norm.build(input_shape)
        self.attention.build(input_shape)
        if size != "same" and self.residual == "v1":
            options = {"kernel_initializer": self.attention.kernel_initializer.clone(), "dtype": self.dtype_policy}
            options |= {"transposed": size == "up", "name": "projection_shortcut"}
            self.projection_shortcut = convolution(len(input_shape) - 2, filters, 3, strides=2, **options)
            self.projection_shortcut.build(input_shape)

    def call(self, x, context=None, training=None):
        x = ops.cast(x, self.compute_dtype)
        h = self.batch_norm(x, training=training)
        if self.attention.size == "same":
            return x + self.attention(h, context=context, training=training)
        if self.residual == "v1":
            return self.projection_shortcut(h) + self.attention(h, context=context, training=training)
        return self.attention(h, context=context, residual=True, training=training)

    def context_moments(self, x):
        """`Moments` of the features this operator attends to in prediction, references not included."""
        return context_moments(self.batch_norm(x, training=False))

    def receptive_steps(self, axis):
        """See `Pointwise`; attention counts for nothing."""
        size = self.attention.size
        table = {"same": [], "down": [Step("down", 3, 2)], "up": [Step("up", 3, 2)]}
        return table[size] if size in table else [Step("repeat", 4, 4)] * (axis >= -2)

    def compute_output_shape(self, input_shape):
        return self.attention.compute_output_shape(input_shape)

    def get_config(self):
        inner, norm = self.attention.get_config(), self.batch_norm.get_config()
        shared = (
            "filters size num_heads shared_references batch_aware normalization query computation kernel_initializer "
            "dropout seed key_filters value_filters"
        )
        return {
            **super().get_config(),
            "residual": self.residual,
            **{name: inner[name] for name in shared.split()},
            **{name: norm[name] for name in ("batch_norm", "momentum", "epsilon", "activation")},
        }


@keras.saving.register_keras_serializable(package="aeanet_tf")
class AEABlock(GVTO):
    """Augmented equivariant attention block (AEANet paper, section V-A): a `GVTO` with references, batch-aware.

    The same arguments with the paper's defaults: 64 shared references, batch-aware training, normalisation by key
    length, batch normalisation.

    Example:
        >>> block = AEABlock(4)
        >>> tuple(block(ops.ones((2, 16, 16, 4)), training=True).shape), block.attention.shared_references
        ((2, 16, 16, 4), 64)
    """

    def __init__(
        self, filters, shared_references=64, batch_aware=True, normalization="key_length", batch_norm=True, **kwargs
    ):
        super().__init__(
            filters,
            shared_references=shared_references,
            batch_aware=batch_aware,
            normalization=normalization,
            batch_norm=batch_norm,
            **kwargs,
        )


class _FixedSizeGVTO(GVTO):
    _size = None

    def __init__(self, filters, **kwargs):
        size = kwargs.pop("size", self._size)
        expect(size == self._size, "size", repr(size), f"{self._size!r}, that of {type(self).__name__}")
        super().__init__(filters, size=self._size, **kwargs)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SizePreservingGVTO(_FixedSizeGVTO):
    """A `GVTO` with ``size="same"``: ``y = x + attention(preact(x))``.

    Example:
        >>> tuple(SizePreservingGVTO(4)(ops.ones((1, 16, 16, 4))).shape)
        (1, 16, 16, 4)
    """

    _size = "same"


@keras.saving.register_keras_serializable(package="aeanet_tf")
class DownSamplingGVTO(_FixedSizeGVTO):
    """A `GVTO` with ``size="down"``: halves every spatial axis.

    Example:
        >>> tuple(DownSamplingGVTO(8)(ops.ones((1, 16, 16, 4))).shape)
        (1, 8, 8, 8)
    """

    _size = "down"


@keras.saving.register_keras_serializable(package="aeanet_tf")
class UpSamplingGVTO(_FixedSizeGVTO):
    """A `GVTO` with ``size="up"``: doubles every spatial axis.

    Example:
        >>> tuple(UpSamplingGVTO(2)(ops.ones((1, 16, 16, 4))).shape)
        (1, 32, 32, 2)
    """

    _size = "up"
