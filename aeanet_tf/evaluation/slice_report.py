"""What comes out of a test of slice interpolation: scores of several methods, and a picture of each slice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aeanet_tf.evaluation.figures import bare, caption, limits
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.evaluation.tables import cell, label_of, markdown, write_lines

_PROTOCOL = get_protocol("interpolation")


def slice_figure(test: Any, title: str) -> Figure:
    """The neighbours, the true slice and what each method makes of it; below, how far it is from the true one.

    Args:
        test: an `aeanet_tf.runs.repair_stack.LeftOut`.
        title: what the picture is of, such as the name of the stack.

    Returns:
        The matplotlib figure.
    """
    last = len(test.predictions) + 1
    pictures = {f"slice {test.number - 1}": test.before, **test.predictions, f"slice {test.number + 1}": test.after}
    errors = {name: np.abs(image.astype("f8") - test.truth) for name, image in test.predictions.items()}
    aspect = min(2.0, max(0.4, test.truth.shape[0] / test.truth.shape[1]))
    figure = Figure(figsize=(2.6 * (last + 1), 5.2 * aspect + 0.9), layout="constrained")
    axes = figure.subplots(2, last + 1)
    (dark, bright), (_, largest) = limits([test.truth]), limits(list(errors.values()), 0, 99.5)
    for column, (name, image) in enumerate(pictures.items()):
        axes[0, column].imshow(image, cmap="gray", vmin=dark, vmax=bright)
        axes[0, column].set_title(caption(name, test.scores.get(name)), fontsize=10)
        if name in errors:
            drawn = axes[1, column].imshow(errors[name], cmap="magma", vmin=0, vmax=largest)
            axes[1, column].set_xlabel(f"error of {name}, mean {errors[name].mean():.3g}", fontsize=9)
    axes[1, 0].imshow(test.truth, cmap="gray", vmin=dark, vmax=bright)
    axes[1, 0].set_xlabel(f"slice {test.number}, the true one", fontsize=9)
    for place in axes.flat:
        bare(place)
    axes[1, last].set_axis_off()
    axes[1, last].set_box_aspect(aspect)
    bar = figure.colorbar(drawn, cax=axes[1, last].inset_axes([0.02, 0, 0.06, 1]))
    bar.set_label("|prediction − true slice|", fontsize=9)
    figure.suptitle(f"{title}, slice {test.number} from its neighbours", fontsize=11)
    return figure


def write_scores(path: str | Path, scores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> None:
    """Write scores as CSV: a line for each slice and method.

    Args:
        path: the file.
        scores: score by name, by method, by index of the slice.
    """
    lines = [["slice", "method", *_PROTOCOL.scores]]
    for number, by_method in scores.items():
        for method, values in by_method.items():
            lines.append([number, method, *(float(values[name]) for name in _PROTOCOL.scores)])
    write_lines(path, lines)


def score_table(scores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """A Markdown table of the scores: mean ± standard deviation (n - 1) over the slices, a line a method.

    Args:
        scores: as for `write_scores`.

    Returns:
        The protocol in a line, and the table.
    """
    methods = next(iter(scores.values()))
    lines = [["method", "n", *(label_of(name) for name in _PROTOCOL.scores)]]
    for method in methods:
        values = {name: np.array([of_slice[method][name] for of_slice in scores.values()]) for name in _PROTOCOL.scores}
        lines.append([method, str(len(scores)), *(cell(name, numbers) for name, numbers in values.items())])
    return f"protocol {_PROTOCOL.name}: {_PROTOCOL.description}\n\n{markdown(lines)}"
