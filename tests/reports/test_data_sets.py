"""Bad data are told by the report of ``aeanet train``, and good data raise no alarm."""

import html
import re
from pathlib import Path

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from tests.models import EAGER, eager_tensorflow, write_config
from tests.reports import leave_out_pictures
from tests.reports.test_findings import noisy

pytestmark = EAGER
REAL = Path(__file__).parents[3] / "shared" / "data" / "w2s" / "train"
# What a training of two steps is told, and rightly.
OF_TRAINING = {"Flat predictions", "No better than a filter"}
SIDE = 112


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty working directory; reports are written, without pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEANET_REPORT", "1")
    leave_out_pictures(monkeypatch)
    return tmp_path


def pairs(count, first=0):
    """Input and truth of ``count`` specimens, uint16."""
    made = [noisy(seed, (SIDE, SIDE)) for seed in range(first, first + count)]
    return [tuple((200 + 1000 * image).clip(0, 65535).astype("uint16") for image in pair) for pair in made]


def write(made, folder, axes="YX"):
    for number, (x, y) in enumerate(made):
        write_image(Path("data") / folder / "low" / f"image{number}.tif", x, axes)
        write_image(Path("data") / folder / "GT" / f"image{number}.tif", y, axes)


def train(caplog, **data):
    """Train two steps; the findings of the report by title, those of the training itself left out."""
    training = {"steps": 2, "steps_per_epoch": 2, "batch_norm_batches": 0}
    write_config(Path("run.json"), data=data, training=training)
    assert main(["train", "--config", "run.json"]) == 0
    page = Path("models/m/report.html").read_text(encoding="utf-8")
    found = dict(re.findall(r'<div class="finding"><b>(.*?)\.</b> (.*?)</div>', page))
    found = {html.unescape(title): html.unescape(text) for title, text in found.items()}
    (line,) = [message for message in caplog.messages[-4:] if message.startswith("report: ")]
    # The terminal names what the page does.
    where, said = line.removeprefix("report: ").split(": ", 1)
    assert where == str(Path("models/m/report.html")) and said == ("; ".join(found) or "nothing suspicious")
    return {title: text for title, text in found.items() if title not in OF_TRAINING}


def train_with_validation(made, caplog, held=None, **data):
    """`train` on all pairs but the last three, which are held out."""
    made, held = (made[:-3], made[-3:]) if held is None else (made, held)
    write(made, "train")
    write(held, "val")
    return train(caplog, validation_low="val/low", validation_GT="val/GT", **data)


def only(found, title):
    """The text of the one finding that there is."""
    assert list(found) == [title]
    return found[title]


def test_good_data(caplog):
    assert train_with_validation(pairs(9), caplog) == {}


def test_pairs_that_are_shifted(caplog):
    made = [(x, np.roll(y, 8, 1)) for x, y in pairs(9)]
    text = only(train_with_validation(made, caplog), "Input and ground truth are shifted")
    assert "moved by -8 along X, in pixels" in text and "Register the pairs" in text


def test_truths_that_are_the_inputs(caplog):
    text = only(train_with_validation([(x, x) for x, _ in pairs(9)], caplog), "Input and ground truth are the same")
    assert "In 9 of 9 pairs looked at the ground truth equals the input" in text and "folders" in text


def test_constant_truths(caplog):
    made = [(x, 0 * y + 7) for x, y in pairs(9)]
    text = only(train_with_validation(made, caplog), "Ground truth without contrast")
    assert "In 9 of 9 pairs" in text and "nothing to learn" in text


def test_three_images(caplog):
    write(pairs(3), "train")
    found = train(caplog)
    assert list(found) == ["Little to validate on", "Little to train on"]
    assert found["Little to validate on"].startswith(f"1 image of {SIDE**2:,} pixels")
    assert found["Little to train on"].startswith(f"2 images of {2 * SIDE**2:,} pixels together")


def test_truths_of_another_specimen(caplog):
    made = [(x, y) for (x, _), (_, y) in zip(pairs(9), pairs(9, first=50), strict=True)]
    text = only(train_with_validation(made, caplog), "Input and ground truth show different things")
    assert "Are the files paired rightly?" in text


def test_images_that_are_trained_and_validated_on(caplog):
    made = pairs(6)
    text = only(train_with_validation(made, caplog, held=made[:3]), "Validated on what it is trained on")
    assert "3 of 3 images" in text


def test_real_images(caplog):
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/w2s")
    names = sorted(path.name for path in (REAL / "low").iterdir())[::14][:9]
    made = [[read_image(REAL / side / name).array[128:384, 128:384] for side in ("low", "GT")] for name in names]
    assert len(made) == 9 and train_with_validation(made, caplog, match_targets=True) == {}
