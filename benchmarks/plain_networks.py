"""The networks as one would write them with Keras straight away: what the library's own are measured against.

Keras's layers, attention with queries, keys and values formed for every position, nothing else. `plain_network` takes
over the weights of a network of the library, so that both can be checked to compute the same.
"""

import keras
from keras import ops

from aeanet_tf.errors import InputError

CONVOLUTION = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}
TRANSPOSED = {2: keras.layers.Conv2DTranspose, 3: keras.layers.Conv3DTranspose}


class PlainAttention(keras.layers.Layer):
    """Length-normalised attention as the papers write it: ``Q (K^T V) / n``, with references and batch awareness."""

    def __init__(self, rank, options, filters, size, **kwargs):
        super().__init__(**kwargs)
        self.options, self.filters, self.size = options, filters, size
        table = TRANSPOSED if size == "up" else CONVOLUTION
        # In the order in which the library's operator has its weights, as below.
        self.k, self.v, self.out = (keras.layers.Dense(filters, name=name) for name in ("k", "v", "out"))
        self.q = table[rank](filters, 1 if size == "same" else 3, 1 if size == "same" else 2, padding="same", name="q")

    def build(self, shape):
        self.q.build(shape)
        self.k.build(shape)
        self.v.build(shape)
        self.out.build((None, self.filters))
        if self.options.shared_references:
            self.references = self.add_weight(shape=(1, self.options.shared_references, shape[-1]), name="references")

    def call(self, h, training=None):
        """The operator's output and the query, which residual paths of version 2 add."""
        query, shape = self.q(h), ops.shape(h)
        x = ops.reshape(h, (shape[0], -1, h.shape[-1]))
        q = ops.reshape(query, (shape[0], -1, self.filters))
        if self.options.batch_aware and training:
            half = shape[0] // 2
            group = ops.reshape(x[:half], (1, -1, h.shape[-1]))
            y = ops.concatenate(
                [self._attend(q[:half], group), self._attend(q[half:], self._with_references(x[half:]))]
            )
        else:
            y = self._attend(q, self._with_references(x))
        return ops.reshape(y, ops.shape(query)), query

    def _with_references(self, x):
        if not self.options.shared_references:
            return x
        return ops.concatenate([ops.repeat(self.references, ops.shape(x)[0], axis=0), x], axis=1)

    def _attend(self, q, x):
        q, k, v = (self._heads(t) for t in (q, self.k(x), self.v(x)))
        own = "b" if k.shape[0] != 1 else "a"
        kv = ops.einsum("bnhd,bnhe->bhde", k, v)
        y = ops.einsum("bnhd,bhde->bnhe" if own == "b" else "bnhd,ahde->bnhe", q, kv)
        # The queries of a group of images are those of all of them, as its keys are.
        queries = ops.shape(q)[1] * (1 if own == "b" else ops.shape(q)[0])
        length = ops.shape(k)[1] if self.options.normalization == "key_length" else queries
        y = y * (q.shape[-1] ** -0.5) / ops.cast(length, y.dtype)
        return self.out(ops.reshape(y, (ops.shape(y)[0], -1, self.filters)))

    def _heads(self, x):
        heads = self.options.num_heads
        return ops.reshape(x, (ops.shape(x)[0], -1, heads, x.shape[-1] // heads))


def plain_network(spec, network=None):
    """The U-Net of a `UNetSpec`, as `aeanet_tf.networks.unet` describes it, in plain Keras.

    Args:
        spec: a `UNetSpec` without learned query and scale; residual paths of attention of version 2, keys and values
            of the output's channels.
        network: of `build_network` for the same spec, whose weights are taken over.

    Raises:
        InputError: a spec that it does not know.
    """
    if spec.probabilistic or spec.last_activation != "linear" or not _is_plain(spec):
        raise InputError("network: expected no scale, no last activation, and attention by length of version 2")
    image = keras.Input((*(None,) * spec.dimension, spec.in_channels))
    x = _convolution(spec, image, spec.filters(0), 3)
    skips = []
    for level in range(spec.depth):
        if level:
            skips.append(x)
            x = _downsampling(spec, x, spec.downsamplings[level - 1], spec.filters(level))
        for _ in range(spec.encoding_blocks[level]):
            x = _residual(spec, x, spec.filters(level))
    for kind in spec.bottom:
        block = _attention if kind == "attention" else _residual
        x = block(spec, x, spec.filters(spec.depth - 1))
    levels = reversed(range(spec.depth - 1))
    for level, count, kind in zip(levels, spec.decoding_blocks, spec.upsamplings, strict=True):
        x = _upsampling(spec, x, kind, spec.filters(level))
        join = keras.layers.Concatenate if spec.skip == "concat" else keras.layers.Add
        x = join()([x, skips.pop()])
        for _ in range(count):
            x = _residual(spec, x, spec.filters(level))
    x = _convolution(spec, _preactivation(spec, x), spec.out_channels, spec.output_kernel, use_bias=spec.output_bias)
    plain = keras.Model(image, keras.layers.Add()([x, image]) if spec.output_offset else x)
    if network is not None:
        # A 1x1 query is a matrix there.
        pairs = zip(plain.weights, network.get_weights(), strict=True)
        plain.set_weights([values.reshape(variable.shape) for variable, values in pairs])
    return plain


def _is_plain(spec):
    arguments = [(size, spec.attention_arguments(size, kind)) for _, size, kind in spec.operators]
    versions = {options["residual"] for size, options in arguments if size != "same"}
    widths = {options[name] for _, options in arguments for name in ("key_filters", "value_filters")}
    by_length = spec.attention.query == "input" and spec.attention.normalization != "softmax"
    return by_length and versions <= {"v2"} and widths <= {None}


def _convolution(spec, x, filters, kernel, strides=1, use_bias=False):
    return CONVOLUTION[spec.dimension](filters, kernel, strides, padding="same", use_bias=use_bias)(x)


def _preactivation(spec, x):
    if spec.batch_norm:
        x = keras.layers.BatchNormalization(momentum=spec.momentum, epsilon=spec.epsilon)(x)
    return keras.layers.ReLU(6.0 if spec.activation == "relu6" else None)(x)


def _residual(spec, x, filters, strides=1):
    h = _preactivation(spec, x)
    y = _convolution(spec, h, filters, 3, strides)
    y = _convolution(spec, _preactivation(spec, y), filters, 3)
    shortcut = x
    if x.shape[-1] != filters or strides != 1:
        shortcut = _convolution(spec, h, filters, 1, strides)
    return keras.layers.Add()([y, shortcut])


def _attention(spec, x, filters, size="same"):
    h = _preactivation(spec, x)
    y, query = PlainAttention(spec.dimension, spec.attention, filters, size)(h)
    return keras.layers.Add()([x if size == "same" else query, y])


def _downsampling(spec, x, kind, filters):
    if kind.startswith("attention"):
        return _attention(spec, x, filters, "down")
    if kind == "residual":
        return _residual(spec, x, filters, 2)
    return _convolution(spec, x, filters, 3, 2)


def _upsampling(spec, x, kind, filters):
    if kind.startswith("attention"):
        return _attention(spec, x, filters, "up")
    kernel = spec.upsampling_kernel
    return TRANSPOSED[spec.dimension](filters, kernel, 2, padding="same", use_bias=False)(x)
