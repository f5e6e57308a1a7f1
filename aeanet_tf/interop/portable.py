"""A network made of Keras's own layers only: its ``.keras`` file loads where this package is not installed."""

import logging
from collections import Counter
from functools import singledispatch
from pathlib import Path

import keras
import numpy as np
from keras import ops

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.layers import (
    GVTO,
    AttentionAwareLayer,
    BinomialFilter,
    ChannelAttention,
    DilatedConvolution,
    GlobalAttention,
    GlobalFeatures,
    LateralUpSampling,
    MaskBlend,
    PreActivation,
    ResidualBlock,
    ResidualDenseBlock,
    Scale,
    SurfaceProjection,
    SwapNeighbours,
    WeightedMean,
)
from aeanet_tf.layers.weightless import smoothed
from aeanet_tf.networks.keras_internals import applied_nodes, long_chains

logger = logging.getLogger("aeanet_tf")
_AXES = {1: "x", 2: "yx", 3: "zyx"}


def portable_network(model):
    """The prediction of a network as a Keras model that needs nothing of this package.

    Every layer of this package is replaced by Keras's built-in layers and operations, with the weights as they are.
    ``keras.models.load_model`` loads the saved model in its safe mode, in any process that has Keras. Batch-aware
    attention, which acts in training only, is left out: the result is for prediction, not for further training.

    Args:
        model: a functional ``keras.Model`` as `aeanet_tf.networks.build_network` makes it, of any precision policy.

    Returns:
        A functional ``keras.Model`` in float32, of the same name, input and output, not compiled. Names of layers
        begin with those that they stand for.

    Raises:
        TypeError: ``model`` is not functional, or has a layer that is neither Keras's own nor this package's; it is
            named.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise TypeError(f"expected a functional keras.Model as build_network makes it, received {model!r}")
    with long_chains():
        return _portable(model)


def _portable(model):
    # A compiled model would be cloned with its loss, which may be a function of this package.
    bare = keras.Model(model.input, model.output, name=model.name)
    applied = Counter(id(node.operation) for node in applied_nodes(bare))
    shared = {}

    def called(layer, x, **arguments):
        # Keras passes the mask of layers that take one, and to some that they do not train.
        given = [
            name for name, value in arguments.items() if value is not None and (name, value) != ("training", False)
        ]
        if given:
            raise TypeError(f"layer {layer.name}: called with {', '.join(given)}, of which no counterpart is known")
        if applied[id(layer)] == 1:
            return _replaced(layer, x)
        # Applied again it has the same weights, in a model of its own.
        if id(layer) not in shared:
            shared[id(layer)] = _as_model(layer, x)
        return shared[id(layer)](x)

    return keras.models.clone_model(bare, clone_function=lambda layer: layer, call_function=called)


def _as_model(layer, x):
    several = isinstance(x, (list, tuple))
    inputs = [keras.Input(tensor.shape[1:]) for tensor in (x if several else [x])]
    inputs = inputs if several else inputs[0]
    return keras.Model(inputs, _replaced(layer, inputs), name=f"shared.{layer.name}")


@singledispatch
def _replaced(layer, x):
    """What ``layer`` makes of the Keras tensor ``x`` (or list of them), by built-in layers."""
    name = getattr(layer, "name", "?")
    # A Lambda is Keras's own, but is code, which the safe mode does not load.
    if not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda):
        raise TypeError(f"layer {name}: no built-in counterpart of {type(layer).__name__} is known")
    return copied(layer, name, x) if isinstance(layer, keras.layers.Layer) else layer(x)


@_replaced.register
def _pre_activation(layer: PreActivation, x, name=None):
    name = name or layer.name
    if layer.norm is not None:
        x = copied(layer.norm, f"{name}.norm", x)
    largest = {"relu6": 6.0, "relu": None}[layer.activation]
    return keras.layers.ReLU(max_value=largest, name=f"{name}.{layer.activation}", dtype="float32")(x)


@_replaced.register
def _dropout(layer: keras.layers.Dropout, x):
    return x  # Nothing in prediction.


@_replaced.register
def _residual_block(layer: ResidualBlock, x):
    h = _pre_activation(layer.batch_norm_1, x, f"{layer.name}.batch_norm_1")
    shortcut = x
    if layer.projection_shortcut is not None:
        shortcut = copied(layer.projection_shortcut, f"{layer.name}.projection_shortcut", h)
    h = copied(layer.convolution_1, f"{layer.name}.convolution_1", h)
    h = _pre_activation(layer.batch_norm_2, h, f"{layer.name}.batch_norm_2")
    h = copied(layer.convolution_2, f"{layer.name}.convolution_2", h)
    return keras.layers.Add(name=f"{layer.name}.sum", dtype="float32")([shortcut, h])


@_replaced.register
def _residual_dense_block(layer: ResidualDenseBlock, x):
    dense = x
    for i, (convolution, activation) in enumerate(zip(layer.convolutions, layer.activations, strict=True), 1):
        h = copied(convolution, f"{layer.name}.convolution_{i}", dense)
        h = _pre_activation(activation, h, f"{layer.name}.activation_{i}")
        dense = keras.layers.Concatenate(name=f"{layer.name}.dense_{i}", dtype="float32")([dense, h])
    fused = copied(layer.fusion, f"{layer.name}.fusion", dense)
    return keras.layers.Add(name=f"{layer.name}.sum", dtype="float32")([x, fused])


@_replaced.register
def _attention_aware_layer(layer: AttentionAwareLayer, x):
    raise InputError(
        f"network.attention: {layer.kind!r} depends on the size of the image in a way that Keras's own layers cannot "
        "express; "
        "export to Fiji, SavedModel or ONNX, or train with 'aea'"
    )


@_replaced.register
def _channel_attention(layer: ChannelAttention, x):
    share = _of_the_mean(layer, x, "sigmoid")
    return keras.layers.Multiply(name=f"{layer.name}.product", dtype="float32")([x, share])


@_replaced.register
def _global_features(layer: GlobalFeatures, x):
    return ops.add(ops.subtract(_ones(x), 1.0), _of_the_mean(layer, x, "relu"))


def _of_the_mean(layer, x, activation):
    """The vector ``(batch, 1, ..., 1, filters)`` of the mean over all positions."""
    pooling = {4: keras.layers.GlobalAveragePooling2D, 5: keras.layers.GlobalAveragePooling3D}[len(x.shape)]
    v = pooling(keepdims=True, name=f"{layer.name}.mean", dtype="float32")(x)
    for projection, activate in zip(layer.projections, ("relu", activation), strict=True):
        v = _projected(projection, v, f"{layer.name}.{projection.name}")
        v = keras.layers.Activation(activate, name=f"{layer.name}.{projection.name}.{activate}", dtype="float32")(v)
    return v


@_replaced.register
def _dilated_convolution(layer: DilatedConvolution, x):
    kind = {4: keras.layers.Conv2D, 5: keras.layers.Conv3D}[len(x.shape)]
    options = {"padding": "same", "dilation_rate": layer.rate, "name": layer.name, "dtype": "float32"}
    return with_weights(kind(layer.filters, 3, **options), layer.get_weights(), x)


@_replaced.register
def _binomial_filter(layer: BinomialFilter, x):
    for axis in range(1, len(x.shape) - 1):
        x = smoothed(x, axis)
    return x


@_replaced.register
def _swap_neighbours(layer: SwapNeighbours, x):
    half = x.shape[-1] // 2
    return keras.layers.Concatenate(name=layer.name, dtype="float32")([x[..., half:], x[..., :half]])


@_replaced.register
def _mask_blend(layer: MaskBlend, inputs):
    a, b, logits = inputs
    mask = keras.layers.Activation("sigmoid", name=f"{layer.name}.mask", dtype="float32")(logits)
    return ops.add(ops.multiply(mask, ops.subtract(a, b)), b)


@_replaced.register
def _gvto(layer: GVTO, x):
    h = _pre_activation(layer.batch_norm, x, f"{layer.name}.batch_norm")
    name = f"{layer.name}.attention"
    q = query(layer.attention, h, name)
    if layer.attention.size == "same":
        shortcut = x
    elif layer.projection_shortcut is not None:
        shortcut = copied(layer.projection_shortcut, f"{layer.name}.projection_shortcut", h)
    else:
        shortcut = q
    attended = attention(layer.attention, h, q, name)
    return keras.layers.Add(name=f"{layer.name}.sum", dtype="float32")([shortcut, attended])


@_replaced.register
def _global_attention(layer: GlobalAttention, x):
    return attention(layer, x, query(layer, x, layer.name), layer.name)


@_replaced.register
def _lateral_up_sampling(layer: LateralUpSampling, x):
    return repeated(x, layer.name)


@_replaced.register
def _weighted_mean(layer: WeightedMean, inputs):
    weighted = keras.layers.Multiply(name=f"{layer.name}.product", dtype="float32")(inputs)
    return ops.mean(weighted, axis=1)


@_replaced.register
def _surface_projection(layer: SurfaceProjection, inputs):
    logits, stack = inputs
    weights = keras.layers.Softmax(axis=1, name=f"{layer.name}.weights", dtype="float32")(logits)
    weighted = keras.layers.Multiply(name=f"{layer.name}.product", dtype="float32")([weights, stack])
    return ops.sum(weighted, axis=1)


@_replaced.register
def _scale(layer: Scale, x):
    x = keras.layers.Activation("softplus", name=f"{layer.name}.softplus", dtype="float32")(x)
    return ops.add(x, layer.minimum)


def export_keras(model, path):
    """Write the network of a model, for prediction, as a ``.keras`` file.

    The file holds `portable_network`: ``keras.models.load_model(path)`` reads it on any backend, wherever Keras 3 is
    installed.

    Args:
        model: an `AEANet` or one of its siblings.
        path: of the file, which must end with ``.keras``.

    Returns:
        The path written.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: ends with {path.suffix or 'no suffix'}, expected .keras, which Keras asks for")
    network = portable_network(model.keras_model)
    with replacing(path) as temporary:
        network.save(temporary)
    logger.info("%s written, %.1f MB", path, path.stat().st_size / 1e6)
    return path


def query(layer, x, name):
    """The query features of ``x``, as `GlobalAttention.compute_query` has them."""
    if layer.query == "learned":
        size = layer.compute_output_shape(x.shape)[1:-1]
        learned = np.reshape(layer.learned_query, (*size, layer.learned_query.shape[-1]))
        return constant(learned, _one(x), f"{name}.learned_query")
    if layer.size == "up4":
        return repeated(x, f"{name}.query")
    if layer.size == "same":
        return _projected(layer.q_transform, x, f"{name}.q_transform")
    return copied(layer.q_transform, f"{name}.q_transform", x)


def repeated(x, name):
    """Each position of ``x`` four times along its last two spatial axes."""
    if len(x.shape) == 4:
        return keras.layers.UpSampling2D(4, name=name, dtype="float32")(x)
    return keras.layers.UpSampling3D((1, 4, 4), name=name, dtype="float32")(x)


def attention(layer, x, q, name):
    """Attention of query features ``q (batch, *spatial', key channels)`` to ``x (batch, *spatial, channels)`` and the
    shared references, by the built `GlobalAttention` ``layer``, output projection included."""
    return (_by_softmax if layer.normalization == "softmax" else _by_length)(layer, x, q, name)


def _by_length(layer, x, q, name):
    """``q B + bo`` with B from the second moments of ``[x, 1]``, which hold the sums too."""
    axes, heads = _AXES[len(x.shape) - 2], layer.num_heads
    ones = _ones(x)
    augmented = keras.layers.Concatenate(name=f"{name}.with_one", dtype="float32")([x, ones])
    n = _count(ones)
    # Divided before anything is multiplied with it: the sums grow with the image.
    moments = ops.divide(ops.einsum(f"b{axes}c,b{axes}d->bcd", augmented, augmented), ops.expand_dims(n, -1))
    wk, wv = (_by_heads(_with_bias(t), heads) for t in (layer.k_transform, layer.v_transform))
    kv = contraction("bcd,chk->bhkd", wk, moments, f"{name}.k_transform")
    kv = contraction("bhkd,dhv->bhkv", wv, kv, f"{name}.v_transform")
    kv = _normalized(layer, kv, n, q, name)
    wo, bo = (np.asarray(w) for w in layer.out_transform.weights_float32())
    wo = np.reshape(wo, (heads, -1, layer.filters)) * wk.shape[-1] ** -0.5
    matrix = contraction("bhkv,hvf->bhkf", wo, kv, f"{name}.out_transform")
    matrix = keras.layers.Reshape((-1, layer.filters), name=f"{name}.matrix", dtype="float32")(matrix)
    y = ops.einsum(f"b{axes}k,bkf->b{axes}f", q, matrix)
    offset = np.reshape(bo, (*[1] * len(axes), -1))
    return ops.add(y, constant(offset, ops.ones_like(n), f"{name}.out_bias"))


def _normalized(layer, kv, n, q, name):
    """``K^T V`` of image and references by the length asked for, from ``K^T V / n`` of the image."""
    references = layer.shared_references
    by_key = layer.normalization == "key_length"
    if not references and (by_key or layer.size == "same"):
        return kv
    length = ops.add(n, float(references)) if by_key else _count(_ones(q))
    share = ops.divide(n, length)
    kv = ops.multiply(kv, ops.expand_dims(ops.expand_dims(share, -1), -1))
    if not references:
        return kv
    vectors = np.asarray(layer.nl_library, "float64")[0]
    k, v = (
        _by_heads(vectors @ t[:-1] + t[-1], layer.num_heads)
        for t in (_with_bias(layer.k_transform), _with_bias(layer.v_transform))
    )
    own = constant(np.einsum("rhk,rhv->hkv", k, v), ops.divide(ops.ones_like(length), length), f"{name}.nl_library")
    return ops.add(kv, own)


def _by_softmax(layer, x, q, name):
    axes, heads = _AXES[len(x.shape) - 2], layer.num_heads
    kv = []
    for transform in (layer.k_transform, layer.v_transform):
        t = _projected(transform, x, f"{name}.{transform.name}")
        t = keras.layers.Reshape((-1, t.shape[-1]), name=f"{name}.{transform.name}.flat", dtype="float32")(t)
        if layer.shared_references:
            matrix = _with_bias(transform)
            vectors = np.asarray(layer.nl_library, "float64")[0] @ matrix[:-1] + matrix[-1]
            vectors = constant(vectors, _one(x), f"{name}.{transform.name}.nl_library")
            joined = keras.layers.Concatenate(axis=1, name=f"{name}.{transform.name}.joined", dtype="float32")
            t = joined([vectors, t])
        kv.append(ops.split(t, heads, axis=-1))
    q = ops.split(ops.multiply(q, (q.shape[-1] // heads) ** -0.5), heads, axis=-1)
    outputs = []
    for qh, kh, vh in zip(q, *kv, strict=True):
        weights = ops.softmax(ops.einsum(f"b{axes}c,bnc->b{axes}n", qh, kh), axis=-1)
        outputs.append(ops.einsum(f"b{axes}n,bne->b{axes}e", weights, vh))
    y = keras.layers.Concatenate(name=f"{name}.heads", dtype="float32")(outputs) if heads > 1 else outputs[0]
    return _projected(layer.out_transform, y, f"{name}.out_transform")


def _projected(projection, x, name):
    dense = keras.layers.Dense(projection.filters, name=name, dtype="float32")
    return with_weights(dense, [np.asarray(w) for w in projection.weights_float32()], x)


def _with_bias(projection):
    """The matrix of a projection of ``[x, 1]``, in float64."""
    kernel, bias = (np.asarray(w, "float64") for w in projection.weights_float32())
    return np.concatenate([kernel, bias[None]])


def _by_heads(matrix, heads):
    return np.reshape(matrix, (len(matrix), heads, -1))


def _ones(x):
    """Ones of shape ``(batch, *spatial, 1)``. Sizes of images are known only when the model runs."""
    return ops.ones_like(ops.sum(x, axis=-1, keepdims=True))


def _count(ones):
    """The number of positions of each image, shape ``(batch, 1)``."""
    return ops.sum(ones, axis=tuple(range(1, len(ones.shape) - 1)))


def _one(x):
    """Ones of shape ``(batch, 1)``."""
    return ops.ones_like(_count(_ones(x)))


def with_weights(layer, weights, x):
    """``layer(x)``, the layer having these weights. Returns a Keras tensor."""
    y = layer(x)
    layer.set_weights(weights)
    return y


def copied(layer, name, x):
    """What a float32 copy of the built-in ``layer`` makes of ``x``; the copy is called ``name``."""
    config = {**layer.get_config(), "name": name, "dtype": "float32"}
    return with_weights(type(layer).from_config(config), layer.get_weights(), x)


def contraction(equation, kernel, x, name):
    """The product of ``x`` and the array ``kernel`` by an einsum equation whose output begins with the batch."""
    letters, output = equation.split(",")[1].split("->")
    inputs = equation.split(",")[0]
    sizes = dict(zip(inputs, x.shape, strict=True)) | dict(zip(letters, kernel.shape, strict=True))
    layer = keras.layers.EinsumDense(equation, [sizes[a] for a in output[1:]], name=name, dtype="float32")
    return with_weights(layer, [kernel], x)


def constant(value, factor, name):
    """The array ``value`` times ``factor`` of shape ``(batch, 1)``: shape ``(batch, *value.shape)``.

    Constants are weights of a layer: a constant among the arguments of an operation would stand in the JSON of the
    model's file, number by number.
    """
    axes = "cdefg"[: np.ndim(value)]
    return contraction(f"bu,u{axes}->b{axes}", np.asarray(value)[None], factor, name)
