"""Input and prediction side by side, for a first look at a result; drawn without a display."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, escaped
from aeanet_tf.evaluation.figures import COLOURS, limits, save_figure, shortened
from aeanet_tf.evaluation.panels import CLASS_COLOURS, busiest
from aeanet_tf.evaluation.reduced import reduced_plane
from aeanet_tf.evaluation.scale_bar import scale_bar, shown_unit
from aeanet_tf.io.image import Image
from aeanet_tf.io.zoomed import repeated_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels of a panel in a picture of 1,200: larger images are reduced to them.
_PANEL = 560
_WIDTH, _DPI = 12, 100
# Pixels of a part that is shown beside a reduced image as it is.
_DETAIL = 256
# Where one range is smaller than this part of both together, one scale of grey would show nothing of it.
_LEAST_RANGE = 0.1


class _Row(NamedTuple):
    """Two pictures of one place: what it is, the planes, every so many pixels; of a part its first row and column."""

    name: str
    input: np.ndarray
    output: np.ndarray
    step: int
    corner: tuple[int, int] | None = None


def preview_figure(
    image: Image | np.ndarray,
    prediction: Image | np.ndarray,
    axes: str | None = None,
    *,
    labels: bool = False,
    title: str = "",
) -> "Figure":
    """Input and prediction side by side, both in one scale of grey.

    Of volumes the middle slice and the maximum along Z are shown; of a projection the maximum of the input beside it.
    Of labels, which have colours, no maximum is shown. Of several channels and frames the first ones are, and the title
    says so. Images of more than 560 pixels are shown every so many pixels, not averaged, so that noise looks as it is;
    below is the part with the most contrast, pixel by pixel. Nothing is read whole: arrays may be lazy.

    Where the range of one is below a tenth of both together, as of predictions that are no intensities of the input,
    each has its own scale; a bar at each picture says which. Of a prediction with twice, or more times, the pixels of
    the input each of the input's is shown so many times.

    Args:
        image: the input, an `Image`, or an array with ``axes``.
        prediction: the same; an array of the axes of the input, or without Z where the model projects.
        axes: of arrays, such as "ZYX".
        labels: whether the prediction is labels of classes.
        title: above the picture.

    Returns:
        A ``matplotlib.figure.Figure`` of 1,200 pixels across at 100 dpi; axes in the unit of the image, or in pixels
        where the pixel size is not known. A frame shows where the part is. Panels are labelled ``input`` and
        ``output`` with the name of their row.

    Raises:
        InputError: the sizes of the two do not fit each other.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.evaluation.preview import preview_figure
        >>> noisy = np.random.default_rng(0).poisson(5, (8, 64, 64)).astype("float32")
        >>> figure = preview_figure(noisy, noisy.clip(3, 7), "ZYX", title="clipped")
        >>> for cell in figure.axes[:2]:
        ...     print(cell.get_label())
        input, middle slice (z = 5 of 8)
        output, middle slice (z = 5 of 8)
    """
    from matplotlib.figure import Figure

    prediction = _as_image(prediction, axes)
    image = _as_large(_as_image(image, axes), prediction)
    rows, firsts = _rows(image, prediction, labels)
    height, width = _extent(image, rows[0])
    tall = min(2.2, max(0.3, height / width)) * _WIDTH / 2 * 0.8 + 0.55
    figure = Figure(figsize=(_WIDTH, tall * len(rows) + 0.6), layout="constrained")
    figure.suptitle("\n".join(filter(None, [title, firsts])), fontsize=11)
    cells = figure.subplots(len(rows), 2, squeeze=False)
    for pair, row in zip(cells, rows, strict=True):
        _draw(figure, pair, row, image, labels)
    if rows[-1].corner is not None:
        _frame(cells[0], rows[-1], image)
    return figure


def write_preview(path: str | Path, image: Image, prediction: Image, *, labels: bool = False) -> None:
    """Write the `preview_figure` of two images as a PNG; the file appears when it is whole.

    Raises:
        InputError: an image that cannot be read, or a file that cannot be written.
    """
    name = "" if image.path is None else shortened(escaped(Path(image.path).name), 100)
    save_figure(preview_figure(image, prediction, labels=labels, title=name), path, dpi=_DPI)


def _as_image(image, axes):
    if isinstance(image, Image):
        return image
    array = np.asarray(image)
    letters = (axes or "YX").upper()
    letters = letters.replace("Z", "") if array.ndim == len(letters) - 1 else letters
    if array.ndim != len(letters):
        raise InputError(
            f"axes: found {axes} for an array of shape {array.shape}, expected a letter for each dimension"
        )
    return Image(array, letters)


def _as_large(image, prediction):
    """The input with the pixels of a larger prediction."""
    sizes, larger = (dict(zip(i.axes, i.array.shape, strict=True)) for i in (image, prediction))
    shared = [a for a in "ZYX" if a in sizes and a in larger]
    times = {a: larger[a] // sizes[a] for a in shared}
    # Planes alone are those of `--isotropic`, whose input is the interpolated one.
    fits = times["Y"] == times["X"] > 1 and all(larger[a] == times[a] * sizes[a] for a in shared)
    return repeated_image(image, times) if fits else image


def _rows(image, prediction, labels):
    """The rows of a picture, and a line that says which channel and frame they show."""
    sizes, of_output = (dict(zip(i.axes, i.array.shape, strict=True)) for i in (image, prediction))
    for axis in "YX":
        if sizes[axis] != of_output[axis]:
            raise InputError(f"prediction: {of_output[axis]} pixels along {axis}, expected {sizes[axis]} as the image")
    step = max(1, -(-max(sizes["Y"], sizes["X"]) // _PANEL))
    first = [{a: 0 for a in i.axes if a in "TC"} for i in (image, prediction)]
    slices = [n.get("Z") for n in (sizes, of_output)]
    if slices[0] is not None and slices[1] is None:
        places = [("maximum along Z", {}, {})]
    elif slices[0] is None:
        places = [("", {}, {})]
    else:
        middle = slices[0] // 2
        at = {"Z": middle}
        places = [(f"middle slice (z = {middle + 1} of {slices[0]})", at, at)]
        if slices[0] > 1 and not labels:
            places.append(("maximum along Z", {}, {}))
    rows = [
        _Row(name, reduced_plane(image, step, first[0] | a), reduced_plane(prediction, step, first[1] | b), step)
        for name, a, b in places
    ]
    if step > 1:
        rows = [row._replace(name=f"{row.name}, 1 pixel in {step}".removeprefix(", ")) for row in rows]
        rows.append(_detail(image, prediction, rows[0], places[0], first, sizes))
    shown = [f"{what} 1 of {sizes[a]}" for a, what in (("C", "channel"), ("T", "frame")) if sizes.get(a, 1) > 1]
    return rows, ", ".join(shown)


def _detail(image, prediction, row, place, first, sizes):
    """The part of the first row with the most contrast, as it is."""
    side = [min(_DETAIL, sizes[a]) for a in "YX"]
    window = tuple(max(1, min(n // row.step, m)) for n, m in zip(side, row.input.shape, strict=True))
    corner = [int(n) * row.step for n in busiest(row.output, window)]
    corner = tuple(min(c, sizes[a] - n) for c, a, n in zip(corner, "YX", side, strict=True))
    box = {a: slice(c, c + n) for a, c, n in zip("YX", corner, side, strict=True)}
    planes = [reduced_plane(i, 1, f | at, box) for i, f, at in zip((image, prediction), first, place[1:], strict=True)]
    return _Row(f"{place[0]}, part with all pixels".removeprefix(", "), *planes, 1, corner)


def _extent(image, row):
    """Height and width of a row's pictures, in the unit of their axes."""
    return tuple(n * row.step * _pixel(image, a)[0] for n, a in zip(row.input.shape, "YX", strict=True))


def _pixel(image, axis):
    """Size of a pixel, and its unit; of images without, pixels."""
    known = image.unit and {"Y", "X"} <= set(image.pixel_size)
    return (image.pixel_size[axis], shown_unit(image.unit)) if known else (1, "pixels")


def _draw(figure, cells, row, image, labels):
    (height, width), (y_size, unit), (x_size, _) = _extent(image, row), _pixel(image, "Y"), _pixel(image, "X")
    top, left = (n * size for n, size in zip(row.corner or (0, 0), (y_size, x_size), strict=True))
    ranges = _ranges(row, labels)
    own = " (own scale of grey)" if None not in ranges and ranges[0] != ranges[1] else ""
    for cell, name, plane, bounds in zip(cells, ("input", "output"), (row.input, row.output), ranges, strict=True):
        cell.set_label(", ".join(filter(None, [name, row.name])))
        cell.set_title(f"{'labels' if labels and name == 'output' else name}{own}", fontsize=11)
        options = {"extent": (left, left + width, top + height, top), "interpolation": "nearest"}
        if bounds is None:
            _draw_classes(figure, cell, plane, options)
        else:
            drawn = cell.imshow(plane, cmap="gray", vmin=bounds[0], vmax=bounds[1], **options)
            figure.colorbar(drawn, cax=cell.inset_axes([1.015, 0, 0.03, 1])).ax.tick_params(labelsize=8)
        cell.set_xlabel(f"x ({unit})", fontsize=9)
        cell.tick_params(labelsize=8)
    cells[0].set_ylabel("\n".join(filter(None, [row.name, f"y ({unit})"])), fontsize=9)
    if unit != "pixels":
        scale_bar(cells[0], 1, unit, (height, width), (top, left))


def _frame(cells, part, image):
    """Show where a part is."""
    from matplotlib.patches import Rectangle

    (y_size, _), (x_size, _) = _pixel(image, "Y"), _pixel(image, "X")
    height, width = _extent(image, part)
    for cell in cells:
        corner = part.corner[1] * x_size, part.corner[0] * y_size
        cell.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=COLOURS[4], lw=1.2))


def _ranges(row, labels):
    """The range of grey of both pictures: one, or of each its own; ``None`` for labels."""
    if labels:
        return limits([row.input]), None
    own = [limits([plane]) for plane in (row.input, row.output)]
    both = min(dark for dark, _ in own), max(bright for _, bright in own)
    alike = all(bright - dark >= _LEAST_RANGE * (both[1] - both[0]) for dark, bright in own)
    return (both, both) if alike else own


def _draw_classes(figure, cell, plane, options):
    """Labels in colours, with a legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    values = np.unique(plane)
    count = len(CLASS_COLOURS)
    indices = np.searchsorted(values, plane) % count
    cell.imshow(indices, cmap=ListedColormap(CLASS_COLOURS), vmin=-0.5, vmax=count - 0.5, **options)
    patches = [Patch(color=colour, label=f"{value:g}") for colour, value in zip(CLASS_COLOURS, values, strict=False)]
    cell.legend(handles=patches, title="class", fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
