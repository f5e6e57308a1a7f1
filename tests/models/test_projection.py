"""ProjectionAEANet does what a ProjectionCARE model does."""

import numpy as np
import pytest
from csbdeep.models import ProjectionCARE

from aeanet_tf.errors import InputError
from aeanet_tf.models import ProjectionAEANet, ProjectionAEANetConfig
from tests.models import EAGER, eager_tensorflow

TRAINING = {
    "train_seed": 0,
    "train_epochs": 2,
    "train_steps_per_epoch": 2,
    "train_batch_size": 2,
    "train_tensorboard": False,
}


@pytest.fixture(scope="module")
def stacks():
    X = np.random.default_rng(0).random((10, 5, 32, 32, 1)).astype("float32")
    return X, X.mean(1, keepdims=True)


@EAGER
def test_trains_on_targets_with_a_singleton_axis_and_reloads(stacks, tmp_path):
    X, Y = stacks
    model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", unet_n_first=4, **TRAINING), "p", str(tmp_path))
    assert isinstance(model, ProjectionCARE)
    with eager_tensorflow():
        history = model.train(X[2:], Y[2:], validation_data=(X[:2], Y[:2]), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    image = np.random.default_rng(1).random((7, 40, 45)).astype("float32")
    restored = model.predict(image, "ZYX")
    assert restored.shape == (40, 45)
    again = ProjectionAEANet(None, "p", str(tmp_path))
    np.testing.assert_array_equal(again.predict(np.moveaxis(image, 0, -1), "YXZ"), restored)


def test_tiles_of_a_convolutional_projection_show_no_seam():
    config = ProjectionAEANetConfig(
        "ZYX", preset="unet-flywing", unet_n_first=2, unet_n_depth=1, network={"filters": 2}
    )
    model = ProjectionAEANet(config, basedir=None)
    assert model._axes_div_by("ZYXC") == (1, 16, 16, 1)
    assert model.receptive_radius[0] == 0 and model._axes_tile_overlap("ZYXC") == (*model.receptive_radius, 0)
    image = np.random.default_rng(2).random((3, 352, 48)).astype("float32")
    whole = model.predict(image, "ZYX")
    tiled = model.predict(image, "ZYX", n_tiles=(1, 3, 1))
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5)


def test_a_target_that_is_not_projected_is_refused(stacks):
    X, _ = stacks
    model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", unet_n_first=4, **TRAINING), basedir=None)
    with pytest.raises(InputError, match="Y: length 5 along Z, expected 1"):
        model.train(X, X, validation_data=(X, X))
