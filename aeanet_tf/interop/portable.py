"""A network made of Keras's own layers only: its ``.keras`` file loads where this package is not installed."""

import logging
from collections import Counter
from functools import singledispatch
from pathlib import Path

import keras
import numpy as np
from keras import ops

from aeanet_tf.cubic import cubic_weights
from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.interop.portable_attention import attention, copied, ones_of, projected, query, repeated, with_weights
from aeanet_tf.layers import (
    GVTO,
    AttentionAwareLayer,
    BinomialFilter,
    ChannelAttention,
    CubicUpSampling,
    DepthToSpace,
    DilatedConvolution,
    GlobalAttention,
    GlobalFeatures,
    LateralUpSampling,
    LocalConvolution,
    MaskBlend,
    OneNeighbour,
    PreActivation,
    ResidualBlock,
    ResidualDenseBlock,
    Scale,
    SurfaceProjection,
    SwapNeighbours,
    Warp,
    WeightedMean,
)
from aeanet_tf.layers.keras_convolutions import Conv2DTranspose, Conv3D, Conv3DTranspose
from aeanet_tf.layers.up_sampling import continued
from aeanet_tf.layers.warping import locally_convolved, warped
from aeanet_tf.layers.weightless import one_neighbour, smoothed
from aeanet_tf.networks.keras_internals import applied_nodes, long_chains

logger = logging.getLogger("aeanet_tf")


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


@_replaced.register(Conv2DTranspose)
@_replaced.register(Conv3D)
@_replaced.register(Conv3DTranspose)
def _convolved(layer, x):
    return copied(layer, layer.name, x)


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
    return ops.add(ops.subtract(ones_of(x), 1.0), _of_the_mean(layer, x, "relu"))


def _of_the_mean(layer, x, activation):
    """The vector ``(batch, 1, ..., 1, filters)`` of the mean over all positions."""
    pooling = {4: keras.layers.GlobalAveragePooling2D, 5: keras.layers.GlobalAveragePooling3D}[len(x.shape)]
    v = pooling(keepdims=True, name=f"{layer.name}.mean", dtype="float32")(x)
    for projection, activate in zip(layer.projections, ("relu", activation), strict=True):
        v = projected(projection, v, f"{layer.name}.{projection.name}")
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
def _depth_to_space(layer: DepthToSpace, x):
    rank, factor = len(x.shape) - 2, layer.factor
    channels, places = x.shape[-1] // factor**rank, list(np.ndindex((factor,) * rank))
    kernel = np.zeros((*(factor,) * rank, channels, x.shape[-1]), "float32")
    for i, place in enumerate(places):
        kernel[place][np.arange(channels), i * channels + np.arange(channels)] = 1
    return _spread(x, kernel, factor, layer.name)


@_replaced.register
def _cubic_up_sampling(layer: CubicUpSampling, x):
    factor, weights, channels = layer.factor, cubic_weights(layer.factor), x.shape[-1]
    # Position i gives to those of i - 2 to i + 2: to the last with the first weight of each phase.
    taps = weights[:, ::-1].T.ravel()
    reach = weights.shape[1] // 2
    for axis in range(1, len(x.shape) - 1):
        beyond = continued(x, axis, reach)
        shape = [1] * (len(x.shape) - 2)
        shape[axis - 1] = len(taps)
        kernel = taps.reshape(*shape, 1, 1) * np.eye(channels, dtype="float32")
        strides = [factor if i == axis - 1 else 1 for i in range(len(shape))]
        spread = _spread(beyond, kernel, strides, f"{layer.name}.axis_{axis}")
        x = spread[(*(slice(None),) * axis, slice(2 * reach * factor, -2 * reach * factor))]
    return x


def _spread(x, kernel, strides, name):
    """A transposed convolution with a given kernel ``(*size, channels given, channels taken)``, without padding."""
    kind = {4: keras.layers.Conv2DTranspose, 5: keras.layers.Conv3DTranspose}[len(x.shape)]
    options = {"strides": strides, "padding": "valid", "use_bias": False, "name": name, "dtype": "float32"}
    return with_weights(kind(kernel.shape[-2], kernel.shape[:-2], **options), [kernel], x)


@_replaced.register
def _swap_neighbours(layer: SwapNeighbours, x):
    half = x.shape[-1] // 2
    return keras.layers.Concatenate(name=layer.name, dtype="float32")([x[..., half:], x[..., :half]])


@_replaced.register
def _one_neighbour(layer: OneNeighbour, x):
    return one_neighbour(x, layer.index)


@_replaced.register
def _local_convolution(layer: LocalConvolution, inputs):
    return locally_convolved(*inputs, layer.size)


@_replaced.register
def _warp(layer: Warp, inputs):
    return warped(*inputs, layer.reach)


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
