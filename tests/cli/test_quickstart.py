"""``aeanet quickstart`` goes from sample images to a picture and scores, as often as one likes."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from skimage.io import imread

from aeanet_tf.cli.main import main
from aeanet_tf.cli.quickstart import _report
from aeanet_tf.datasets import samples
from aeanet_tf.datasets.samples import load_sample_pairs
from aeanet_tf.evaluation import baselines
from aeanet_tf.evaluation.baselines import Filters, write_filters
from aeanet_tf.evaluation.lattice import lattice
from aeanet_tf.io.read import read_image
from aeanet_tf.runs import image_data
from aeanet_tf.training import CSVHistory, read_history
from tests.models import EAGER, contents, eager_tensorflow

pytestmark = EAGER
SMALL = [
    "training.steps=4",
    "training.steps_per_epoch=2",
    "training.batch_size=2",
    "training.patch_size=[16, 16]",
    "training.batch_norm_batches=2",
    "model.network.first_filters=4",
]


def quickstart(*changes):
    words = [word for change in [*SMALL, *changes] for word in ("--set", change)]
    with eager_tensorflow():
        return main(["quickstart", "--output", "result", *words])


def remembered(function):
    """A filter that does not filter the same image twice: each call of quickstart looks for the best ones anew."""
    known = {}

    def filtered(image, *args, **kwargs):
        key = image.shape, image.tobytes(), args, tuple(sorted(kwargs.items()))
        if key not in known:
            known[key] = function(image, *args, **kwargs)
        return known[key].copy()

    return filtered


def test_picture_scores_and_images(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baselines, "denoise_nl_means", remembered(baselines.denoise_nl_means))
    assert quickstart() == 0
    expected = {f"{kind}/sample_0.tif" for kind in ("low", "GT", "prediction")}
    assert set(contents(Path("result"))) == expected | {"quickstart.png", "scores.csv"}
    picture = imread("result/quickstart.png")
    assert picture.shape[:2] == (836, 1906) and picture[..., :3].std() > 20
    with open("result/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"sample_0.tif [C={channel}]" for channel in range(3)]
    for row in rows:
        assert np.isfinite(float(row["psnr"])) and np.isfinite(float(row["input_psnr"]))
    image = read_image("result/prediction/sample_0.tif")
    assert image.array.shape == (3, *load_sample_pairs()["test"][0][0].shape) and image.axes == "CYX"
    printed = capfd.readouterr().out
    assert "3 held-out images, protocol care" in printed and "picture: result/quickstart.png" in printed
    assert re.search(r"\| Gaussian \(sigma 1; best for this truth\) +\| 3 \| 26\.71 ± ", printed)
    assert re.search(r"\| prediction - non-local means \([0-9.]+; best for this truth\) +\| 3 \| [-+]", printed)
    truth = np.mean([lattice(image) for image in load_sample_pairs()["test"][1]])
    assert re.search(rf"lattice of period 2 .*: prediction [0-9.]+, ground truth {truth:.2f}\n", printed)
    assert len(read_history("models/quickstart/history.csv")) == 2
    report_with_filters(capfd)

    # What follows is about files and trainings, for which corners of the images do.
    pairs = {part: [[image[:96, :96] for image in of] for of in both] for part, both in load_sample_pairs().items()}
    monkeypatch.setattr(samples, "load_sample_pairs", lambda: pairs)
    monkeypatch.setattr(image_data, "load_sample_pairs", lambda: pairs)

    # The exposures one by one, as three images.
    assert quickstart("model.n_channel_in=1", "model.n_channel_out=1") == 0
    assert read_image("result/prediction/sample_2.tif").axes == "YX"

    # Again, interrupted after the first epoch, then with another setting: it begins anew.
    def stop(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSVHistory, "on_train_batch_end", stop)
        assert quickstart() == 130
    assert (tmp_path / "models" / "quickstart" / "resume" / "state.json").is_file()
    assert quickstart("training.learning_rate=0.002") == 0
    assert [row["epoch"] for row in read_history("models/quickstart/history.csv")] == [0, 1]
    with open("result/scores.csv", newline="") as file:
        assert [row["psnr"] for row in csv.DictReader(file)] != [row["psnr"] for row in rows]


def report_with_filters(capfd):
    """Filters that the training chose stand beside those that are best."""
    write_filters("models/quickstart", Filters(3.0))
    _report(Path("result"), SimpleNamespace(logdir=Path("models/quickstart")), ["sample_0.tif"])
    printed = capfd.readouterr().out
    assert "| Gaussian (sigma 3) " in printed and "| Gaussian (sigma 1; best for this truth) " in printed


def test_other_data_are_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert quickstart("data.kind=folders") == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(r"quickstart: data\.kind is 'folders', the quickstart takes 'sample'", error)
    assert not contents(tmp_path)
