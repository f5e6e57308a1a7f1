"""How far an output position sees, attention apart: the halo of tiled prediction, computed from the spec."""

from functools import partial

from aeanet_tf.networks.spec import ProjectionSpec

# An interval (first, last) of output positions along one axis is traced back, operator by operator, to the
# interval of inputs it depends on. The strided operators follow TensorFlow's `same` padding of even sizes.


def _convolution(interval, kernel=3):
    radius = kernel // 2
    return interval[0] - radius, interval[1] + radius


def _strided_convolution(interval, kernel=3):
    before = (kernel - 2) // 2
    return 2 * interval[0] - before, 2 * interval[1] - before + kernel - 1


def _transposed_convolution(interval, kernel):
    # Position j receives from i where the strided convolution of position i would read j.
    before = (kernel - 2) // 2
    return -((kernel - 1 - before - interval[0]) // 2), (interval[1] + before) // 2


def _union(*intervals):
    return min(i[0] for i in intervals), max(i[1] for i in intervals)


def _residual(interval, count=1):
    # Two 3-convolutions a block; the shortcut reaches less far.
    return interval[0] - 2 * count, interval[1] + 2 * count


def _downsampling(spec, interval):
    if spec.downsampling == "residual":
        # The block's second convolution, then its strided first one; the 1x1 shortcut lies inside.
        interval = _convolution(interval)
    return _strided_convolution(interval)


def _upsampling(spec, interval):
    kernel = 3 if spec.upsampling == "attention" else spec.upsampling_kernel
    return _transposed_convolution(interval, kernel)


def _unet(spec, interval):
    """The inputs that the outputs in ``interval`` depend on, along any axis."""
    reach = partial(_reach, spec)
    interval = _convolution(interval, spec.output_kernel)
    return _convolution(reach(interval, 0))


def _reach(spec, interval, level):
    """From the decoder's features at ``level`` back to the features that entered the encoder's blocks there."""
    if level == spec.depth - 1:
        interval = _residual(interval, spec.bottom.count("residual"))
        return _residual(interval, spec.encoding_blocks[level])
    # Decoding blocks are listed coarsest first.
    interval = _residual(interval, spec.decoding_blocks[spec.depth - 2 - level])
    deep = _reach(spec, _upsampling(spec, interval), level + 1)
    joined = _union(interval, _downsampling(spec, deep))
    return _residual(joined, spec.encoding_blocks[level])


def _projection(spec, interval):
    interval = _convolution(interval, 5)
    for _ in range(spec.levels):
        interval = _convolution(interval, 5)
        interval = interval[0] // 4, interval[1] // 4
    interval = _convolution(interval, 5)
    for _ in range(spec.levels):
        interval = _convolution((4 * interval[0], 4 * interval[1] + 3), 5)
    return interval


def receptive_radius(spec):
    """Largest distance, in pixels along each spatial axis, at which the input changes an output through
    convolutions, pooling and resampling. Attention reaches everywhere and is left out: with attention evaluated on
    the context of the whole image, a tile needs exactly this halo.

    Args:
        spec: a `UNetSpec` or `ProjectionSpec`.

    Returns:
        One radius for each spatial axis; for projections the z axis has 0, because it is never tiled.
    """
    lateral = isinstance(spec, ProjectionSpec)
    divisor = max(spec.divisor)
    radius = 0
    for position in range(divisor):
        interval = _unet(spec.restoration if lateral else spec, (position, position))
        if lateral:
            interval = _projection(spec, interval)
        radius = max(radius, position - interval[0], interval[1] - position)
    return (0, radius, radius) if lateral else (radius,) * spec.dimension
