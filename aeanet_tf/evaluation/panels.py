"""Panels of predictions with their errors, after figures 4 and 5 of the AEANet paper, and of label images, coloured by
class, with maps of where they are wrong; drawn without a display."""

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import COLOURS, bare, caption, limits
from aeanet_tf.io.labels import to_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 2.6
_ZOOM_COLOUR = COLOURS[4]
# The first class, the background of most images, then those that any colour vision tells apart.
CLASS_COLOURS = ("#000000", *COLOURS)
# Grey of the darkest pixel below a map of errors: light enough for black to be seen on it.
_FADED = 0.62
_LEGEND = "On the right: where it is wrong,\nby the true class"
# Characters below a picture.
_LINE = 40


def prediction_panels(
    low: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    gt: np.ndarray,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    title: str = "",
    one_scale: bool = False,
) -> "Figure":
    """Input, predictions of several methods and ground truth, each with an enlarged area; error maps below.

    Enlarged is a fifth of each side, where the ground truth varies most.

    Args:
        low, gt: 2D arrays of one shape.
        predictions: dict of the method's name to its 2D array, in the unit of ``gt``.
        scores: dict of the method's name, and ``"input"``, to ``{"psnr": dB, "ssim": ...}``, as
            `aeanet_tf.evaluation.protocols` computes them; shown below the names, those that there are.
        title: above the figure.
        one_scale: whether the input has the unit of the ground truth, too, and is shown on its range.

    Returns:
        A ``matplotlib.figure.Figure``. Predictions and ground truth share the range of the ground truth's percentiles
        1 and 99.8; the input, which may have another unit, has its own unless ``one_scale``. Error maps are
        ``|prediction - gt|`` on one scale, from 0 to percentile 99.5 of all of them. Axes are labelled ``input``, the
        names of the methods, ``truth``, and ``error NAME``.

    Raises:
        InputError: no prediction, or arrays that are not 2D of one shape.
    """
    low, gt = np.asarray(low), np.asarray(gt)
    predictions = {name: np.asarray(image) for name, image in predictions.items()}
    _check_pictures({"ground truth": gt, "input": low, **predictions})
    size = tuple(max(1, n // 5) for n in gt.shape)
    zoom = (*busiest(gt, size), *size)
    figure, axes = _two_rows(gt.shape, len(predictions) + 2, title)
    shared = limits([gt])
    own = shared if one_scale else limits([low])
    shown = {"input": (low, own), **{name: (image, shared) for name, image in predictions.items()}}
    shown["ground truth"] = (gt, shared)
    for cell, (name, (image, bounds)) in zip(axes[0], shown.items(), strict=True):
        cell.set_label("truth" if name == "ground truth" else name)
        _draw_zoomed(cell, image, bounds, zoom)
        cell.set_title(caption(name, (scores or {}).get(name)), fontsize=10)
    _draw_errors(figure, axes[1], predictions, gt)
    return figure


def removal_panels(low: np.ndarray, predictions: Mapping[str, np.ndarray], title: str = "") -> "Figure":
    """Input and predictions where there is no ground truth, each with an enlarged area; below, what was taken away.

    What is taken away should be noise: structures of the image in it are lost from the prediction. Enlarged is a fifth
    of each side, where the last prediction varies most.

    Args:
        low: 2D array.
        predictions: dict of the method's name to its 2D array, in the unit of ``low``.
        title: above the figure.

    Returns:
        A ``matplotlib.figure.Figure``. Input and predictions share the range of the percentiles 1 and 99.8 of the last
        prediction; the maps are ``input - prediction`` on one scale about 0, to percentile 99.5 of all. Axes are
        labelled ``input``, the names of the methods, and ``removed NAME``.

    Raises:
        InputError: no prediction, or arrays that are not 2D of one shape.
    """
    low = np.asarray(low)
    predictions = {name: np.asarray(image) for name, image in predictions.items()}
    _check_pictures({"input": low, "image": low, **predictions})
    last = list(predictions.values())[-1]
    size = tuple(max(1, n // 5) for n in low.shape)
    zoom, bounds = (*busiest(last, size), *size), limits([last])
    figure, axes = _two_rows(low.shape, len(predictions) + 1, title)
    for cell, (name, image) in zip(axes[0], {"input": low, **predictions}.items(), strict=True):
        cell.set_label(name)
        _draw_zoomed(cell, image, bounds, zoom)
        cell.set_title(name, fontsize=10)
    removed = {name: low.astype("float64") - image for name, image in predictions.items()}
    most = limits([np.abs(image) for image in removed.values()], 0, 99.5)[1]
    for cell, (name, image) in zip(axes[1, 1:], removed.items(), strict=True):
        cell.set_label(f"removed {name}")
        drawn = cell.imshow(image, cmap="gray", vmin=-most, vmax=most)
        cell.set_xlabel(f"standard deviation {image.std():.3g}", fontsize=9)
        bare(cell)
    axes[1, 0].set_axis_off()
    axes[1, 0].set_box_aspect(low.shape[0] / low.shape[1])
    bar = figure.colorbar(drawn, cax=axes[1, 0].inset_axes([0.92, 0, 0.06, 1]))
    bar.ax.yaxis.set_ticks_position("left")
    bar.ax.yaxis.set_label_position("left")
    bar.set_label("input − prediction", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _two_rows(shape, count, title):
    """A figure and its two rows of ``count`` axes: the images of a shape, and below them where they are wrong."""
    from matplotlib.figure import Figure

    aspect = min(2.0, max(0.4, shape[0] / shape[1]))
    height = _WIDTH * aspect * 2 + (1.25 if title else 0.95)
    figure = Figure(figsize=(_WIDTH * count + 0.3, height), layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure, figure.subplots(2, count, squeeze=False)


def _check_pictures(pictures):
    """Refuse pictures, two and those of the methods, that are not 2D of the shape of the first."""
    if len(pictures) < 3:
        raise InputError("predictions: found none, expected at least one method")
    first, reference = next(iter(pictures.items()))
    if reference.ndim != 2:
        raise InputError(f"{first}: found shape {reference.shape}, expected 2D")
    for name, picture in pictures.items():
        if picture.shape != reference.shape:
            raise InputError(f"{name}: found shape {picture.shape}, expected the {first}'s {reference.shape}")


def busiest(image: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """First row and column of the area of a size over which a 2D image has the highest standard deviation."""
    from scipy.ndimage import uniform_filter

    values = image.astype("float64")
    variance = uniform_filter(values**2, size) - uniform_filter(values, size) ** 2
    # Only windows that lie inside, counted by their first pixel.
    inside = tuple(slice(n // 2, n // 2 + whole - n + 1) for n, whole in zip(size, image.shape, strict=True))
    y, x = np.unravel_index(variance[inside].argmax(), variance[inside].shape)
    return int(y), int(x)


def _draw_zoomed(axes, image, bounds, zoom):
    """A picture with the enlarged area in the corner that is farthest from it."""
    from matplotlib.patches import Rectangle

    axes.imshow(image, cmap="gray", vmin=bounds[0], vmax=bounds[1])
    bare(axes)
    y, x, height, width = zoom
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=_ZOOM_COLOUR, lw=1.2))
    right = 2 * x + width < image.shape[1]
    top = 2 * y + height >= image.shape[0]
    inset = axes.inset_axes([0.545 if right else 0.005, 0.545 if top else 0.005, 0.45, 0.45])
    inset.set_label(f"zoom {axes.get_label()}")
    inset.imshow(image[y : y + height, x : x + width], cmap="gray", vmin=bounds[0], vmax=bounds[1])
    inset.set_anchor(f"{'N' if top else 'S'}{'E' if right else 'W'}")
    inset.set_xticks([])
    inset.set_yticks([])
    inset.spines[:].set(color=_ZOOM_COLOUR, linewidth=1.2)


def _draw_errors(figure, axes, predictions, gt):
    gt = gt.astype("float64")
    errors = {name: np.abs(image - gt) for name, image in predictions.items()}
    _, highest = limits(list(errors.values()), 0, 99.5)
    for cell, (name, error) in zip(axes[1:-1], errors.items(), strict=True):
        cell.set_label(f"error {name}")
        drawn = cell.imshow(error, cmap="magma", vmin=0, vmax=highest)
        cell.set_xlabel(f"mean {error.mean():.3g}", fontsize=9)
        bare(cell)
    for cell in (axes[0], axes[-1]):
        cell.set_axis_off()
        cell.set_box_aspect(gt.shape[0] / gt.shape[1])
    bar = figure.colorbar(drawn, cax=axes[-1].inset_axes([0.02, 0, 0.06, 1]))
    bar.set_label("|prediction − ground truth|", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    axes[0].text(0.97, 0.5, "absolute\nerror", ha="right", va="center", fontsize=10, transform=axes[0].transAxes)


def label_panels(
    image: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    classes: Mapping[int, str],
    scores: Mapping[str, Mapping[str, float]] | None = None,
    title: str = "",
) -> "Figure":
    """Image, ground truth and the labels of several methods, coloured by class; below, where each method is wrong.

    Args:
        image: 2D array, shown in grey between its percentiles 1 and 99.8.
        truth: 2D array of labels.
        predictions: dict of the method's name to its 2D array of labels.
        classes: name of each class by its value, 8 at most. The first one, such as the background, is black.
        scores: dict of the method's name to scores as `aeanet_tf.evaluation.segmentation_metrics.class_scores` names
            them, ``dice_mean`` and ``dice_<label>``; shown below the name, those that there are.
        title: above the figure.

    Returns:
        A ``matplotlib.figure.Figure``. A map of errors shows the pixels that differ from the ground truth in the colour
        of their true class, on the image in light grey, and how many they are in per cent. Axes are labelled
        ``input``, ``truth``, the names of the methods, ``wrong NAME``, and ``classes``, the legend.

    Raises:
        InputError: no prediction, arrays that are not 2D of one shape, a value that is not of ``classes``, or more than
            8 classes.
    """
    if len(classes) > len(CLASS_COLOURS):
        raise InputError(
            f"classes: found {len(classes)}, expected at most {len(CLASS_COLOURS)}, which colours tell apart"
        )
    image = np.asarray(image)
    shown = {"ground truth": np.asarray(truth), **{name: np.asarray(array) for name, array in predictions.items()}}
    _check_pictures({"image": image, **shown})
    shown = {name: to_classes(array, list(classes), name) for name, array in shown.items()}
    figure, axes = _two_rows(image.shape, len(predictions) + 2, title)
    captions = {name: _label_caption((scores or {}).get(name, {}), classes) for name in ("input", *shown)}
    _draw_labels(axes[0], image, shown, captions)
    _draw_wrong(axes[1], image, shown)
    _draw_legend(axes[1, :2], classes.values(), image.shape)
    return figure


def _label_caption(scores, classes):
    """Lines: the mean, and the classes that there are scores of."""
    # A name and its number stay in one line.
    parts = [
        f"{name} {_ratio(scores[f'dice_{label}'])}".replace(" ", "\u00a0")
        for label, name in classes.items()
        if f"dice_{label}" in scores
    ]
    first = f"mean Dice {_ratio(scores['dice_mean'])}" if "dice_mean" in scores else "Dice" if parts else ""
    return "\n".join([first, *wrap(", ".join(parts), _LINE)])


def _ratio(value):
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _draw_labels(axes, image, shown, captions):
    from matplotlib.colors import ListedColormap

    dark, bright = limits([image])
    axes[0].imshow(image, cmap="gray", vmin=dark, vmax=bright)
    colours = ListedColormap(CLASS_COLOURS)
    for cell, indices in zip(axes[1:], shown.values(), strict=True):
        cell.imshow(indices, cmap=colours, vmin=-0.5, vmax=len(CLASS_COLOURS) - 0.5, interpolation="nearest")
    for cell, name in zip(axes, ["input", *shown], strict=True):
        cell.set_label("truth" if name == "ground truth" else name)
        cell.set_title(name, fontsize=10)
        cell.set_xlabel(captions[name], fontsize=8)
        bare(cell)


def _draw_wrong(axes, image, shown):
    from matplotlib.colors import to_rgb

    truth = shown["ground truth"]
    dark, bright = limits([image])
    grey = _FADED + (1 - _FADED) * np.clip((image - dark) / (bright - dark), 0, 1)
    colours = np.array([to_rgb(colour) for colour in CLASS_COLOURS])
    for cell, (name, indices) in zip(axes[1:], shown.items(), strict=True):
        if name == "ground truth":
            continue
        wrong = indices != truth
        cell.set_label(f"wrong {name}")
        cell.imshow(np.where(wrong[..., None], colours[truth], grey[..., None]), interpolation="nearest")
        cell.set_xlabel(f"{100 * wrong.mean():.2f} % of pixels wrong", fontsize=8)
        bare(cell)


def _draw_legend(axes, names, shape):
    """Below the ground truth; the cell below the image stays empty."""
    from matplotlib.patches import Patch

    for cell in axes:
        cell.set_axis_off()
        cell.set_box_aspect(shape[0] / shape[1])
    axes[1].set_label("classes")
    patches = [Patch(color=colour, label=name) for colour, name in zip(CLASS_COLOURS, names, strict=False)]
    legend = axes[1].legend(handles=patches, loc="center", fontsize=10, frameon=False, title=_LEGEND)
    legend.get_title().set_multialignment("center")
