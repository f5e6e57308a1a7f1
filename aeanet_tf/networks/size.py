"""How large a network will be, from its spec alone, before anything is reserved for it."""

import math

from aeanet_tf.networks.restoration_spec import doublings


def kernel_weights(spec):
    """Number of weights in the kernels and learned vectors of the network of a spec; all of it but biases and norms.

    Args:
        spec: a `UNetSpec` or a spec of another network (`aeanet_tf.networks.spec`).

    Example:
        >>> from aeanet_tf.networks import presets
        >>> kernel_weights(presets["aeanet-em"])
        570688
    """
    return _COUNTS[spec.kind](spec)


def _residual(n, channels, filters, projected):
    """A residual block in n dimensions: two convolutions of 3, and 1x1 on the shortcut where something changes."""
    return 3**n * filters * (channels + filters) + channels * filters * projected


def _enlarged(spec, channels):
    """The sub-pixel convolutions before the output."""
    return doublings(spec.upscale) * 3**spec.dimension * channels * 2**spec.dimension * channels


def _attention(n, options, channels, filters, size, positions=0):
    """An attention operator with ``options`` as of `AttentionSpec.arguments`; ``positions`` of a learned query."""
    key, value = options["key_filters"] or filters, options["value_filters"] or filters
    count = channels * (key + value) + value * filters + options["shared_references"] * channels
    if options["query"] == "learned":
        count += positions * key
    elif size != "up4":
        count += channels * key * (1 if size == "same" else 3**n)
    if size in ("down", "up") and options["residual"] == "v1":
        count += 3**n * channels * filters
    return count


def _unet(spec):
    n, first = spec.dimension, spec.filters(0)
    count, channels, skips = 3**n * spec.in_channels * first, first, []
    positions = math.prod(spec.input_size or (0,))

    def attention(kind, filters, size, level):
        options = spec.attention_arguments(size, kind)
        return _attention(n, options, channels, filters, size, positions // 2 ** (n * level))

    for level in range(spec.depth):
        filters = spec.filters(level)
        if level:
            skips.append(channels)
            kind = spec.downsamplings[level - 1]
            if kind.startswith("attention"):
                count += attention(kind, filters, "down", level)
            elif kind == "residual":
                count += _residual(n, channels, filters, True)
            else:
                count += 3**n * channels * filters
            channels = filters
        count += spec.encoding_blocks[level] * _residual(n, filters, filters, False)
        if not level and spec.encoding_blocks[0] and spec.first_shortcut == "convolution":
            count += filters * filters
    bottom = spec.depth - 1
    for kind in spec.bottom:
        attends = kind == "attention"
        count += attention(kind, channels, "same", bottom) if attends else _residual(n, channels, channels, False)
    for level, blocks, kind in zip(reversed(range(bottom)), spec.decoding_blocks, spec.upsamplings, strict=True):
        filters = spec.filters(level)
        if kind.startswith("attention"):
            count += attention(kind, filters, "up", level)
        else:
            count += spec.upsampling_kernel**n * channels * filters
        skipped = skips.pop()
        channels = filters + skipped if spec.skip == "concat" else filters
        if blocks:
            count += _residual(n, channels, filters, channels != filters)
            count += (blocks - 1) * _residual(n, filters, filters, False)
            channels = filters
    count += _enlarged(spec, channels) + spec.output_kernel**n * channels * spec.out_channels
    return count + spec.probabilistic * channels * spec.out_channels


def _projection(spec):
    filters, kernel = spec.filters, 3 * 5 * 5
    count = kernel * filters * (spec.in_channels + 2 * spec.levels * filters) + 5**3 * filters
    if spec.operators == "attention":
        for size in ("same", *("up4",) * spec.levels):
            count += _attention(3, spec.attention.arguments(size, residual="v2"), filters, filters, size)
    else:
        count += _residual(3, filters, filters, False)
    return count + _unet(spec.restoration)


def _fnet(spec):
    n, count, channels = spec.dimension, 0, spec.in_channels
    for level in range(spec.depth):
        filters = spec.first_filters * 2**level
        count += 3**n * filters * (channels + filters)
        if level < spec.depth - 1:
            # Down, up, and the two convolutions behind the skip.
            count += 2**n * filters * filters + 2**n * 2 * filters * filters + 3**n * filters * 3 * filters
        channels = filters
    return count + _enlarged(spec, spec.first_filters) + _output(spec, spec.first_filters, 3)


def _ssan(spec):
    filters = spec.filters
    if spec.extractor == "unet":
        count, channels = 0, spec.in_channels
        for level in range(spec.resolutions):
            own = filters * 2**level
            count += 9 * own * (channels + own)
            if level < spec.resolutions - 1:
                count += 4 * 2 * own * own + 9 * own * 3 * own
            channels = own
    else:
        dense = sum(9 * (filters + i * spec.growth) * spec.growth for i in range(spec.convolutions))
        dense += (filters + spec.convolutions * spec.growth) * filters
        count = 9 * filters * (spec.in_channels + filters)
        count += spec.blocks * (dense + filters * filters) + 9 * filters * filters
    if spec.attention == "aea":
        count += _attention(2, spec.aea.arguments("same"), filters, filters, "same")
    elif spec.attends_by_softmax:
        # Each step has keys and queries of an eighth of the channels, and values of a half that are led back.
        count += _STEPS.get(spec.attention, 1) * filters * filters * 5 // 4
    per_neighbour = 1 if spec.symmetric else 2
    mask = 1 if spec.symmetric else 1 + spec.siamese
    if spec.synthesis == "features":
        return count + 9 * filters * (per_neighbour * spec.out_channels + mask)
    if spec.synthesis == "kernels":
        return count + 9 * filters * per_neighbour * 2 * spec.kernel_size
    for level in range(spec.resolutions):
        own = filters * 2**level
        # What compares the neighbours as they are warped so far.
        compared = level < spec.resolutions - 1
        count += 9 * own * (2 * per_neighbour + compared * (2 * own + spec.in_channels))
    return count + 9 * filters * mask


def _care(spec):
    n, first, depth = spec.unet_dimension, spec.n_first, spec.n_depth
    widths, channels = [(first * 2**level,) * 2 for level in range(depth)], spec.in_channels
    widths.append((first * 2**depth, first * 2 ** (depth - 1)))
    count = 0
    for one, two in widths:
        count += spec.kern_size**n * one * (channels + two)
        channels = two
    for level in reversed(range(depth)):
        one, two = first * 2**level, first * 2 ** max(0, level - 1)
        count += spec.kern_size**n * one * (channels + one + two)
        channels = two
    count += channels * spec.out_channels * (1 + spec.probabilistic)
    if spec.projection is None:
        return count
    one = spec.projection
    layers = (2 * one.n_depth + 1) * one.n_conv_per_depth
    return count + math.prod(one.kern) * one.n_filt * (spec.in_channels + (layers - 1) * one.n_filt + 1)


def _output(spec, channels, kernel):
    return (kernel**spec.dimension + spec.probabilistic) * channels * spec.out_channels


def _super_resolution(spec):
    one, f = 3**spec.dimension * spec.filters, spec.filters
    count = one * spec.in_channels + _output(spec, f, 3)
    if spec.body == "convolutions":
        return count + spec.blocks * one * f
    count += _enlarged(spec, f)
    block = 2 * one * f + (2 * f * max(1, f // spec.reduction) if spec.reduction else 0)
    group = spec.blocks * block + one * f
    return count + (group if spec.body == "blocks" else spec.groups * group + one * f)


def _unet_variant(spec):
    n, depth, filters = spec.dimension, spec.depth, [spec.filters(level) for level in range(spec.depth)]

    def twice(channels, level):
        return 3**n * filters[level] * (channels + filters[level])

    def joined(skips, level):
        f = filters[level]
        up, channels = (2**n * 2 * f * f, f) if spec.upsampling == "transposed_convolution" else (0, 2 * f)
        return up + twice(skips * f + channels, level)

    count = sum(twice(filters[level - 1] if level else spec.in_channels, level) for level in range(depth))
    for level in range(depth - 1):
        nested = spec.skip == "nested"
        count += sum(joined(j, level) for j in (range(1, depth - level) if nested else (1,)))
        if spec.skip == "gated" and level:
            count += filters[level] * (filters[level] + filters[level + 1] + 1)
    last, rates = filters[-1], len(spec.rates)
    dilated = rates * max(1, last // rates)
    count += {"convolutions": 0, "dilated": (3**n + 1) * dilated * last, "global": 4 * last**2}[spec.bottom]
    if spec.range_scaling and spec.output_offset:
        # What is added beside the factor (`Parts.output`).
        count += filters[0] * spec.out_channels
    return count + _enlarged(spec, filters[0]) + _output(spec, filters[0], 1)


def _ce_net(spec):
    n, first, channels = spec.dimension, spec.first_filters, spec.first_filters
    count = 7**n * spec.in_channels * first
    for level, blocks in enumerate(spec.blocks):
        filters = spec.filters(level)
        if blocks or level:
            count += _residual(n, channels, filters, level > 0)
            count += max(0, blocks - 1) * _residual(n, filters, filters, False)
        channels = filters
    # Three dilated convolutions, one of 1, which the branches share.
    count += (3 * 3**n + 1) * channels**2 + len(spec.pools) * channels
    channels += len(spec.pools)
    for level in (*reversed(range(len(spec.blocks) - 1)), 0):
        quarter, filters = max(1, channels // 4), spec.filters(level)
        count += channels * quarter + 3**n * quarter**2 + quarter * filters
        channels = filters
    half = max(1, first // 2)
    # With an offset features of the image join the last ones.
    joined = 2 if spec.output_offset else 1
    count += 4**n * first * half + 3**n * spec.in_channels * half * (joined - 1) + 3**n * joined * half**2
    return count + _enlarged(spec, half) + _output(spec, half, 3)


# Of a slice's attention, by its kind; one of the others.
_STEPS = {"sparse": 3, "interlaced": 2, "long": 2}


def _own(spec):
    return 0  # It is there when its spec is.


_COUNTS = {
    "unet": _unet,
    "projection": _projection,
    "fnet": _fnet,
    "ssan": _ssan,
    "care": _care,
    "own": _own,
    "super_resolution": _super_resolution,
    "unet_variant": _unet_variant,
    "ce_net": _ce_net,
}
