"""Input and output of a model as the BioImage Model Zoo describes them. Import it only where bioimageio.spec is."""

from bioimageio.spec.model import v0_5

from aeanet_tf.interop.bioimageio_contents import maps_back, spatial_axes
from aeanet_tf.io.value_range import LEAST_SHARE

INPUT, OUTPUT = v0_5.TensorId("input"), v0_5.TensorId("output")
CHANNEL = v0_5.AxisId("channel")


def input_tensor(model, normalization, test_tensor):
    """The description of the input, with the `NormalizationSection` as preprocessing and a ``.npy`` file to test.

    Spatial sizes are ``min + n * step`` as `spatial_axes` has them; blocks are cut along the axes with a halo.
    """
    axes = [v0_5.BatchAxis()]
    for axis in spatial_axes(model):
        size = axis.fixed or v0_5.ParameterizedSize(min=axis.minimum, step=axis.step)
        kind = _axis_class(axis.letter, "Input")
        axes.append(kind(id=_axis_id(axis.letter), size=size, concatenable=axis.halo > 0))
    names = channel_names("channel", model.config.n_channel_in)
    axes.append(v0_5.ChannelAxis(id=CHANNEL, channel_names=names))
    return v0_5.InputTensorDescr(
        id=INPUT,
        description="image to segment" if model.segments else "image to restore",
        axes=axes,
        test_tensor=v0_5.FileDescr(source=test_tensor),
        preprocessing=_preprocessing(model, normalization),
    )


def output_tensor(model, normalization, test_tensor):
    """The description of the output: sizes refer to the input's, a projected axis is missing; else as the input's.

    Of an output that is larger a pixel is the inverse of the factor.
    """
    upscale = model.spec.upscale
    axes = [v0_5.BatchAxis()]
    for axis in spatial_axes(model):
        if axis.letter not in model.axes_out:
            continue
        size = v0_5.SizeReference(tensor_id=INPUT, axis_id=_axis_id(axis.letter))
        if axis.halo:
            kind, halo = _axis_class(axis.letter, "Output", "WithHalo"), {"halo": upscale * axis.halo}
        else:
            kind, halo = _axis_class(axis.letter, "Output"), {}
        axes.append(kind(id=_axis_id(axis.letter), size=size, scale=1 / upscale, **halo))
    axes.append(v0_5.ChannelAxis(id=CHANNEL, channel_names=output_channels(model)))
    if model.segments:
        description = "probabilities of the classes, whose labels are the channels' names"
    else:
        description = "restored image" + (", mean and scale" if model.config.probabilistic else "")
    return v0_5.OutputTensorDescr(
        id=OUTPUT,
        description=description,
        axes=axes,
        test_tensor=v0_5.FileDescr(source=test_tensor),
        postprocessing=_postprocessing(model, normalization),
    )


def output_channels(model):
    """Names of the output's channels: means first, then the scales of a probabilistic model; labels of classes."""
    n = model.config.n_channel_out
    if model.segments:
        return [f"label{value}" for value in model.config.labels]
    if model.config.probabilistic:
        return channel_names("mean", n) + channel_names("scale", n)
    return channel_names("channel", n)


def channel_names(stem, n):
    """``stem`` itself for one channel, else with numbers from 0."""
    return [stem] if n == 1 else [f"{stem}{i}" for i in range(n)]


def _axis_id(letter):
    return v0_5.AxisId(letter.lower())


def _axis_class(letter, side, suffix=""):
    return getattr(v0_5, f"{'Time' if letter == 'T' else 'Space'}{side}Axis{suffix}")


def _preprocessing(model, normalization):
    steps = [v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))]
    if normalization.kind == "percentile":
        kwargs = v0_5.ScaleRangeKwargs(
            axes=[_axis_id(letter) for letter in model.config.axes.replace("C", "")],
            min_percentile=normalization.low,
            max_percentile=normalization.high,
            eps=1e-20,  # CSBDeep's
        )
        steps.append(v0_5.ScaleRangeDescr(kwargs=kwargs))
        # By percentiles that differ only outliers become larger (`is_range`); what coincides is divided by eps.
        largest = 1 / LEAST_SHARE
        steps.append(v0_5.ClipDescr(kwargs=v0_5.ClipKwargs(min=-largest, max=largest)))
    elif normalization.kind == "standard":
        kwargs = v0_5.ZeroMeanUnitVarianceKwargs(
            axes=[_axis_id(letter) for letter in model.config.axes.replace("C", "")],
            eps=1e-12,  # Ours has none; it has to be positive.
        )
        steps.append(v0_5.ZeroMeanUnitVarianceDescr(kwargs=kwargs))
    elif normalization.kind == "range":
        width = normalization.high - normalization.low
        steps += _linear(1 / width, -normalization.low / width)
    return steps


def _postprocessing(model, normalization):
    if not maps_back(model, normalization):
        return []
    low, width = normalization.low, normalization.high - normalization.low
    if not model.config.probabilistic:
        return _linear(width, low)
    n = model.config.n_channel_out
    return _linear([width] * 2 * n, [low] * n + [0.0] * n)


def _linear(gain, offset):
    """``gain * x + offset``, along the channel axis for lists; nothing where that changes nothing."""
    if isinstance(gain, list):
        if all(g == 1 for g in gain) and not any(offset):
            return []
        kwargs = v0_5.ScaleLinearAlongAxisKwargs(axis=CHANNEL, gain=gain, offset=offset)
    elif gain == 1 and offset == 0:
        return []
    else:
        kwargs = v0_5.ScaleLinearKwargs(gain=gain, offset=offset)
    return [v0_5.ScaleLinearDescr(kwargs=kwargs)]
