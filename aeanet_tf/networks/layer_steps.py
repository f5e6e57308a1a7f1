"""What Keras's layers, and ours, do along an axis; and which layers of a network are not known to do so."""

import keras

from aeanet_tf.layers.steps import Step
from aeanet_tf.networks.keras_internals import applied_nodes

# Each position of the output depends on the same one of the inputs, when nothing is trained.
_POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.AlphaDropout,
    keras.layers.Average,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.Subtract,
)
# The same where their axis is that of the channels.
_OVER_CHANNELS = (
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.Softmax,
    keras.layers.UnitNormalization,
)
_UPSAMPLINGS = (keras.layers.UpSampling2D, keras.layers.UpSampling3D)
_POOLING = (
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)
TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def steps(layer, axis):
    """What a layer, ours or Keras's, does along a spatial axis (-1 is x), as a list of `Step` in order.

    Args:
        layer: of a network whose tensors are ``(batch, *spatial, channels)``, of sizes that all strides divide.
        axis: negative.

    Raises:
        TypeError: a layer that is not known here, or one with arguments that are not, such as a convolution without
            padding.
    """
    if hasattr(layer, "receptive_steps"):
        return layer.receptive_steps(axis)
    # Classes that extend these may do anything.
    known = _steps(layer, axis) if type(layer).__module__.startswith("keras.") else None
    if known is None:
        raise TypeError(f"{type(layer).__name__} is not known to the receptive field")
    return known


def _steps(layer, axis):
    """As `steps`; ``None`` for what is not known."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    if isinstance(layer, (*_POINTWISE, *_OVER_CHANNELS)):
        return []
    if isinstance(layer, keras.layers.PReLU):
        # A slope for each position is for images of one size.
        return [] if set(layer.alpha.shape[:-1]) <= {1} else None
    if isinstance(layer, _UPSAMPLINGS):
        size, interpolation = layer.size[axis], getattr(layer, "interpolation", "nearest")
        # Between two positions lie those that both are weighted in.
        between = {"nearest": Step("repeat", size, size), "bilinear": Step("up", 2 * size - size % 2, size)}
        return [between[interpolation]] if interpolation in between else None
    strided = _strided(layer, axis)
    # Without padding nothing is different where no position of the image is seen twice.
    padded = strided is not None and (layer.padding == "same" or strided.kernel <= strided.stride)
    return [strided] if padded else None


def _strided(layer, axis):
    """The `Step` of a convolution or a pooling."""
    if isinstance(layer, _POOLING):
        return Step("down", layer.pool_size[axis], layer.strides[axis])
    if not isinstance(layer, (*TRANSPOSED, *_CONVOLUTIONS)):
        return None
    kernel = (layer.kernel_size[axis] - 1) * _each(layer.dilation_rate, axis) + 1
    if isinstance(layer, _CONVOLUTIONS):
        return Step("down", kernel, _each(layer.strides, axis))
    plain = layer.output_padding is None and kernel == layer.kernel_size[axis]
    return Step("up", kernel, layer.strides[axis]) if plain else None


def _each(value, axis):
    return value[axis] if isinstance(value, (list, tuple)) else value


def unknown_layers(network):
    """Names of the classes of those layers of a functional network that `steps` does not know, each once, in order.

    Among them are operations of ``keras.ops``, layers that do not keep the axes of the image, and networks in it.
    """
    return list(dict.fromkeys(type(n.operation).__name__ for n in applied_nodes(network) if not _is_known(n)))


def _is_known(node):
    layer, shapes = node.operation, [t.shape for t in (*node.input_tensors, *node.outputs)]
    rank = min(map(len, shapes))
    # Two spatial axes at least.
    if len(node.outputs) > 1 or rank < 4:
        return False
    try:
        for axis in range(-1, 1 - rank, -1):
            steps(layer, axis)
    except TypeError:
        return False
    if hasattr(layer, "receptive_steps"):
        return True
    axis = getattr(layer, "axis", -1) if isinstance(layer, _OVER_CHANNELS) else -1
    over_channels = all(a % rank == rank - 1 for a in (axis if isinstance(axis, (list, tuple)) else [axis]))
    # What has another size is spread over the image, or is one position that is added to all.
    alike = len({(len(t.shape), *t.shape[1:-1]) for t in node.input_tensors}) == 1
    return over_channels and alike and len(shapes[-1]) == len(shapes[0])
