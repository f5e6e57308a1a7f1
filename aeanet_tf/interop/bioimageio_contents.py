"""What a BioImage Model Zoo package says and shows of a model: its sizes, name, tags and documentation, the test
image, what the model makes of it, and the cover."""

import logging
import re
from typing import NamedTuple

import numpy as np

import aeanet_tf
from aeanet_tf.errors import InputError, expect
from aeanet_tf.interop.papers import citations
from aeanet_tf.io.image import check_finite
from aeanet_tf.io.statistics import streamed_percentiles
from aeanet_tf.io.value_range import is_range
from aeanet_tf.models.adversarial import INVENTED, adversarial_section
from aeanet_tf.models.normalizers import make_normalizer

logger = logging.getLogger("aeanet_tf")

_DOCUMENTATION = """\
# {name}

{description}

Made with aeanet_tf {version}, preset `{preset}`, axes {axes}, {parameters:,} parameters.

## Input and output

{normalization}
{channels}
## Tiles

{tiles}

## Validation

{validation}
The test tensors of this package show that a program runs the model as it should; they say nothing of its quality.

## Citation

{citations}
"""

_VALIDATION = """\
Predict images that took no part in training and for which a target is known, normalise prediction and target in the
same way, and compare them by PSNR and SSIM with what a baseline reaches, for instance the input itself. Look at the
prediction beside the target, too: a network may invent plausible structure."""
_VALIDATION_OF_CLASSES = """\
Segment images that took no part in training and whose classes are known, and compare labels by the Dice ratio of each
class. Look at them beside the image, too: one number does not tell whether borders or whole objects are missed."""

# Of the input, and of an output that is no probability.
_NORMALIZATION = {
    "percentile": (
        "The percentiles {low:g} and {high:g} of each image and channel become 0 and 1 before the network. Where they "
        "coincide (sparse signal, saturation) a package can only clip at a million, which the network was not trained "
        "on; aeanet_tf takes wider percentiles there: use it for such images."
    ),
    "range": "The values {low:g} and {high:g} become 0 and 1 before the network.",
    "standard": "Each image and channel gets mean 0 and standard deviation 1 before the network.",
    "none": "The network takes images as they are.",
}
_OUTPUT = {
    "percentile": (
        " The output stays in this normalised range: the specification has no step that maps it back by the "
        "percentiles of the input. Multiply it by the difference of the input's two percentiles and add the lower one "
        "to return to the input's intensities."
    ),
    "range": " {back}",
    "standard": (
        " The output stays normalised, as the targets of its training were: it has another unit than the input."
    ),
    "none": " Its output is left as it is.",
}


def package_name(model):
    """The model's name in the letters that the specification allows, with the class behind it."""
    name = re.sub(r"[^A-Za-z0-9_+\- ()]", "_", model.name)
    return f"{name[:100]} ({type(model).__name__})"


def default_description(model):
    """One sentence about the model."""
    does = model.purpose.format(rank=model.config.n_dim, classes=model.config.n_channel_out)
    origin = "CSBDeep (CARE)" if model.of_csbdeep else f"aeanet_tf (preset {model.config.preset})"
    return f"A network of {origin} that {does}."


def tags(model):
    """Tags by which the package is found."""
    attention = ["attention"] if model.spec.n_attention else []
    # Networks of one resolution are none.
    own = [tag for tag in model.tags if tag != "unet" or model.spec.kind != "super_resolution"]
    return ["aeanet_tf", *own, f"{model.config.n_dim}d", "tensorflow", "keras", *attention]


def documentation(model, description, normalization):
    """The package's documentation in Markdown, which begins with the ``description``, a sentence."""
    segments, back = model.segments, "The output stays in this normalised range."
    if maps_back(model, normalization):
        back = "The output is mapped back by the inverse."
    text = _NORMALIZATION[normalization.kind] + ("" if segments else _OUTPUT[normalization.kind])
    return _DOCUMENTATION.format(
        name=package_name(model),
        description=description,
        version=aeanet_tf.__version__,
        preset=model.config.preset,
        axes=model.config.axes,
        parameters=model.keras_model.count_params(),
        normalization=text.format(low=normalization.low, high=normalization.high, back=back) + "\n",
        channels=_channels(model),
        tiles=_tiles(model),
        validation=_VALIDATION_OF_CLASSES if segments else _VALIDATION,
        citations="\n".join(
            f"* {text} https://doi.org/{doi}" for text, doi in citations(model.spec, model.config.preset)
        ),
    )


def _channels(model):
    lines = []
    if adversarial_section(model.config):
        lines.append(f"The network was {INVENTED}.\n")
    if model.config.probabilistic:
        lines.append(
            "The output has a Laplace distribution for each pixel: the means, then as many channels of scales.\n"
        )
    if model.segments:
        lines.append(
            "The output has a channel for each class, its probability; at each pixel they add up to 1. The class of a "
            f"pixel is that of its largest probability. The classes, in the order of the channels, had the values "
            f"{', '.join(map(str, model.config.labels))} in the label images of training.\n"
        )
    if model.config.projected_axis is not None:
        lines.append(
            f"The output lacks the axis {model.config.proj_axis}; along it the network needs the whole stack.\n"
        )
    return "\n" + "\n".join(lines) if lines else ""


def _tiles(model):
    axes = spatial_axes(model)
    text = "Sizes are multiples of " + ", ".join(f"{axis.step} along {axis.letter}" for axis in axes) + "."
    whole = [axis.letter for axis in axes if not axis.halo]
    if whole:
        text += f" Images are taken whole along {' and '.join(whole)}: cut tiles along the other axes only."
    if model.spec.n_attention:
        text += (
            " The network attends to the whole image it is given. Predicted in tiles, each tile attends to itself "
            "only, and results differ from those of the whole image, seams included: predict whole images as long as "
            "memory allows, in few large tiles otherwise. The halo covers the convolutions, not the attention."
        )
    else:
        text += " The network is convolutional: with the halo, tiles show no seams."
    return text


class SpatialAxis(NamedTuple):
    """A spatial axis of the input.

    Attributes:
        letter: as in ``config.axes``.
        step: sizes are multiples of it.
        halo: what is cut from both ends of the output of a block, in whole steps; 0 where the image is taken whole.
        minimum: the least size, one step within the halo.
        fixed: the only size of a network that has one, else ``None``.
    """

    letter: str
    step: int
    halo: int
    minimum: int
    fixed: int | None


def spatial_axes(model):
    """The `SpatialAxis` of each axis of an `AEANet` or one of its siblings, in order.

    Along Y and X the halo is the receptive radius. Stacks are taken whole along the others: a halo asks for more
    planes than many stacks have, and a stack of fewer than ``minimum`` would be refused.
    """
    axes = model.config.axes.replace("C", "")
    spatial = []
    for letter, step, radius, fixed in zip(
        axes, model.spec.divisor, model.receptive_radius, model.keras_model.input.shape[1:-1], strict=True
    ):
        # Halos in whole steps keep the blocks on the network's grid.
        halo = -(-radius // step) * step if letter in "YX" and letter in model.axes_out else 0
        spatial.append(SpatialAxis(letter, int(step), int(halo), int(2 * halo + step), fixed))
    return spatial


def maps_back(model, normalization):
    """Whether the output is in the range of the input: CSBDeep maps back only between equal numbers of channels.

    Probabilities of classes are in no such range, however many channels the input has.
    """
    equal = model.config.n_channel_in == model.config.n_channel_out
    return normalization.kind == "range" and equal and not model.segments


def example_image(model, normalization, image=None):
    """A float32 test image in the model's axes with the channels last, cut to sizes that the package allows.

    Args:
        model: an `AEANet` or one of its siblings.
        normalization: the `NormalizationSection`; a synthetic image fits its range.
        image: an array in the model's axes, the channel axis may be missing where there is one channel; ``None``
            for synthetic noisy blobs, the same every time.

    Raises:
        InputError: ``image`` does not fit the model, or is smaller than the package allows.
    """
    axes, spatial = model.config.axes, spatial_axes(model)
    if image is None:
        image = _noisy_blobs(spatial, model.config.n_channel_in)
        if normalization.kind == "range":
            image = normalization.low + (normalization.high - normalization.low) * image
        logger.info("no test image given: the package gets synthetic noisy blobs, %s", _size(image))
        return image.astype("float32")
    image = np.asarray(image)
    if image.ndim == len(axes) - 1 and model.config.n_channel_in == 1:
        image = image[..., None]
    if image.ndim != len(axes) or image.shape[-1] != model.config.n_channel_in:
        raise InputError(
            f"test_image: found shape {image.shape}, expected the axes {axes} with {model.config.n_channel_in} channels"
        )
    sizes = [n // axis.step * axis.step for n, axis in zip(image.shape, spatial, strict=False)]
    least = [axis.minimum for axis in spatial]
    if any(n < m for n, m in zip(sizes, least, strict=True)):
        raise InputError(
            f"test_image: found size {_size(image)}, expected at least {' x '.join(map(str, least))} along "
            f"{axes[:-1]}: the receptive field of the network on both sides"
        )
    image = image[tuple(slice(n) for n in sizes)]
    expect(image.dtype.kind in "biuf", "test_image", f"values of type {image.dtype}", "integers or floats")
    check_finite("test_image", image)
    image = image.astype("float32")
    if normalization.kind == "percentile":
        limits = (normalization.low, normalization.high)
        apart = is_range(*streamed_percentiles(image, axes, [*limits, 0, 100], "test_image")).all()
        coincide = f"an image whose percentiles {limits[0]:g} and {limits[1]:g} coincide"
        expect(apart, "test_image", coincide, "others: a package cannot normalise it")
    logger.info("the package gets the test image given, %s", _size(image))
    return image


def example_output(model, normalization, image):
    """What prediction makes of ``image``: ``(*spatial, channels)``, scales of a probabilistic model behind the means.

    The scales are those of the network, without the factor of `aeanet calibrate`. Percentiles are not mapped back,
    because the description of a package cannot. A segmentation model gives the probabilities of the classes, of the
    image in one piece.
    """
    normalizer, axes = make_normalizer(normalization), model.config.axes
    if model.segments:
        return model.predict_probabilities(image, axes, normalizer, tiling="whole")
    if normalization.kind == "percentile":
        normalizer = type(normalizer)(normalization.low, normalization.high, do_after=False)
    if not model.config.probabilistic:
        return model.predict(image, axes, normalizer).astype("float32")
    result = model.predict_probabilistic(image, axes, normalizer, uncalibrated=True)
    return np.concatenate([result.mean(), result.scale()], axis=-1).astype("float32")


def draw_cover(path, model, image, output):
    """Write a PNG of 2:1 with the first channels of input and output side by side, through the middle of stacks.

    Of a segmentation model the most probable classes are shown, in greys.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Small enough for the size limit whatever the noise.
    figure = Figure(figsize=(6, 3), dpi=100)
    axes_out = [a for a in model.config.axes if a in model.axes_out]
    if model.segments:
        output = np.argmax(output, -1)[..., None]
    planes = _plane(image, model.config.axes), _plane(output, axes_out)
    for i, plane in enumerate(planes):
        ax = figure.add_axes((i / 2, 0, 0.5, 1))
        low, high = np.percentile(plane, (0.5, 99.5))
        ax.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest", aspect="auto")
        ax.set_axis_off()
    FigureCanvasAgg(figure).print_png(path)


def _size(image):
    return " x ".join(map(str, image.shape[:-1])) + (f" with {image.shape[-1]} channels" if image.shape[-1] > 1 else "")


def _noisy_blobs(spatial, n_channels):
    """Blobs between 0 and 1 with noise, 128 wide in 2D; 64 wide and 16 deep in 3D; larger where that is the least."""
    from skimage.data import binary_blobs

    lateral = 128 if len(spatial) == 2 else 64
    sizes = []
    for axis in spatial:
        size = max(axis.minimum, lateral if axis.letter in "YX" else 16)
        sizes.append(axis.fixed or -(-size // axis.step) * axis.step)
    # Blobs of all of a large stack would take long, and a wrapped part is as good.
    length = min(lateral, max(sizes))
    outer, inner = [(0, max(0, n - length)) for n in sizes], tuple(slice(n) for n in sizes)
    channels = []
    for seed in range(n_channels):
        part = binary_blobs(length, blob_size_fraction=0.15, n_dim=len(sizes), rng=seed)
        channels.append(np.pad(part, outer, mode="wrap")[inner])
    blobs = np.stack(channels, axis=-1)
    return 0.2 + 0.6 * blobs + np.random.default_rng(0).normal(0, 0.1, blobs.shape)


def _plane(image, axes):
    """A square of one channel with Y downwards, where there are Y and X."""
    image = image[..., 0]
    axes = [a for a in axes if a != "C"]
    shown = [a for a in "YX" if a in axes]
    shown += [a for a in axes if a not in shown][: 2 - len(shown)]
    for i in reversed(range(len(axes))):
        if axes[i] not in shown:
            image = np.take(image, image.shape[i] // 2, axis=i)
    remaining = [a for a in axes if a in shown]
    plane = np.transpose(image, [remaining.index(a) for a in shown])
    side = min(plane.shape)
    return plane[tuple(slice((n - side) // 2, (n - side) // 2 + side) for n in plane.shape)]
