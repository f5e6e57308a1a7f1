"""Pictures of results, drawn without a display."""

from pathlib import Path

import numpy as np

from aeanet_tf.files import replacing

_CURVES = (("loss", "training"), ("val_loss", "validation"))


def restoration_figure(path, low, prediction, gt, scores, history, title=""):
    """One picture of a restoration: input, prediction, truth with their scores, and the learning curve.

    Args:
        path: PNG to write.
        low, prediction, gt: 2D arrays of one shape. Each is shown between its percentiles 1 and 99.8, because input
            and truth may have different units.
        scores: dict ``{"input": {...}, "prediction": {...}}`` of score name to value, PSNR in dB.
        history: rows of `aeanet_tf.training.read_history`.
        title: above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.6), layout="constrained")
    axes = figure.subplot_mosaic([["input", "prediction", "truth"], ["curve", "curve", "detail"]], height_ratios=(3, 2))
    for name, image in (("input", low), ("prediction", prediction), ("truth", gt)):
        axes[name].imshow(image, cmap="gray", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99.8))
        axes[name].set_title(_caption(name, scores.get(name)), fontsize=10)
        axes[name].set_axis_off()
    _curve(axes["curve"], history)
    _profile(axes["detail"], low, prediction, gt)
    figure.suptitle(title)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=110)


def _caption(name, scores):
    if not scores:
        return name
    parts = [f"PSNR {scores['psnr']:.2f} dB"] if "psnr" in scores else []
    parts += [f"SSIM {scores['ssim']:.3f}"] if "ssim" in scores else []
    return f"{name}\n{', '.join(parts)}"


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


def _profile(axes, low, prediction, gt):
    """The middle row of the three images, each scaled to its own percentiles: noise and lost edges show here."""
    for name, image, style in (("input", low, "0.75"), ("truth", gt, "k"), ("prediction", prediction, "C3")):
        dark, bright = np.percentile(image, (1, 99.8))
        axes.plot((image[image.shape[0] // 2] - dark) / max(bright - dark, 1e-9), color=style, lw=1, label=name)
    axes.set_xlabel("x (pixels), middle row")
    axes.set_ylabel("scaled intensity")
    axes.legend(fontsize=8)
