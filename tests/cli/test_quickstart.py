"""``aeanet quickstart`` goes from sample images to a picture and scores, as often as one likes."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from aeanet_tf.cli.main import main
from aeanet_tf.data.images import read_image
from aeanet_tf.data.samples import load_sample_pairs
from aeanet_tf.training import CSVHistory, read_history
from tests.models import EAGER, contents, eager_tensorflow

pytestmark = EAGER
CONFIG = Path(__file__).parents[2] / "configs" / "quickstart.json"
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
        return main(["quickstart", "--config", str(CONFIG), "--output", "result", *words])


def test_picture_scores_and_images(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert quickstart() == 0
    expected = {f"{kind}/sample_{i}.tif" for kind in ("low", "GT", "prediction") for i in range(3)}
    assert set(contents(Path("result"))) == expected | {"quickstart.png", "scores.csv"}
    picture = imread("result/quickstart.png")
    assert picture.shape[:2] == (836, 1430) and picture[..., :3].std() > 20
    with open("result/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["sample_0.tif", "sample_1.tif", "sample_2.tif"]
    for row in rows:
        assert np.isfinite(float(row["psnr"])) and np.isfinite(float(row["input_psnr"]))
    assert read_image("result/prediction/sample_0.tif").array.shape == load_sample_pairs()["test"][0][0].shape
    printed = capfd.readouterr().out
    assert "3 held-out images, protocol care" in printed and "picture: result/quickstart.png" in printed
    assert len(read_history("models/quickstart/history.csv")) == 2

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


def test_other_data_are_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert quickstart("data.kind=folders") == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(r"quickstart\.json: data\.kind is 'folders', the quickstart takes 'sample'", error)
    assert not contents(tmp_path)
