"""SegmentationAEANet on arrays: its configuration, training from labels, labels and probabilities out."""

import keras
import numpy as np
import pytest
from csbdeep.data import PercentileNormalizer
from csbdeep.models import Config

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.folder import load_model
from aeanet_tf.prediction.options import Patches
from tests.interop.example_models import randomise
from tests.models import EAGER, eager_tensorflow
from tests.networks.literature import SMALL

pytestmark = EAGER

NETWORK = {"first_filters": 4, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1], "momentum": 0.5}
NETWORK |= {"upsampling": "transposed_convolution", "output_dropout": 0.0, "attention": {"shared_references": 4}}
LABELS = [7, 0, 300]


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def config(axes="YX", **fields):
    fields = {"n_channel_in": 1, "n_channel_out": 3, "labels": LABELS, "network": NETWORK, **fields}
    return SegmentationAEANetConfig(axes, **fields)


def model_of(*args, **fields):
    keras.utils.set_random_seed(0)
    model = SegmentationAEANet(config(*args, **fields), "m", basedir=None)
    randomise(model.keras_model)
    return model


@pytest.fixture(scope="module")
def model():
    return model_of(n_channel_in=3, train_patch_size=(16, 16))


def image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def stripes(n, size=24):
    """Images of three grey levels and noise, and their labels."""
    rng = np.random.default_rng(n)
    classes = np.stack([np.kron(rng.integers(3, size=(size // 6, size // 6)), np.ones((6, 6), int)) for _ in range(n)])
    return (classes + 0.1 * rng.normal(size=classes.shape))[..., None].astype(np.float32), np.array(LABELS)[classes]


def test_probabilities_add_up_and_the_label_is_the_most_probable_class(model):
    x = image(21, 26, 3)
    found = model.predict_probabilities(x, "YXC")
    assert found.shape == (21, 26, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    labels = model.predict(x, "YXC")
    # 300 does not fit into 8 bits.
    assert labels.dtype == np.uint16 and labels.shape == (21, 26) and len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, np.array(LABELS)[found.argmax(-1)])
    # As many classes as channels: nothing is mapped back to the range of the image.
    normalizer = PercentileNormalizer(3, 90)
    rescaled = 50 + 20 * x
    for tiling in ("exact", "patches"):
        found = model.predict_probabilities(rescaled, "YXC", normalizer, tiling=tiling)
        np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


def test_classes_are_where_the_image_has_its_channels(model):
    x = image(18, 20, 3)
    expected = model.predict_probabilities(x, "YXC")
    found = model.predict_probabilities(np.moveaxis(x, -1, 0), "CYX")
    np.testing.assert_allclose(np.moveaxis(found, 0, -1), expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(x.transpose(2, 1, 0), "CXY").T, model.predict(x, "YXC"))
    # A time lapse, a list, and both.
    lapse = np.stack([x, x[::-1]], axis=1)
    frames = [model.predict(lapse[:, i], "YXC") for i in range(2)]
    np.testing.assert_array_equal(model.predict(lapse, "YTXC"), np.stack(frames, axis=1))
    assert all((a == b).all() for a, b in zip(model.predict([lapse[:, 0], lapse[:, 1]], "YXC"), frames, strict=True))


def test_without_channels_the_classes_come_last():
    model, x = model_of(labels=[0, 255], n_channel_out=2), image(12, 14)
    assert model.predict_probabilities(x, "YX").shape == (12, 14, 2)
    assert model.predict(x, "YX").shape == (12, 14) and model.predict(x, "YX").dtype == np.uint8


def test_overlapping_patches_are_averaged(model):
    x = image(22, 30, 3)
    found = model.predict_probabilities(x, "YXC", None, tiling="patches", step=(5, 8))
    total, count = np.zeros((22, 30, 3)), np.zeros((22, 30, 1))
    for y in (0, 5, 6):
        for left in (0, 8, 14):
            box = slice(y, y + 16), slice(left, left + 16)
            total[box] += np.asarray(model.keras_model(x[box][None]))[0]
            count[box] += 1
    np.testing.assert_allclose(found, total / count, atol=1e-5)
    assert abs(found - model.predict_probabilities(x, "YXC", None)).max() > 1e-3
    # Larger than the image: it is padded, and one patch.
    whole = model.predict_probabilities(x[:, :27], "YXC", None, tiling="patches", patch_size=(64, 64))
    np.testing.assert_allclose(whole, model.predict_probabilities(x[:, :27], "YXC", None, tiling="whole"), atol=1e-6)


def test_exact_tiles_are_the_default_where_attention_can_be_shared(model):
    x = image(40, 36, 3)
    whole = model.predict_probabilities(x, "YXC", tiling="whole")
    np.testing.assert_allclose(model.predict_probabilities(x, "YXC", n_tiles=(3, 2, 1)), whole, atol=1e-5)
    assert model.checked_tiling(None) == "exact"
    softmax = model_of(preset="nonlocal-unet-mri", network={**NETWORK, "attention": {}}, train_patch_size=(16, 8))
    assert softmax.checked_tiling(None) == Patches((16, 8), (8, 8))
    assert model_of(preset="unet-mri", network={**NETWORK, "attention": {}}).checked_tiling(None) == "exact"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": (16, 15)}, r"patch_size: \[16, 15\], expected multiples of \[2, 2\]"),
        ({"patch_size": 16}, "patch_size: 16, expected a number of at least 1 for each of 2 spatial axes"),
        ({"step": 0}, r"step: \(0, 0\), expected a number of at least 1"),
        ({"step": (1, 2, 3)}, "step: .*, expected a number of at least 1 for each of 2"),
        ({"n_tiles": (1, 2, 1)}, "n_tiles: .*, expected None with patches"),
        ({"context": "group"}, "context: 'group', expected 'image' with patches"),
    ],
)
def test_patches_that_do_not_fit_are_told(model, options, message):
    with pytest.raises(InputError, match=message):
        model.predict(image(16, 16, 3), "YXC", tiling="patches", **options)


def test_options_of_patches_are_refused_without_them(model):
    """Who asks for the published step is not to get another prediction."""
    for options in ({"step": 8}, {"patch_size": (16, 16)}, {"step": 8, "tiling": "whole"}):
        with pytest.raises(InputError, match=r"expected None with tiling '(exact|whole)'; it is for 'patches'"):
            model.predict(image(16, 16, 3), "YXC", **options)


def test_patches_need_a_size():
    with pytest.raises(InputError, match="patch_size: missing"):
        model_of().predict(image(16, 16), "YX", tiling="patches")
    with pytest.raises(InputError, match="tiling: found 'halves', expected"):
        model_of().predict(image(16, 16), "YX", tiling="halves")


def test_training_from_labels_finds_the_classes(tmp_path):
    x, y = stripes(6)
    fields = {"train_epochs": 2, "train_steps_per_epoch": 8, "train_batch_size": 4, "train_learning_rate": 0.04}
    fields |= {"train_batch_norm_batches": 2, "train_seed": 1}
    model = SegmentationAEANet(config(**fields, train_tensorboard=True), "m", str(tmp_path))
    assert model.config.train_loss == "cross_entropy" and model.config.train_kernel_l2 == 2e-6
    history = model.train(x[:4], y[:4, ..., None], (x[4:], y[4:]), verbose=0).history
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
    found = model.predict(x[5, ..., 0], "YX", None)
    assert (found == y[5]).mean() > 0.8
    again = load_model(tmp_path / "m")
    assert type(again) is SegmentationAEANet and again.config.labels == LABELS
    np.testing.assert_array_equal(again.predict(x[5, ..., 0], "YX", None), found)


def test_validation_is_in_patches_of_the_training_that_cover_the_images(monkeypatch):
    given = {}

    def note(cls, config, X, Y, validation_data, *_):
        given.update(Y=Y, validation=validation_data)
        return None, None

    monkeypatch.setattr(AEANet, "prepared_data", classmethod(note))
    x, y = stripes(2)
    SegmentationAEANet.prepared_data(config(train_patch_size=(16, 8)), list(x), list(y), (list(x), list(y)))
    images, labels = given["validation"]
    assert len(images) == len(labels) == 2 * 2 * 3 and {i.shape for i in images} == {(16, 8, 1)}
    seen = np.zeros((24, 24), int)
    for i, box in enumerate((a, b) for a in (0, 8) for b in (0, 8, 16)):
        part = slice(box[0], box[0] + 16), slice(box[1], box[1] + 8)
        np.testing.assert_array_equal(images[i], x[0][part])
        np.testing.assert_array_equal(np.array(LABELS)[labels[i][..., 0]], y[0][part])
        seen[part] += 1
    assert seen.min() == 1
    # What is trained on are the indices of the classes.
    assert given["Y"][0].shape == (24, 24, 1) and set(np.unique(given["Y"][0])) == {0, 1, 2}


def test_validation_images_and_labels_that_do_not_fit_are_told():
    model = SegmentationAEANet(config(train_patch_size=(16, 16)), "m", basedir=None)
    x, y = stripes(2)
    for held_out, message in (
        # As many patches, but from other places.
        ((x, y[:, :, :20]), r"validation_data, Y\[0\]: found shape \(24, 20, 1\), expected \(24, 24, 1\)"),
        ((x[..., 0], y), r"validation_data, X\[0\]: found 24 channels \(shape \(24, 24\)\), expected 1"),
        ((x[:, :12], y[:, :12]), r"validation_data, X\[0\]: found size \(12, 24\), expected at least train_patch_size"),
        ((x, None), "validation_data: found NoneType, expected label images"),
    ):
        with pytest.raises(InputError, match=message):
            model.train(list(x), list(y), held_out)
    with pytest.raises(InputError, match="Y: found NoneType"):
        model.train(x, None, (x, y))


def test_configurations_of_other_models_are_refused():
    for other in (Config("YX", 1, 2), AEANetConfig("YX", 1, 2)):
        with pytest.raises(InputError, match="expected SegmentationAEANetConfig, which names the classes"):
            SegmentationAEANet(other, "m", basedir=None)


def test_labels_that_are_not_of_the_model_are_told():
    model = SegmentationAEANet(config(), "m", basedir=None)
    x, y = stripes(2)
    y[1, 3, 4] = 8
    with pytest.raises(InputError, match=r"Y: has the value 8, expected labels \[7, 0, 300\]"):
        model.train(x, y, (x, y))
    y[1, 3, 4] = 7
    with pytest.raises(InputError, match=r"validation_data\[0\]: has the value 1"):
        model.train(x, y, (list(x), [np.ones((24, 24), int)] * 2))
    with pytest.raises(InputError, match="validation_data: expected a pair"):
        model.train(x, y, x)
    with pytest.raises(InputError, match="Y: found 1 images, expected 2"):
        model.train(x, y[:1], (x, y))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [0, 1]}, r"labels: \[0, 1\], expected 3 different whole numbers from 0 to 65535"),
        ({"labels": [0, 1, 1]}, "expected 3 different"),
        ({"labels": [0, 1, 2.5]}, "expected 3 different"),
        ({"labels": [-1, 0, 1]}, "expected 3 different"),
        ({"labels": [0, 1, 65536]}, "expected 3 different"),
        ({"labels": None, "n_channel_out": 1}, "n_channel_out: 1, expected the number of classes, at least 2"),
        ({"train_class_weights": [1, 2]}, "class_weights: .*expected 3 positive numbers"),
        ({"preset": "ssan"}, "preset: 'ssan' is no U-Net"),
        ({"preset": "learned-query-em"}, "preset: 'learned-query-em' is no U-Net for images of any size"),
        ({"preset": "aeanet-flywing"}, "preset: 'aeanet-flywing' is no U-Net"),
        ({"preset": "rcan"}, "preset: 'rcan' is no U-Net"),
        ({"preset": "rsgu-net", "network": {"range_scaling": True}}, "range_scaling: found True, expected False"),
        (
            {"preset": "ce-net", "n_channel_in": 3, "network": {"output_offset": True}},
            "output_offset: found True, expected False",
        ),
        ({"probabilistic": True}, "network: probabilistic: found True, expected False"),
        ({"network": {"last_activation": "relu"}}, "network.last_activation: 'relu', expected 'softmax'"),
    ],
)
def test_configurations_that_do_not_fit_are_told(fields, message):
    with pytest.raises(InputError, match=message):
        config(**fields)


def test_any_preset_gives_probabilities_in_two_and_three_dimensions():
    for preset, axes in (("aeanet-em", "YX"), ("gvtnet-care", "ZYX"), ("aeanet-mri", "ZYX")):
        made = SegmentationAEANetConfig(axes, 2, 4, preset=preset, network={"first_filters": 4})
        assert made.spec.model_kind == "segmentation" and made.labels == [0, 1, 2, 3] and made.is_valid()
        assert (made.spec.last_activation, made.spec.output_offset, made.spec.out_channels) == ("softmax", False, 4)


@pytest.mark.parametrize("name", ["attention-unet", "unet-plusplus", "dilated-unet", "ce-net", "rsgu-net"])
def test_a_u_net_from_the_literature_is_one_for_classes(name):
    network = {**SMALL[name], "batch_norm": True}
    axes = "ZYX" if name == "rsgu-net" else "YX"
    made = SegmentationAEANet(SegmentationAEANetConfig(axes, 2, 2, preset=name, network=network), "m", None)
    randomise(made.keras_model)
    assert made.spec.model_kind == "segmentation" and not made.spec.output_offset
    made.prepare_for_training()
    x = image(1, *(2 * n for n in made.spec.divisor), 2)
    made.trained_network.set_weights(made.keras_model.get_weights())
    logits = np.asarray(made.trained_network(x), "float64")
    assert np.ptp(logits) > 0.01
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(made.keras_model(x), expected, atol=1e-6)


def test_rsgu_net_finds_the_classes():
    """Its factor, which multiplies images, is left out."""
    x, y = stripes(6)
    fields = {"train_epochs": 2, "train_steps_per_epoch": 8, "train_batch_size": 4, "train_learning_rate": 0.02}
    network = {**SMALL["rsgu-net"], "batch_norm": True, "momentum": 0.5}
    model = SegmentationAEANet(config(**fields, preset="rsgu-net", network=network, train_seed=1), "m", None)
    model.train(x[:4], y[:4, ..., None], (x[4:], y[4:]), verbose=0)
    assert (model.predict(x[5, ..., 0], "YX", None) == y[5]).mean() > 0.8
    assert not config(train_loss="mae").is_valid()
    assert AEANetConfig("YX").spec.model_kind == "unet"


def test_what_is_trained_are_logits_and_what_predicts_are_probabilities():
    model = model_of(train_kernel_l2=0.5)
    model.prepare_for_training()
    x = image(1, 8, 8, 1)
    model.trained_network.set_weights(model.keras_model.get_weights())
    logits = np.asarray(model.trained_network(x), "float64")
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(model.keras_model(x), expected, atol=1e-6)
    kernels = [w.numpy() for w in model.keras_model.trainable_variables if w.path.endswith("/kernel")]
    penalty = 0.25 * sum(np.square(k.astype("float64")).sum() for k in kernels)
    assert float(sum(model.trained_network.losses)) == pytest.approx(penalty, rel=1e-5)
