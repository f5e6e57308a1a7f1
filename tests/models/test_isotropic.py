"""Volumes made isotropic: what CSBDeep's classes predict with the same network and weights, in tiles, too."""

import inspect

import numpy as np
import pytest
from csbdeep.data import RawData, anisotropic_distortions, create_patches
from csbdeep.models import CARE, Config, IsotropicCARE, UpsamplingCARE

from aeanet_tf.errors import InputError
from aeanet_tf.models import (
    AEANet,
    AEANetConfig,
    IsotropicAEANet,
    IsotropicCARENet,
    UpsamplingAEANet,
    UpsamplingCARENet,
)
from aeanet_tf.models.isotropic import predict_isotropic, upsampled
from tests.interop.example_models import randomise
from tests.models import EAGER, NETWORK, eager_tensorflow

# Sizes off the network's grid, so that padding differs at both ends, and Z is padded by an odd number.
VOLUME = np.random.default_rng(0).integers(0, 300, (5, 11, 14)).astype("uint16")


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """CSBDeep's model and ours of its folder, by name."""
    folder, found = tmp_path_factory.mktemp("care"), {}
    kinds = {
        "isotropic": (IsotropicCARE, IsotropicCARENet, Config("YX", probabilistic=True, unet_n_first=2)),
        "upsampling": (UpsamplingCARE, UpsamplingCARENet, Config("ZYX", unet_n_first=2, unet_n_depth=1)),
    }
    for name, (theirs, ours, config) in kinds.items():
        model, rng = theirs(config, name, str(folder)), np.random.default_rng(1)
        for variable in model.keras_model.weights:
            variable.assign(variable + 0.1 * rng.standard_normal(variable.shape))
        model.keras_model.save_weights(str(folder / name / "weights_best.h5"))
        found[name] = model, ours(None, name, str(folder))
    return found


@pytest.fixture(scope="module")
def attention():
    """A model with one attention operator."""
    model = IsotropicAEANet(AEANetConfig("YX", preset="aeanet-em", network=NETWORK, train_seed=0), "em", None)
    randomise(model.keras_model)
    return model


@pytest.mark.parametrize(("factor", "axes"), [(3.3, "ZYX"), (2, "YXZ")])
def test_an_isotropic_care_predicts_what_csbdeep_does(pairs, factor, axes):
    theirs, ours = pairs["isotropic"]
    volume = VOLUME.transpose(["ZYX".index(axis) for axis in axes])
    expected = theirs.predict_probabilistic(volume, axes, factor)
    found = ours.predict_probabilistic(volume, axes, factor)
    close(found.mean(), expected.mean())
    close(found.scale(), expected.scale())
    close(ours.predict(volume, axes, factor, None), theirs.predict(volume, axes, factor, None))


def test_an_upsampling_care_predicts_what_csbdeep_does(pairs):
    theirs, ours = pairs["upsampling"]
    expected = theirs.predict(VOLUME, "ZYX", 2.4)
    close(ours.predict(VOLUME, "ZYX", 2.4), expected)
    close(ours.predict(VOLUME, "ZYX", 2.4, n_tiles=(2, 1, 3)), expected)
    for name in ("predict", "predict_probabilistic"):
        # A script's arguments by position stand where they stood.
        for here, there in ((IsotropicAEANet, IsotropicCARE), (UpsamplingAEANet, UpsamplingCARE)):
            wanted = list(inspect.signature(getattr(there, name)).parameters)
            assert list(inspect.signature(getattr(here, name)).parameters)[: len(wanted)] == wanted


def test_tiles_of_planes_share_the_attention_of_the_plane(attention):
    expected = attention.predict(VOLUME, "ZYX", 4, batch_size=3)
    assert expected.shape == (20, 11, 14)
    close(attention.predict(VOLUME, "ZYX", 4, n_tiles=(3, 2, 2)), expected)
    apart = attention.predict(VOLUME, "ZYX", 4, n_tiles=(3, 2, 2), tiling="overlap")
    assert np.abs(apart - expected).max() > 1e-3 * np.ptp(expected)


def test_the_planes_of_a_step_lie_where_the_pixel_size_says():
    ramp = np.arange(6.0)[:, None] + np.zeros((1, 3))
    ends, step = (upsampled(ramp, 0, 4, planes)[:, 0] for planes in ("ends", "step"))
    np.testing.assert_allclose(step, np.arange(21) / 4, rtol=1e-6)
    # As many as CSBDeep's, from end to end.
    np.testing.assert_allclose(ends, np.linspace(0, 5, 24), rtol=1e-6)


def test_a_time_lapse_is_restored_volume_by_volume(attention):
    lapse = np.stack([VOLUME, 3 * VOLUME[::-1]], -1)
    found = attention.predict(lapse, "ZYXT", 2, planes="step")
    assert found.shape == (9, 11, 14, 2)
    close(found[..., 1], attention.predict(3 * VOLUME[::-1], "ZYX", 2, planes="step"))


def test_they_are_csbdeeps_and_open_their_own_folders(attention, tmp_path):
    config = AEANetConfig("YX", preset="unet-care", unet_n_first=4)
    model = IsotropicAEANet(config, "mine", str(tmp_path))
    assert isinstance(model, IsotropicCARE) and isinstance(model, AEANet) and isinstance(attention, CARE)
    model.keras_model.save_weights(str(tmp_path / "mine" / "weights_best.h5"))
    again = IsotropicAEANet(None, "mine", str(tmp_path))
    close(again.predict(VOLUME, "ZYX", 2), model.predict(VOLUME, "ZYX", 2))


@EAGER
def test_it_learns_from_patches_that_csbdeep_distorts(tmp_path):
    """As in CSBDeep's notebook: planes of the volume itself, blurred and sampled along X."""
    volume = np.random.default_rng(3).gamma(2, 50, (6, 40, 40)).astype("float32")
    distort = anisotropic_distortions(subsample=4, psf=np.ones((3, 3)), psf_axes="YX")
    raw = RawData.from_arrays([volume], [volume], axes="ZYX")
    X, Y, axes = create_patches(raw, (1, 32, 32), 8, transforms=[distort], verbose=False)
    z = axes.index("Z")
    X, Y = (np.moveaxis(np.take(patches, 0, z), 1, -1) for patches in (X, Y))
    assert X.shape == (8, 32, 32, 1) and np.abs(X - Y).max() > 0.1
    config = Config("YX", unet_n_first=2, train_epochs=1, train_steps_per_epoch=1, train_batch_size=2)
    model = IsotropicAEANet(config, "patches", str(tmp_path))
    with eager_tensorflow():
        history = model.train(X[:6], Y[:6], validation_data=(X[6:], Y[6:]), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all() and (tmp_path / "patches" / "weights_best.h5").is_file()


@pytest.mark.parametrize(
    ("image", "axes", "factor", "options", "message"),
    [
        (VOLUME, "ZYX", 0, {}, "^factor: found 0, expected a number above 0"),
        (VOLUME[0], "YX", 4, {}, "^axes: found YX, expected those of a volume, with Z, Y and X"),
        (VOLUME, "ZYX", 4, {"psf": np.ones((3, 3))}, "^psf: found one, expected None: it belongs to the training"),
        (VOLUME, "ZYX", 4, {"planes": "all"}, "^planes: found 'all', expected one of 'ends', 'step'"),
        (VOLUME, "ZYX", 4, {"batch_size": 0}, "^batch_size: found 0"),
        (VOLUME, "ZYX", 4, {"ensemble": "flips"}, "^context, ensemble: found one of them"),
        (VOLUME, "ZYX", 4, {"n_tiles": (1, 2)}, r"^n_tiles: \(1, 2\), expected"),
        (VOLUME[None].repeat(2, 0), "CZYX", 4, {}, "2 channels, expected 1"),
        (VOLUME * np.nan, "ZYX", 4, {}, "NaN"),
    ],
)
def test_what_is_refused(attention, image, axes, factor, options, message):
    with pytest.raises(InputError, match=message):
        attention.predict(image, axes, factor, **options)


def test_what_cannot_be_upsampled_or_made_isotropic(pairs):
    _, ours = pairs["upsampling"]
    with pytest.raises(InputError, match=r"^axes: found YX, expected those of a volume, with Z|^image: found shape"):
        ours.predict(VOLUME[0], "YX", 2)
    with pytest.raises(InputError, match=r"^psf: found one"):
        ours.predict(VOLUME, "ZYX", 2, psf=np.ones(3))
    with pytest.raises(InputError, match=r"^model: found axes ZYXC, expected YX"):
        predict_isotropic(ours, VOLUME, "ZYX", 2, None)
    with pytest.raises(ValueError, match="not a probabilistic model"):
        ours.predict_probabilistic(VOLUME, "ZYX", 2)
