"""Networks of super-resolution, all of whose features have one resolution but for the last: RCAN, EDSR and VDSR."""

import keras

from aeanet_tf.layers import ChannelAttention
from aeanet_tf.networks.parts import Parts
from aeanet_tf.networks.upscaling import enlarged, sub_pixels


def super_resolution(spec, image):
    """Apply the network of a `SuperResolutionSpec` to the Keras tensor ``image`` ``(batch, *spatial, in_channels)``.

    The papers: VDSR, Kim et al., CVPR 2016; EDSR, Lim et al., CVPR workshops 2017; RCAN, Zhang et al., ECCV 2018.
    Returns ``(batch, *spatial, out_channels)`` in float32, ``spec.upscale`` times as large as the image.
    """
    parts = Parts(spec)
    if spec.body == "convolutions":
        # All of it at the size of the output, which the image is brought to first.
        image, parts = enlarged(spec, image), Parts(spec.replace(upscale=1))
        x = parts.convolution(image, spec.filters, 3, "head", activation="relu")
        for i in range(spec.blocks):
            x = parts.convolution(x, spec.filters, 3, f"convolution_{i + 1}", activation="relu")
        return parts.output(image, x, 3)
    head = parts.convolution(image, spec.filters, 3, "head")
    if spec.body == "blocks":
        x = _blocks(parts, head, "body")
    else:
        x = head
        for i in range(spec.groups):
            x = _blocks(parts, x, f"group_{i + 1}")
        x = _closed(parts, x, head, "body")
    return parts.output(image, sub_pixels(spec, x, use_bias=True), 3)


def _blocks(parts, x, name):
    """Residual blocks, a convolution, and the input added."""
    first = x
    for i in range(parts.spec.blocks):
        x = _block(parts, x, f"{name}.block_{i + 1}")
    return _closed(parts, x, first, name)


def _closed(parts, x, first, name):
    x = parts.convolution(x, parts.spec.filters, 3, f"{name}.convolution")
    return keras.layers.Add(name=f"{name}.sum")([x, first])


def _block(parts, x, name):
    """Two convolutions with a ReLU between, channel attention or none, scaled, and the input added."""
    spec = parts.spec
    h = parts.convolution(x, spec.filters, 3, f"{name}.convolution_1", activation="relu")
    h = parts.convolution(h, spec.filters, 3, f"{name}.convolution_2")
    if spec.reduction is not None:
        initializer = spec.kernel_initializer
        h = ChannelAttention(spec.reduction, kernel_initializer=initializer, name=f"{name}.attention")(h)
    if spec.residual_scale != 1:
        h = keras.layers.Rescaling(spec.residual_scale, name=f"{name}.scale")(h)
    return keras.layers.Add(name=f"{name}.sum")([h, x])
