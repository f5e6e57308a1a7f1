"""Runs on noisy images alone: which are read, what each is trained for, what is refused."""

import numpy as np
import pytest
from tifffile import imwrite

from aeanet_tf.errors import InputError
from aeanet_tf.runs.config import as_run_config, load_run_config
from aeanet_tf.runs.train import load_data, model_config

NOISE2VOID = {"target": "noise2void", "patch_size": [8, 8], "steps": 2}
NOISE2NOISE = {**NOISE2VOID, "target": "noise2noise"}


def run(data, training, **model):
    network = {"first_filters": 2, "depth": 2, "output_offset": False}
    fields = {"model": {"name": "m", "network": network, **model}, "data": data, "training": training}
    return as_run_config(fields, "run.json")


def loaded(data, training, **model):
    config = run(data, training, **model)
    return load_data(config.data, model_config(config))


@pytest.fixture
def folder(tmp_path):
    """Three images, and a time lapse of four frames."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(3):
        imwrite(tmp_path / "images" / f"{i}.tif", rng.integers(0, 200, (24, 16)).astype("uint8"))
    imwrite(tmp_path / "lapse.tif", rng.integers(0, 200, (4, 24, 32)).astype("uint8"), metadata={"axes": "TYX"})
    return tmp_path


def test_images_are_their_own_targets(folder):
    data = {"kind": "noisy", "root": str(folder / "images"), "axes": "YX"}
    images = loaded(data, NOISE2VOID)
    assert images.Y is images.X and images.validation[0] is images.validation[1]
    assert [len(images.X), len(images.validation[0])] == [2, 1]
    assert [name[-5:] for part in images.names for name in part] == ["0.tif", "1.tif", "2.tif"]
    assert len(images.files) == 3
    named = loaded({**data, "validation_images": ["0.tif"]}, NOISE2VOID)
    np.testing.assert_array_equal(named.validation[0][0], loaded(data, NOISE2VOID).X[0])
    others = loaded({**data, "validation": "../images/1.tif"}, NOISE2VOID)
    assert [len(others.X), len(others.validation[0])] == [3, 1]


def test_a_single_image_is_split(folder):
    data = {"kind": "noisy", "root": str(folder), "images": "images/0.tif", "axes": "YX"}
    images = loaded(data, NOISE2VOID)
    assert [images.X[0].shape, images.validation[0][0].shape] == [(16, 16, 1), (8, 16, 1)]
    assert images.Y is images.X


def test_frames_are_paired_with_the_next_one(folder):
    data = {"kind": "noisy", "root": str(folder), "images": "lapse.tif", "neighbours": "T"}
    X, Y, (Xv, Yv), names, *_ = loaded(data, NOISE2NOISE)
    assert len(X) == len(Y) == len(Xv) == 3
    for i in range(2):
        np.testing.assert_array_equal(Y[i], X[i + 1])
        np.testing.assert_array_equal(Yv[i], Xv[i + 1])
        assert not np.array_equal(X[i], Y[i])
    assert "T 0" in names[0][0] and "T 2" in names[0][2]
    with pytest.raises(InputError, match=r"0\.tif: data\.neighbours 'T' .* expected T in the image alone"):
        loaded({**data, "images": "images", "axes": "YX"}, NOISE2NOISE)


@pytest.mark.parametrize(
    ("data", "training", "message"),
    [
        ({}, NOISE2VOID, "'folders' has ground truth, expected 'noisy' with training.target 'noise2void'"),
        ({"kind": "noisy"}, {"patch_size": [8, 8]}, "training.target: 'truth', expected 'noise2void'"),
        ({"kind": "noisy"}, NOISE2NOISE, "data.neighbours=T or Z makes pairs"),
        ({"kind": "noisy", "neighbours": "T"}, NOISE2VOID, "expected 'noise2noise' for data.neighbours 'T'"),
        ({"kind": "noisy", "match_targets": True}, NOISE2VOID, "match_targets: true, expected false"),
        ({"kind": "noisy", "GT": "truth"}, NOISE2VOID, "GT: found 'truth', expected none with kind 'noisy'"),
        ({"match_targets": True}, NOISE2NOISE, "match_targets: true, expected pairs of noisy images"),
        ({"kind": "labels"}, {**NOISE2NOISE, "loss": "cross_entropy"}, "kind: 'labels' (classes)"),
    ],
)
def test_data_that_do_not_go_with_the_target(data, training, message):
    with pytest.raises(InputError) as error:
        run(data, training)
    assert message in str(error.value)


def test_projections_are_refused():
    config = run({"kind": "noisy"}, {**NOISE2VOID, "patch_size": [16, 16, 16]}, preset="aeanet-flywing", axes="ZYX",
                 network={})  # fmt: skip
    with pytest.raises(InputError, match="train_target: 'noise2void', expected 'truth' for this model"):
        model_config(config)


def test_what_is_not_said_of_a_target():
    assert run({"kind": "noisy"}, NOISE2VOID).training.loss == "mse"
    assert run({}, {"patch_size": [8, 8]}).training.loss == "mae"
    for name in ("n2v", "n2n"):
        config = load_run_config(name)
        assert (
            config.training.loss == "mse" and config.training.target == f"noise2{'void' if name == 'n2v' else 'noise'}"
        )
