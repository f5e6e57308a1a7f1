"""The page and the picture that reports are."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from aeanet_tf.evaluation.scale_bar import scale_bar
from aeanet_tf.reports.facts import INTERPOLATION, RESTORATION, SEGMENTATION, Example, TrainingFacts, restoration_scores
from aeanet_tf.reports.page import write_report
from aeanet_tf.reports.pictures import WIDTH, curves_figure, example_figure
from tests.reports.test_findings import pairs, rows, truth

HISTORY = rows([1.0, 0.5, 0.3], [1.0, 0.6, 0.5])


def facts(kind=RESTORATION, shape=(48, 64), **others):
    examples = pairs(shape=shape, count=3)
    if kind == SEGMENTATION:
        examples = [Example(e.name, e.input, (e.truth > 0.3).astype("int64")) for e in examples]
    for example in examples[:2]:
        example.best, example.last = example.truth, example.truth
    axes = "ZYX"[-len(shape) :]
    others = {"history": HISTORY, "counts": (30, 5), "steps_per_epoch": 10, **others}
    return TrainingFacts("spots & <cells>", kind, axes, examples, examples[:2], **others)


def pictures(page):
    """The PNGs inside a page."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


@pytest.mark.parametrize(
    "kind, shape, count",
    [
        (RESTORATION, (48, 64), 6),
        (RESTORATION, (6, 48, 64), 6),
        (SEGMENTATION, (48, 64), 5),
        (INTERPOLATION, (48, 64), 6),
    ],
)
def test_the_page_opens_alone(tmp_path, kind, shape, count):
    of = facts(kind, shape, classes={0: "class 0", 1: "class 255"} if kind == SEGMENTATION else {})
    write_report(tmp_path, of)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    # Pictures are inside, and nothing is fetched.
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page.replace("http-equiv", "")
    found = pictures(page)
    assert len(found) == count and {picture.width for picture in found} == {WIDTH}
    assert "spots &amp; &lt;cells&gt;" in page and "<cells>" not in page
    assert "Lowest validation loss: 0.5, at validation 3" in page and "goes on" in page
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width == WIDTH and picture.height > 600
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.png"}


def test_findings_scores_and_commands_are_on_the_page(tmp_path):
    commands = ["aeanet predict --model 'a & b'"]
    of = facts(running=False, pixels=(1 << 20, 1 << 10), lines={"versions": "keras 3"}, commands=commands)
    for example in of.shown:
        example.best = example.last = gaussian_filter(example.input, 0.3)
    of.scores = restoration_scores(of.shown)
    found = write_report(tmp_path, of)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [finding.title for finding in found] == ["Little to validate on", "No better than a filter"]
    assert all(f"<b>{finding.title}.</b>" in page for finding in found) and "Nothing suspicious" not in page
    assert f"{of.scores['best weights']:.2f} dB" in page and "aeanet predict --model &#x27;a &amp; b&#x27;" in page
    assert "keras 3" in page and "has ended" in page


def test_curves_of_an_adversarial_training_have_both_losses():
    history = [{**row, "adversarial_loss": 0.7 + i, "discriminator_loss": 0.6} for i, row in enumerate(HISTORY)]
    axes = {cell.get_label(): cell for cell in curves_figure(facts(history=history, adversarial=True)).axes}
    assert list(axes) == ["loss", "val_loss", "adversarial_loss", "discriminator_loss"]
    np.testing.assert_allclose(axes["adversarial_loss"].lines[0].get_ydata(), [0.7, 1.7, 2.7])
    assert len(curves_figure(facts(history=history)).axes) == 2


def test_nothing_is_drawn_of_what_is_not_there(tmp_path):
    of = facts(history=[])
    for example in of.shown:
        example.best = example.last = None
    write_report(tmp_path, of)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(pictures(page)) == 2 and not (tmp_path / "report.png").exists()


@pytest.mark.parametrize(
    "size, width, length", [(0.1, 256, 5.0), (0.065, 512, 5.0), (1.0, 100, 20.0), (40.0, 64, 500.0)]
)
def test_a_scale_bar_is_of_a_round_length(size, width, length):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.imshow(np.zeros((width, width)))
    scale_bar(axes, size, "um", (width, width), below=True)
    (bar,) = axes.lines
    drawn = np.ptp(bar.get_xdata())
    assert drawn * size == pytest.approx(length) and drawn <= width / 4
    assert axes.texts[0].get_text() == f"{length:g} µm"


def test_of_more_classes_than_colours_the_last_share_one():
    labels = np.arange(12).repeat(8).reshape(8, 12)
    of = facts(SEGMENTATION, classes={i: f"class {i}" for i in range(12)})
    figure = example_figure(Example("a", labels.astype("float32"), labels, best=labels, last=0 * labels), of, {})
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == [*(f"class {i}" for i in range(7)), "others"]
    said = [axes.get_xlabel() for axes in figure.axes if axes.get_label().startswith("wrong")]
    assert said[0] == "0.00 % of pixels wrong" and said[1].startswith("91.67 %")


def test_images_without_contrast_are_shown(tmp_path):
    of = facts()
    for example in of.shown:
        example.truth = np.zeros_like(truth(0, (48, 64)))
        example.best = example.last = example.truth
    assert "Ground truth without contrast" in [finding.title for finding in write_report(tmp_path, of)]


@pytest.mark.parametrize(("target", "count"), [("noise2void", 6), ("noise2noise", 6)])
def test_without_ground_truth_nothing_is_scored(tmp_path, target, count):
    of = facts(target=target)
    assert write_report(tmp_path, of) == []
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "There is no ground truth, hence no score" in page
    assert " dB" not in page and "Scores" not in page
    assert len(pictures(page)) == count


def test_a_picture_without_ground_truth():
    of = facts(target="noise2void")
    names = {axes.get_label() for axes in example_figure(of.shown[0], of, {}).axes}
    assert {"input", "removed best weights"} <= names and "truth" not in names
