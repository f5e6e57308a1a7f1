"""The pictures of a report: pairs that a network is trained on, intensities, curves, validation images with errors."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aeanet_tf.evaluation.charts import PANELS, training_figure
from aeanet_tf.evaluation.figures import COLOURS, bare, limits, plane, shortened
from aeanet_tf.evaluation.panels import CLASS_COLOURS, label_panels, prediction_panels, removal_panels
from aeanet_tf.evaluation.scale_bar import scale_bar
from aeanet_tf.reports.facts import SEGMENTATION, Example, TrainingFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels that a page is wide.
WIDTH = 1200
_BINS = 100
_ADVERSARIAL = (
    ("adversarial_loss", "adversarial loss of the network (0.69: not told from recorded images)"),
    ("discriminator_loss", "loss of the discriminator (0.69: it cannot tell)"),
)


def as_png(figure: "Figure", width: int = WIDTH) -> bytes:
    """A figure as a PNG of that many pixels across."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=width / figure.get_size_inches()[0])
    return stream.getvalue()


def pairs_figure(examples: Sequence[Example], kind: str, target: str = "truth", most: int = 6) -> "Figure":
    """Pairs that a network is trained on, input above truth; both on their own scale of grey, classes in colours.

    Of volumes the middle plane is shown. Without ground truth it is the other noisy image of a pair, or there is none.
    """
    from matplotlib.figure import Figure

    chosen = examples[:most]
    columns = max(4, len(chosen))
    aspect = max(np.divide(*example.truth.shape[-2:]) for example in chosen)
    rows = {"input": "input", "truth": "ground truth" if target == "truth" else "other image"}
    if target == "noise2void":
        del rows["truth"]
    height = 12 / columns * len(rows) * min(2.0, max(0.3, aspect)) + 0.6
    figure = Figure(figsize=(12, height), layout="constrained")
    cells = figure.subplots(len(rows), columns, squeeze=False)
    for cell in cells.ravel():
        cell.set_axis_off()
    for column, example in enumerate(chosen):
        for cell, name in zip(cells[:, column], rows, strict=True):
            cell.set_axis_on()
            classes = kind == SEGMENTATION and name == "truth"
            _show(cell, plane(getattr(example, name)), classes)
            bare(cell)
        cells[0, column].set_title(shortened(example.name, 26), fontsize=9)
    for cell, label in zip(cells[:, 0], rows.values(), strict=True):
        cell.set_ylabel(label, fontsize=10)
    return figure


def _show(axes, image, classes=False):
    if classes:
        from matplotlib.colors import ListedColormap

        # What is beyond has the last colour.
        style = {"vmin": -0.5, "vmax": len(CLASS_COLOURS) - 0.5, "interpolation": "nearest"}
        axes.imshow(image, cmap=ListedColormap(CLASS_COLOURS), **style)
        return
    dark, bright = limits([image])
    axes.imshow(image, cmap="gray", vmin=dark, vmax=bright)


def intensities_figure(
    examples: Sequence[Example], kind: str, classes: Mapping[int, str], target: str = "truth"
) -> "Figure":
    """Histograms of the intensities as the network sees them, of inputs and truths; of classes how common they are."""
    from matplotlib.figure import Figure

    segments = kind == SEGMENTATION
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    inputs = np.concatenate([example.input.ravel() for example in examples])
    truths = np.concatenate([example.truth.ravel() for example in examples])
    other = "ground truth" if target == "truth" else "other image"
    alone = segments or target == "noise2void"
    _histogram(left, {"input": inputs} if alone else {"input": inputs, other: truths})
    if segments:
        shares = [100 * float((truths == index).mean()) for index in classes]
        right.bar(range(len(classes)), shares, color=COLOURS[0])
        names = [shortened(name, 16) for name in classes.values()]
        right.set_xticks(range(len(classes)), names, rotation=0 if len(classes) < 7 else 90)
        right.set_ylabel("share of pixels (%)")
        right.set_title("classes", fontsize=11)
    elif target == "noise2void":
        right.bar(range(len(examples)), [float(np.mean(example.input)) for example in examples], color=COLOURS[0])
        right.set_xlabel("image")
        right.set_ylabel("mean of the input")
        right.set_title("brightness of the images", fontsize=11)
    else:
        means = [[float(np.mean(each)) for each in (example.flat_input, example.truth)] for example in examples]
        right.scatter(*zip(*means, strict=True), s=14, color=COLOURS[0])
        right.set_xlabel("mean of the input")
        right.set_ylabel(f"mean of the {other}")
        right.set_title("brightness of the pairs", fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _histogram(axes, values):
    lowest, highest = limits(list(values.values()), 0.05, 99.95)
    edges = np.linspace(lowest, highest, _BINS)
    for (name, of), colour in zip(values.items(), COLOURS, strict=False):
        axes.hist(of, edges, density=True, histtype="step", color=colour, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("intensity as the network sees it")
    axes.set_ylabel("density")
    axes.set_title("intensities of the training patches", fontsize=11)
    axes.legend(fontsize=9, frameon=False)


def curves_figure(facts: TrainingFacts) -> "Figure":
    """Loss of training and validation by step; of an adversarial training its two losses, too."""
    panels = [*PANELS, *(_ADVERSARIAL if facts.adversarial else ())]
    return training_figure({facts.name: [facts.history]}, {facts.name: facts.steps_per_epoch}, panels)


def example_figure(example: Example, facts: TrainingFacts, scores: Mapping[str, Mapping[str, float]]) -> "Figure":
    """A validation image: input, predictions by best and last weights, truth, and where they are wrong.

    Args:
        example: with at least one prediction.
        facts: of the training.
        scores: of `aeanet_tf.evaluation.panels.prediction_panels`.
    """
    named = {"best weights": example.best, "last weights": example.last}
    predictions = {name: plane(image) for name, image in named.items() if image is not None}
    image, truth = plane(example.flat_input), plane(example.truth)
    where = ", middle plane" if example.truth.ndim == 3 else ""
    title = shortened(example.name, 90) + where
    if facts.kind == SEGMENTATION:
        figure = label_panels(image, *_of_few_classes(truth, predictions, dict(facts.classes)), title=title)
    elif not facts.has_truth:
        figure = removal_panels(image, predictions, title)
    else:
        figure = prediction_panels(image, predictions, truth, scores, title)
    size = facts.pixel_size.get("X")
    if size:
        scale_bar(figure.axes[0], size, facts.unit or "", image.shape, below=True)
    return figure


def _of_few_classes(truth, predictions, classes):
    """Truth, predictions and names of classes, the last of them as one where there are more than colours."""
    most = len(CLASS_COLOURS) - 1
    if len(classes) <= most + 1:
        return truth, predictions, classes
    names = dict(list(classes.items())[:most])
    return np.minimum(truth, most), {n: np.minimum(i, most) for n, i in predictions.items()}, {**names, most: "others"}


def profile_figure(example: Example, has_truth: bool = True) -> "Figure":
    """The middle row of a validation image: input, predictions and truth, as the network sees them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3), layout="constrained")
    axes = figure.subplots()
    plane_of = ", middle plane" if example.truth.ndim == 3 else ""
    figure.suptitle(f"middle row of {shortened(example.name, 90)}{plane_of}", fontsize=11)
    lines = {"input": (example.flat_input, "0.75", 1)}
    if has_truth:
        lines["ground truth"] = example.truth, "k", 2
    for name, image, colour in (("last weights", example.last, COLOURS[0]), ("best weights", example.best, COLOURS[1])):
        if image is not None:
            lines[name] = image, colour, 3
    for name, (image, colour, above) in lines.items():
        row = plane(image)
        axes.plot(row[len(row) // 2], color=colour, lw=1, label=name, zorder=above)
    # The smoothest of what is drawn.
    clean = plane(example.truth if has_truth else image)
    dark, bright = limits([clean[len(clean) // 2]], 0, 100)
    margin = 0.6 * (bright - dark)
    # The input's noise may be many times the signal.
    axes.set_ylim(dark - margin, bright + margin)
    axes.set_xlabel("x (pixels)")
    axes.set_ylabel("intensity")
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    # Above the lines, which may be anywhere.
    axes.legend(fontsize=9, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return figure


def stacked(pictures: Sequence[bytes]) -> bytes:
    """PNGs below each other as one; narrower ones are filled up with white."""
    from PIL import Image

    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    return stream.getvalue()
