"""Panels of predictions with their errors, after figures 4 and 5 of the AEANet paper; drawn without a display."""

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.drawing import COLOURS, bare, limits

_WIDTH = 2.6
_ZOOM_COLOUR = COLOURS[4]


def prediction_panels(low, predictions, gt, scores=None, zoom=None, title=""):
    """Input, predictions of several methods and ground truth, each with an enlarged area; error maps below.

    Args:
        low, gt: 2D arrays of one shape.
        predictions: dict of the method's name to its 2D array, in the unit of ``gt``.
        scores: dict of the method's name, and ``"input"``, to ``{"psnr": dB, "ssim": ...}``, as
            `aeanet_tf.evaluation.protocols` computes them; shown below the names, those that there are.
        zoom: ``(y, x, height, width)`` of the enlarged area in pixels. By default a fifth of each side, where the
            ground truth varies most.
        title: above the figure.

    Returns:
        A ``matplotlib.figure.Figure``. Predictions and ground truth share the range of the ground truth's percentiles
        1 and 99.8; the input, which may have another unit, has its own. Error maps are ``|prediction - gt|`` on one
        scale, from 0 to percentile 99.5 of all of them. Axes are labelled ``input``, the names of the methods,
        ``truth``, and ``error NAME``.

    Raises:
        InputError: no prediction, arrays that are not 2D of one shape, or an area that is not inside.
    """
    from matplotlib.figure import Figure

    low, gt = np.asarray(low), np.asarray(gt)
    predictions = {name: np.asarray(image) for name, image in predictions.items()}
    _check_panels(low, predictions, gt)
    zoom = _zoomed(gt) if zoom is None else _check_zoom(zoom, gt.shape)
    aspect = min(2.0, max(0.4, gt.shape[0] / gt.shape[1]))
    count = len(predictions) + 2
    figure = Figure(
        figsize=(_WIDTH * count + 0.3, _WIDTH * aspect * 2 + (1.25 if title else 0.95)), layout="constrained"
    )
    axes = figure.subplots(2, count, squeeze=False)
    shared = limits([gt])
    shown = {"input": (low, limits([low])), **{name: (image, shared) for name, image in predictions.items()}}
    shown["ground truth"] = (gt, shared)
    for cell, (name, (image, bounds)) in zip(axes[0], shown.items(), strict=True):
        cell.set_label("truth" if name == "ground truth" else name)
        _draw_zoomed(cell, image, bounds, zoom)
        cell.set_title(_caption(name, (scores or {}).get(name)), fontsize=10)
    _draw_errors(figure, axes[1], predictions, gt)
    figure.suptitle(title, fontsize=11)
    return figure


def _check_panels(low, predictions, gt):
    if not predictions:
        raise InputError("predictions: none, expected at least one method")
    for name, image in {"input": low, **predictions}.items():
        if image.shape != gt.shape or gt.ndim != 2:
            raise InputError(f"{name}: shape {image.shape}, expected the ground truth's {gt.shape}, 2D")


def _check_zoom(zoom, shape):
    y, x, height, width = (int(v) for v in zoom)
    if y < 0 or x < 0 or min(height, width) < 1 or y + height > shape[0] or x + width > shape[1]:
        raise InputError(f"zoom: {tuple(zoom)}, expected (y, x, height, width) inside an image of shape {shape}")
    return y, x, height, width


def _zoomed(gt):
    """The area, a fifth of each side, over which the ground truth has the highest standard deviation."""
    from scipy.ndimage import uniform_filter

    size = tuple(max(1, n // 5) for n in gt.shape)
    values = gt.astype("float64")
    variance = uniform_filter(values**2, size) - uniform_filter(values, size) ** 2
    # Only windows that lie inside, counted by their first pixel.
    inside = tuple(slice(n // 2, n // 2 + whole - n + 1) for n, whole in zip(size, gt.shape, strict=True))
    y, x = np.unravel_index(variance[inside].argmax(), variance[inside].shape)
    return int(y), int(x), *size


def _caption(name, scores):
    parts = []
    for key, form in (("psnr", "PSNR {:.2f} dB"), ("ssim", "SSIM {:.3f}")):
        if scores and key in scores:
            parts.append(form.format(scores[key]))
    return f"{name}\n{', '.join(parts)}" if parts else f"{name}\n"


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
