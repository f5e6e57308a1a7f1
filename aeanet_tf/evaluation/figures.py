"""Figures of results, drawn without a display: what all of them share (planes of volumes, ranges of grey, saving), and
those of a restoration and of training patches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable with any colour vision (Okabe and Ito), black left for what is measured against.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
# Letters of a name that fit above one picture, beside those of the others.
_LONGEST = 34
_CURVES = (("loss", "training"), ("val_loss", "validation"))
# Colour of a profile and how far to the front it is drawn; what has another name comes between.
_STYLES = {"input": ("0.75", 0), "truth": ("k", 2), "prediction": ("C3", 3)}


def save_figure(figure: "Figure", path: str | Path, dpi: int = 150) -> None:
    """Write a ``matplotlib.figure.Figure``; the file appears when it is whole.

    Names of images in it are drawn as they are: nothing between dollar signs is a formula.

    Raises:
        InputError: it cannot be written.
    """
    _take_literally(figure)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=dpi)


def _take_literally(figure: "Figure") -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        content = text.get_text()
        # Numbers at an axis are formulas of matplotlib's own.
        if "$" in content and r"\mathdefault" not in content:
            text.set_parse_math(False)
        text.set_text(content.encode("utf-8", "backslashreplace").decode())


def plane(array: np.ndarray) -> np.ndarray:
    """What a picture shows of a spatial array: a 2D array itself, the middle plane of a 3D one (our choice; a maximum
    over z would put structures of different planes beside each other).

    Raises:
        InputError: another number of axes.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3):
        raise InputError(f"figure: found an array of shape {array.shape}, expected two or three spatial axes")
    return array if array.ndim == 2 else array[len(array) // 2]


def limits(arrays: Sequence[np.ndarray], low: float = 1.0, high: float = 99.8) -> tuple[float, float]:
    """The range of values to draw: two percentiles of all ``arrays`` together; never empty."""
    values = np.concatenate([np.ravel(array) for array in arrays])
    dark, bright = (float(v) for v in np.percentile(values, (low, high)))
    return (dark, bright) if bright > dark else (dark, dark + max(1e-6, 1e-6 * abs(dark)))


def shortened(name: str, length: int) -> str:
    """A name that fits beside a picture: its middle is left out where it is long."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def bare(axes: "Axes") -> None:
    """Take the ticks and the frame from the axes of a picture, but leave its labels."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def caption(name: str, scores: Mapping[str, float] | None) -> str:
    """Lines at a picture: its name, a long one on several, and of PSNR and SSIM what there is."""
    forms = {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.3f}"}
    parts = [form.format(scores[key]) for key, form in forms.items() if scores and key in scores]
    lines = "\n".join(wrap(name, _LONGEST)) or name
    return f"{lines}\n{', '.join(parts)}"


def restoration_figure(
    path: str | Path,
    images: Mapping[str, np.ndarray],
    scores: Mapping[str, Mapping[str, float]],
    history: Sequence[Mapping[str, float]],
    title: str = "",
) -> None:
    """One picture of a restoration: images with their scores, a profile through them, and the learning curve.

    Args:
        path: PNG to write.
        images: arrays of one shape by name, ``(y, x)`` or in colours ``(y, x, 3)``, such as "input", a filter's,
            "prediction" and "truth", in the order in which they are shown. Each is shown between its percentiles 1 and
            99.8, colours together, because input and truth may have different units.
        scores: dict ``{"input": {...}, "prediction": {...}}`` of score name to value, PSNR in dB, by name of the image.
        history: rows of `aeanet_tf.training.read_history`.
        title: above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13 / 3 * len(images), 7.6), layout="constrained")
    half = len(images) // 2
    below = ["curve"] * half + ["detail"] * (len(images) - half)
    axes = figure.subplot_mosaic([list(images), below], height_ratios=(3, 2))
    for name, image in images.items():
        dark, bright = np.percentile(image, (1, 99.8))
        # Matplotlib scales no colours.
        shown = image if image.ndim == 2 else np.clip((image - dark) / max(bright - dark, 1e-9), 0, 1)
        axes[name].imshow(shown, cmap="gray", vmin=dark, vmax=bright)
        axes[name].set_title(caption(name, scores.get(name)).rstrip(), fontsize=10)
        axes[name].set_axis_off()
    _curve(axes["curve"], history)
    _profile(axes["detail"], images)
    figure.suptitle(title)
    save_figure(figure, path, dpi=110)


def _curve(axes, history):
    epochs = [row["epoch"] + 1 for row in history]
    values = {
        name: [row.get(key, np.nan) for row in history] for key, name in _CURVES if any(key in row for row in history)
    }
    for name, losses in values.items():
        axes.plot(epochs, losses, marker=".", label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    if values:
        # The Laplace loss may fall below 0.
        axes.set_yscale("log" if np.nanmin(list(values.values())) > 0 else "linear")
        axes.legend()


def _profile(axes, images):
    """The middle row of the images (of colours, green), each scaled to its percentiles: noise and lost edges show."""
    images = {name: image if image.ndim == 2 else image[..., 1] for name, image in images.items()}
    for number, (name, image) in enumerate(images.items()):
        dark, bright = np.percentile(image, (1, 99.8))
        color, above = _STYLES.get(name, (f"C{number - 1}", 1))
        line = (image[image.shape[0] // 2] - dark) / max(bright - dark, 1e-9)
        axes.plot(line, color=color, lw=1, label=name, zorder=2 + above / 10)
    axes.set_xlabel("x (pixels), middle row")
    axes.set_ylabel("scaled intensity")
    axes.legend(fontsize=8)


def draw_patches(path: str | Path, x: np.ndarray, y: np.ndarray, axes: str, number: int = 8, seed: int = 0) -> None:
    """Write a PNG with pairs drawn at random: source above, target below, first channel, grey from the source's
    and target's own percentiles 0.5 and 99.5; other axes than Y and X by maximum projection.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:number])
    figure = Figure(figsize=(1.6 * len(chosen) + 0.4, 3.7), layout="constrained")
    panels = figure.subplots(2, len(chosen), squeeze=False)
    for row, (name, patches) in enumerate((("source", x), ("target", y))):
        for panel, index in zip(panels[row], chosen, strict=True):
            picture = _plane(patches[index], axes[1:])
            low, high = np.percentile(picture, (0.5, 99.5))
            panel.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
            if row == 0:
                panel.set_title(f"patch {index}", fontsize=8)
        panels[row, 0].set_ylabel(name, fontsize=9)
    save_figure(figure, path)


def _plane(patch: np.ndarray, axes: str) -> np.ndarray:
    patch, axes = patch.take(0, axis=axes.index("C")), axes.replace("C", "")
    patch = patch.max(axis=tuple(number for number, axis in enumerate(axes) if axis not in "YX"))
    return patch if axes.index("Y") < axes.index("X") else patch.T
