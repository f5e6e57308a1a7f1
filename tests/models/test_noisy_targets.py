"""Models that are trained on noisy images alone."""

import json

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANetConfig, SegmentationAEANetConfig
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks import presets
from aeanet_tf.training.noisy_patches import HiddenPixelSampler, SwappingSampler

NOISY = {"train_target": "noise2void", "train_patch_size": (8, 8), "train_batch_size": 2}


def config(axes="YX", **kwargs):
    sizes = {"unet_n_first": 2, "network": {"depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}}
    return AEANetConfig(axes, **{**sizes, **NOISY, "train_steps_per_epoch": 2, "train_epochs": 2, **kwargs})


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.random((16, 16, 1)).astype("float32") for _ in range(4)]


def test_trains_as_n2v_and_goes_on_as_if_not_interrupted(tmp_path, images):
    X, held = images[:3], images[3:]
    whole = AEANet(config(), "whole", str(tmp_path))
    history = whole.train(X, held, verbose=0).history
    assert {"loss", "val_loss", "val_mse", "val_mae"} <= history.keys()
    assert history["val_loss"] == history["val_mse"], "hidden pixels alone, in the metrics, too"
    assert whole.predict(images[0][..., 0], "YX").shape == (16, 16)
    # Nothing was compared with a truth.
    assert not [path.name for path in whole.logdir.iterdir() if "filter" in path.name]
    made = config()
    half = AEANet(made, "half", str(tmp_path))

    class Stop(Exception):
        pass

    def stop(epoch, logs=None):
        raise Stop

    import keras

    half.prepare_for_training()
    half.callbacks.append(keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs=None: e == 1 and stop(e)))
    with pytest.raises(Stop):
        half.train(X, None, held, verbose=0)
    resumed = AEANet(made, "half", str(tmp_path))
    resumed.train(X, None, (held, None), resume=True, verbose=0)
    for one, other in zip(whole.keras_model.get_weights(), resumed.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads((whole.logdir / "config.json").read_text())["train_target"] == "noise2void"


def test_what_the_network_is_given(images):
    sampler, validation = training_data(config(), images[:3], images[3:], None)
    assert isinstance(sampler, HiddenPixelSampler)
    assert validation.image_count == 1 and validation[0][1].shape[-1] == 2
    pairs = images[:3], images[1:], (images[:1], images[1:2])
    sampler, _ = training_data(config(train_target="noise2noise"), *pairs)
    assert isinstance(sampler, SwappingSampler)


@pytest.mark.parametrize("name", sorted(name for name, spec in presets.items() if spec.kind in ("unet", "fnet")))
@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_every_u_net_learns_from_hidden_pixels(name, axes):
    if axes == "ZYX" and presets[name].input_size is not None:
        pytest.skip("takes images of one size, in 2D")
    spots = {"share": 0.1, "axis": "Y", "extent": 1}
    made = AEANetConfig(axes, preset=name, train_target="noise2void", train_blind_spots=spots,
                        n_channel_in=2, n_channel_out=2, train_batch_size=2)  # fmt: skip
    size = getattr(made.spec, "input_size", None) or made.spec.divisor
    made.train_patch_size = tuple(size)
    X = [np.random.default_rng(0).random((*size, 2)).astype("float32")]
    x, y = training_data(made, X, None, X)[0][0]
    assert x.shape == (2, *size, 2) and y.shape == (2, *size, 3)


def test_the_loss_of_noisy_images_leads_to_their_mean():
    assert config().train_loss == "mse" and AEANetConfig().train_loss == "mae"
    assert config(train_loss="mae").train_loss == "mae"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: config(n_channel_out=2), "train_target: 'noise2void', expected 'truth'"),
        (lambda: ProjectionAEANetConfig("ZYX", train_target="noise2void"), "expected 'truth' for this model"),
        (lambda: SegmentationAEANetConfig("YX", n_channel_out=2, train_target="noise2noise"), "expected 'truth'"),
        (lambda: config(probabilistic=True), "scale would be that of the noise"),
        (lambda: config(train_match_targets=True), "match_targets: True, expected False"),
        (lambda: config(train_blind_spots={"axis": "Z"}), "blind_spots.axis: found 'Z'"),
        (lambda: config(train_blind_spots={"share": 2}), "blind_spots"),
        (lambda: config(train_blind_spots={"shares": 0.1}), "shares"),
    ],
)
def test_configurations_that_need_truth_are_refused(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x: (x[:2], x[2:], (x[:2], x[2:])), "Y: found targets, expected none"),
        (lambda x: (x[:2], None, (x[:2], x[2:])), "validation_data: found a pair with targets"),
        (lambda x: (x[:2], None, None), "validation_data: found none"),
    ],
)
def test_ground_truth_is_refused(images, given, message):
    with pytest.raises(InputError) as error:
        training_data(config(), *given(images))
    assert message in str(error.value)
