"""The picture of a training that runs: its losses, and a validation image with what is predicted of it."""

import numpy as np

from aeanet_tf.evaluation.figures import bare, limits, plane

_CURVES = {"loss": "training", "val_loss": "validation"}


def draw_training(figure, learned):
    """Draw losses by step above input, prediction and truth of one validation image, all on one scale of grey.

    Args:
        figure: a ``matplotlib.figure.Figure``, of which everything else goes.
        learned: an `aeanet_tf.napari.live.Learned`.
    """
    figure.clear()
    grid = figure.add_gridspec(2, 3, height_ratios=(1.1, 1))
    _draw_losses(figure.add_subplot(grid[0, :]), learned)
    example = learned.example
    images = {"input": example.flat_input, "prediction": example.last, "truth": example.truth}
    planes = {name: plane(image) for name, image in images.items()}
    grey = [planes["input"]] if learned.segments else list(planes.values())
    dark, bright = limits(grey)
    for column, (name, image) in enumerate(planes.items()):
        axes = figure.add_subplot(grid[1, column])
        if learned.segments and name != "input":
            axes.imshow(image, cmap="tab10", vmin=-0.5, vmax=9.5, interpolation="nearest")
        else:
            axes.imshow(image, cmap="gray", vmin=dark, vmax=bright)
        axes.set_title(name, fontsize=8)
        bare(axes)


def _draw_losses(axes, learned):
    steps = [(row["epoch"] + 1) * learned.steps for row in learned.history]
    every = []
    for key, name in _CURVES.items():
        values = [row.get(key, np.nan) for row in learned.history]
        axes.plot(steps, values, marker=".", label=name)
        every += values
    # The Laplace loss may fall below 0.
    axes.set_yscale("log" if np.nanmin(every) > 0 else "linear")
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("loss", fontsize=8)
    axes.tick_params(labelsize=7, which="both")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, frameon=False)
