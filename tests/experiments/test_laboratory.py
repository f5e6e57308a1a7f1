"""Experiments that are stopped go on; what is finished is not done again, and what is not theirs is not taken."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from aeanet_tf.errors import DivergedError, InputError
from aeanet_tf.experiments import laboratory as laboratory_module
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.laboratory import Case, Laboratory, Method
from aeanet_tf.experiments.scores import write_report
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs import train as runs
from tests.models import EAGER, eager_tensorflow

pytestmark = EAGER
SMALL = ("model.network.first_filters=4", "training.patch_size=[16,16]", "training.batch_norm_batches=1")
METHOD = Method("AEANet", "aeanet", "aeanet-em", {"attention": {"shared_references": 3}})


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            for kind in ("low", "GT"):
                write_image(folder / split / kind / f"{i}.tif", rng.random((32, 32)).astype("float32"), "YX")
    configs = folder / "configs"
    configs.mkdir()
    config = {
        "model": {"name": "any", "network": {"attention": {"num_heads": 1}}},
        "data": {"axes": "YX", "validation_low": "val/low", "validation_GT": "val/GT"},
        "training": {"steps": 400, "steps_per_epoch": 100, "batch_size": 8, "patch_size": [32, 32], "loss": "mse"},
    }
    (configs / "small.json").write_text(json.dumps(config))
    return folder


def laboratory(data, output, budget="tiny", overrides=SMALL):
    return Laboratory(data, output, parse_budget(budget), (0,), data / "configs", overrides)


def images(count=3):
    rng = np.random.default_rng(1)
    pairs = [(rng.random((24, 20)).astype("float32"), rng.random((24, 20)).astype("float32")) for _ in range(count)]
    return [Case(f"t{i}", lambda pair=pair: pair, "YX") for i, pair in enumerate(pairs)]


def protocol(gt, image, low):
    return {"mse": np.mean((gt - image) ** 2), "gain": np.mean((gt - low) ** 2) - np.mean((gt - image) ** 2)}


def test_configurations_are_the_file_with_method_budget_and_overrides(data, tmp_path):
    lab = laboratory(data, tmp_path)
    config = lab.config("small", METHOD, 5, training={"learning_rate": 0.25})
    assert config.model.name == "small-aeanet-seed5-tiny" and config.model.basedir == str(tmp_path / "models")
    assert config.model.network == {"attention": {"num_heads": 1, "shared_references": 3}, "first_filters": 4}
    assert (config.training.steps, config.training.seed, config.training.learning_rate) == (2, 5, 0.25)
    assert config.training.loss == "mse" and config.data.root == str(data.resolve())
    full = laboratory(data, tmp_path, "full", ()).config("small", METHOD, 0)
    assert (full.model.name, full.training.steps) == ("small-aeanet-seed0", 400)
    assert lab.config("small", METHOD, 5, part="subject3").model.name == "small-aeanet-subject3-seed5-tiny"
    with pytest.raises(InputError, match=r"none\.json: no such configuration file"):
        lab.config("none", METHOD, 0)
    with pytest.raises(InputError, match=r"small\.json.*training\.steps"):
        laboratory(data, tmp_path, overrides=("training.steps=many",)).config("small", METHOD, 0)


def test_a_length_in_epochs_is_known_from_the_trained_model(data, tmp_path):
    """4 images in batches of 2: a tenth of 10 epochs are 2 steps, each validated, since they are fewer than 10."""
    changes = {"epochs": 10, "steps": None, "steps_per_epoch": None, "batch_size": 2}
    lab = laboratory(data, tmp_path, "0.1")
    config = lab.config("small", METHOD, 0, training=changes)
    assert config.training.epochs == 1 and config.training.steps is None
    lab.model(config)
    assert lab.lengths(config) == (2, 1) and lab.is_trained(config)
    steps = laboratory(data, tmp_path, "full", ("training.steps=7",)).config("small", METHOD, 0, training=changes)
    assert (steps.training.steps, steps.training.epochs) == (7, None) and lab.lengths(steps) == (1, 7)
    path = write_report(lab, "table", "Title", [], [], {"A": [config]})
    assert "1 epochs in batches of 2," in path.read_text() and "diverged" not in path.read_text()


def test_what_is_finished_is_not_done_again(data, tmp_path, monkeypatch):
    lab, tests = laboratory(data, tmp_path), images()
    config = lab.config("small", METHOD, 0)
    first = lab.score(config, tests, protocol)
    assert [row["image"] for row in first] == ["t0", "t1", "t2"]
    expected = lab.predict(lab.model(config), tests[1].read()[0], "YX")
    assert first[1]["mse"] == pytest.approx(np.mean((tests[1].read()[1] - expected) ** 2), rel=1e-6)

    def never(*args, **kwargs):
        raise AssertionError("done again")

    again = laboratory(data, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_run", never)
        patch.setattr(Laboratory, "predict", never)
        assert again.score(config, tests, protocol) == first
        with pytest.raises(AssertionError, match="done again"):
            again.score(config, images(4), protocol)
        # Two graphics cards then, none now.
        assert again.is_trained(
            config.model_copy(update={"training": config.training.model_copy(update={"devices": 2})})
        )
    with pytest.raises(InputError, match="of another configuration or other data"):
        again.is_trained(config.model_copy(update={"data": config.data.model_copy(update={"root": "elsewhere"})}))
    with pytest.raises(InputError, match="holds a model of another configuration"):
        other = laboratory(data, tmp_path, overrides=(*SMALL, "training.loss=mae"))
        other.score(other.config("small", METHOD, 0), tests, protocol)
    # Weights that are newer than the scores are scored anew.
    shutil.rmtree(lab.folder(config))
    called = []
    again.score(config, tests, protocol, predict=lambda model, image, axes: called.append(1) or image)
    assert len(called) == 3


def test_last_weights_are_scored_beside_the_best(data, tmp_path):
    lab, last = laboratory(data, tmp_path), replace(laboratory(data, tmp_path), weights="last")
    config, tests = lab.config("small", METHOD, 0), images()
    best = lab.score(config, tests, protocol)
    folder = lab.folder(config)
    model = lab.model(config)
    model.keras_model.set_weights([0.9 * w for w in model.keras_model.get_weights()])
    model.keras_model.save_weights(str(folder / "weights_last.h5"))
    # The best are younger than their scores, still.
    kept = lab.output / "scores" / f"{config.model.name}.csv"
    os.utime(kept)
    expected = [protocol(case.read()[1], lab.predict(model, case.read()[0], "YX"), case.read()[0]) for case in tests]
    found = last.score(config, tests, protocol)
    assert [row["mse"] for row in found] == pytest.approx([scores["mse"] for scores in expected], rel=1e-5)
    assert [row["mse"] for row in found] != [row["mse"] for row in best]
    again = laboratory(data, tmp_path).score(config, tests, protocol, predict=None)
    assert again == best
    assert (lab.reports, last.reports) == (tmp_path, tmp_path / "last_weights")


def test_an_interrupted_training_goes_on(data, tmp_path, monkeypatch):
    straight, stopped = laboratory(data, tmp_path / "a"), laboratory(data, tmp_path / "b")
    whole = straight.model(straight.config("small", METHOD, 0))
    config = stopped.config("small", METHOD, 0)

    class Stopped(Exception):
        pass

    def stop_after_one(self, *args, **kwargs):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        from aeanet_tf.training import CSVHistory

        once = CSVHistory.on_epoch_end
        patch.setattr(
            CSVHistory,
            "on_epoch_end",
            lambda self, epoch, logs=None: stop_after_one(self) if epoch == 1 else once(self, epoch, logs),
        )
        stopped.model(config)
    assert not stopped.is_trained(config)
    resumed = stopped.model(config)
    assert stopped.is_trained(config)
    for a, b in zip(whole.keras_model.get_weights(), resumed.keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_parts_of_one_image_are_predicted_once(data, tmp_path):
    lab = laboratory(data, tmp_path)
    image = np.arange(64.0).reshape(8, 8)
    tests = [
        Case(f"p{i}", lambda i=i: (image, image[2 * i : 2 * i + 2]), "YX", part=slice(2 * i, 2 * i + 2)) for i in (0, 3)
    ]
    seen = []
    config = lab.config("small", METHOD, 0)
    rows = lab.score(config, tests, protocol, "parts", lambda model, x, axes: seen.append(x) or x + 3)
    assert len(seen) == 1 and [row["mse"] for row in rows] == [9, 9] and [row["gain"] for row in rows] == [-9, -9]
    assert lab.score_inputs(tests, protocol)[1] == {"image": "p3", "condition": "", "mse": 0, "gain": 0}


def test_scores_go_on_where_they_were_stopped_and_follow_their_files(data, tmp_path, monkeypatch):
    lab, file = laboratory(data, tmp_path), tmp_path / "image"
    file.write_bytes(b"1" * 200000)
    config = lab.config("small", METHOD, 0)
    tests = [case._replace(files=(file,)) if number == 1 else case for number, case in enumerate(images())]
    seen = []

    def predict(model, image, axes):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(image)
        return image

    with pytest.raises(KeyboardInterrupt):
        lab.score(config, tests, protocol, "stopped", predict)
    seen.clear()
    first = lab.score(config, tests, protocol, "stopped", predict)
    assert len(seen) == 1 and seen[0] is tests[2].read()[0] and len(first) == 3
    file.write_bytes(b"1" * 199999 + b"2")
    seen.clear()
    again = lab.score(config, tests, protocol, "stopped", predict)
    assert len(seen) == 1 and seen[0] is tests[1].read()[0]
    assert [row["mse"] for row in again] == [row["mse"] for row in first]
    assert again[1]["data"] != first[1]["data"] and again[0] == first[0]
    # A score that is defined anew.
    seen.clear()
    monkeypatch.setattr(laboratory_module, "SCORING", laboratory_module.SCORING + 1)
    with pytest.raises(KeyboardInterrupt):
        lab.score(config, tests, protocol, "stopped", predict)


def test_what_the_experiment_decides_is_not_overridden(data, tmp_path):
    for field in ("model.preset=unet-em", "training.seed=3", "data.root=elsewhere", "data.train_subjects=1"):
        with pytest.raises(InputError, match=f"--set: {field.split('=')[0]} is decided by the experiment"):
            laboratory(data, tmp_path, overrides=(field,))


def test_wrong_configurations_are_one_line(data, tmp_path):
    for text, message in (
        ("{}", "model"),
        ('{"model": []}', "model"),
        ('{"model": {"name": "a"}, "data": []}', "data"),
    ):
        (data / "configs" / "wrong.json").write_text(text)
        with pytest.raises(InputError, match=rf"wrong\.json.*{message}"):
            laboratory(data, tmp_path).config("wrong", METHOD, 0, data={"root": "here"} if "name" not in text else {})


def test_a_training_that_diverges_at_once_says_so(data, tmp_path):
    lab = laboratory(data, tmp_path, overrides=(*SMALL, "training.learning_rate=1e30"))
    with pytest.raises(DivergedError, match=r"diverged in epoch 1 of .*nothing was learned before"):
        lab.model(lab.config("small", METHOD, 0))
