"""The end of a network whose output has twice or four times the pixels of its input along every spatial axis."""

from aeanet_tf.layers import CubicUpSampling, DepthToSpace, convolution
from aeanet_tf.layers.up_sampling import start_sub_pixels_alike
from aeanet_tf.networks.restoration_spec import doublings


def sub_pixels(spec, x, **options):
    """Features ``x`` at the size of the output, by a sub-pixel convolution of 3 for each doubling (Shi et al. 2016).

    Args:
        spec: of the network, with ``upscale`` and ``kernel_initializer``; with a factor of 1 ``x`` is left as it is.
        x: Keras tensor ``(batch, *spatial, channels)``.
        options: of the convolutions.
    """
    rank, channels = spec.dimension, x.shape[-1]
    for i in range(doublings(spec.upscale)):
        name = f"upscaling_{i + 1}"
        options = {"kernel_initializer": spec.kernel_initializer, **options}
        layer = convolution(rank, 2**rank * channels, 3, name=f"{name}.convolution", **options)
        x = layer(x)
        start_sub_pixels_alike(layer, 2**rank)
        x = DepthToSpace(2, name=name)(x)
    return x


def enlarged(spec, image):
    """The image at the size of the output, by cubic interpolation, in float32; with a factor of 1 itself."""
    if spec.upscale == 1:
        return image
    return CubicUpSampling(spec.upscale, name="interpolation", dtype="float32")(image)
