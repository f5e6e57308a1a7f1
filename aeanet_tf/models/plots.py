"""Plots of a training, called as CSBDeep's notebooks call theirs."""

from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.training import read_history


def plot_history(history, *keys, logy=False, **kwargs):
    """Draw the curves of a training into the current figure and show it; called as ``csbdeep.utils.plot_history``.

    Args:
        history: the ``History`` that ``train`` returns, or the folder of a model.
        keys: names of curves in one panel, or a list of names for each panel; training and validation loss by default.
        logy: whether the vertical axis is logarithmic.
        kwargs: of ``matplotlib.pyplot.plot``.

    Raises:
        InputError: a name that the history does not have.

    Example:
        plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
    """
    import matplotlib.pyplot as plt

    epochs, curves = _curves(history)
    keys = keys or ("loss", "val_loss")
    panels = [keys] if all(isinstance(key, str) for key in keys) else keys
    for number, panel in enumerate(panels, 1):
        axes = plt.subplot(1, len(panels), number)
        for key in [panel] if isinstance(panel, str) else panel:
            if key not in curves:
                raise InputError(f"plot_history: found {key!r}, expected one of {', '.join(curves) or 'none'}")
            axes.plot(epochs, curves[key], ".-", label=key, **kwargs)
        axes.set_yscale("log" if logy else "linear")
        axes.set_xlabel("epoch")
        axes.legend(loc="best")
    if plt.get_backend().lower() != "agg":
        plt.show()


def _curves(history):
    """Numbers of the epochs, and the values of each curve."""
    if not isinstance(history, (str, Path)):
        return history.epoch, history.history
    rows = read_history(Path(history) / "history.csv")
    names = dict.fromkeys(name for row in rows for name in row if name != "epoch")
    return [row["epoch"] for row in rows], {name: [row.get(name) for row in rows] for name in names}
