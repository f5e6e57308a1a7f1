"""Arrays are checked as files are: before Keras, in one line that names what was found and what is expected."""

import keras
import numpy as np
import pytest
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.models import (
    AEANet,
    AEANetConfig,
    Ensemble,
    ProjectionAEANet,
    ProjectionAEANetConfig,
    SegmentationAEANet,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
    SliceInterpolationNet,
)
from aeanet_tf.models.folder import load_model
from tests.io.test_value_range import sparse
from tests.models import EAGER, NETWORK, eager_tensorflow

pytestmark = EAGER
SSAN = {"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}
PROJECTION = {"filters": 4, "restoration": {"first_filters": 4}}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def made(channels=1, out=1, **options):
    options = {"train_epochs": 1, "train_steps_per_epoch": 1, "train_batch_size": 2, **options}
    return AEANet(AEANetConfig("YX", channels, out, network=NETWORK, train_seed=0, **options), "m", None)


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.fixture(scope="module")
def two():
    return made(2, 2)


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(100, 200, (16, 24)).astype("float32")


def with_value(image, value):
    image = image.astype("float64")
    image[3, 4] = value
    return image


WRONG = [
    (lambda x: np.stack([x, x]), "CYX", r"found 2 channels, expected 1, which the model takes"),
    (lambda x: np.stack([x, x, x], -1), "YXC", r"found 3 channels, expected 1"),
    (lambda x: with_value(x, np.nan), "YX", "the image holds NaN or infinite values"),
    (lambda x: with_value(x, -np.inf), "YX", "the image holds NaN or infinite values"),
    (lambda x: with_value(x, 1e39), "YX", r"found values up to 1e\+39, expected at most 3.4e\+38"),
    (lambda x: x[:0], "YX", r"found an empty image, its shape is \(0, 24\)"),
    (lambda x: x.astype(complex), "YX", "found values of type complex128, expected integers or floats"),
    (lambda x: x.astype(object), "YX", "found values of type object"),
    (lambda x: x.astype(str), "YX", "found values of type <U"),
    (lambda x: x[0], "X", r"found shape \(24,\) with axes X"),
    (lambda x: x, "YXX", "axes: found 'YXX' for an image of 2 dimensions"),
    (lambda x: x, "QX", "axes: found 'QX'"),
    (lambda x: x, None, "axes: found None"),
    (lambda x: "a.tif", "YX", "found str, expected an array"),
    (lambda x: None, "YX", "found NoneType, expected an array"),
]


@pytest.mark.parametrize(("change", "axes", "message"), WRONG)
def test_what_the_command_line_refuses_is_refused_in_python(model, image, change, axes, message):
    calls = [
        lambda: model.predict(change(image), axes),
        lambda: model.predict(change(image), axes, None, ensemble="flips"),
        lambda: Ensemble([model, model]).predict_with_disagreement(change(image), axes),
        # The second of a list, by its number.
        lambda: model.predict([image.reshape(16, 24), change(image)], axes) if axes == "YX" else None,
    ]
    for number, call in enumerate(calls):
        if number == len(calls) - 1 and axes != "YX":
            continue
        with pytest.raises(InputError, match=message) as error:
            call()
        text = str(error.value)
        assert "\n" not in text and len(text) < 200
        if number == len(calls) - 1:
            assert text.startswith("image 1: ")


def test_channels_that_are_missing_are_counted_as_one(two, image):
    with pytest.raises(InputError, match="image: found 1 channels, expected 2, which the model takes"):
        two.predict(image, "YX")
    assert two.predict(np.stack([image, image]), "CYX").shape == (2, 16, 24)


def test_models_of_every_kind_count_channels(image):
    pair = np.stack([image, image], -1)
    segmentation = SegmentationAEANet(SegmentationAEANetConfig("YX", network=NETWORK), "m", None)
    probabilistic = made(probabilistic=True, train_loss="laplace")
    projection = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=PROJECTION), "m", None)
    slices = SliceInterpolationNet(SliceInterpolationConfig(network=SSAN), "m", None)
    for call in (
        lambda: segmentation.predict(pair, "YXC"),
        lambda: segmentation.predict_probabilities(pair, "YXC"),
        lambda: probabilistic.predict_probabilistic(pair, "YXC"),
        lambda: projection.predict(np.stack([pair] * 4), "ZYXC"),
    ):
        with pytest.raises(InputError, match="image: found 2 channels, expected 1"):
            call()
    with pytest.raises(InputError, match="image: found 1 channels, expected 2"):
        slices.predict(image, "YX")
    for after, message in (
        (with_value(image, np.nan), "after: the image holds NaN"),
        (image.astype(complex), "after: found values of type complex128"),
        (image[:0], r"after: found an empty slice"),
    ):
        with pytest.raises(InputError, match=message):
            slices.interpolate(image, after)


def test_values_of_other_types_are_predicted_as_what_they_are(model):
    image = np.random.default_rng(0).integers(0, 2, (16, 24))
    expected = model.predict(image.astype("float32"), "YX")
    for dtype in (bool, "uint8", "int8", "float16", "int64", "uint64", "longdouble", ">u2"):
        np.testing.assert_allclose(model.predict(image.astype(dtype), "YX"), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.predict(keras.ops.convert_to_tensor(image), "YX"), expected, rtol=1e-5, atol=1e-5)
    assert (model.predict(image.astype(bool), "YX", None) == model.predict(image.astype("float32"), "YX", None)).all()


@pytest.mark.parametrize("normalizer", ["default", "csbdeep"])
def test_sparse_images_are_restored_and_constants_stay(model, normalizer):
    given = {} if normalizer == "default" else {"normalizer": PercentileNormalizer()}
    image = sparse(0.001, 3000, 100, 64)
    # By hand: 4 of 4096 pixels; of percentile 99.98 the position is 4094.18, a pixel of the signal.
    network = np.asarray(model.keras_model(((image - 100.0) / 2900)[None, ..., None].astype("float32")))[0, ..., 0]
    found = model.predict(image, "YX", **given)
    np.testing.assert_allclose(found, 100 + 2900 * network, rtol=1e-4, atol=1)
    tiled = model.predict(image, "YX", n_tiles=(2, 2), **given)
    np.testing.assert_allclose(tiled, found, atol=1e-3 * np.ptp(found))
    constant = np.full((16, 24), 500, "uint16")
    assert (model.predict(constant, "YX", **given) == 500).all()
    # A frame without signal leaves the others alone.
    stack = np.stack([image, np.full_like(image, 7), image])
    frames = model.predict(stack, "TYX", **given)
    assert (frames[1] == 7).all()
    np.testing.assert_allclose(frames[::2], [found, found], atol=1e-3 * np.ptp(found))


def test_a_prediction_that_is_not_finite_is_refused(image):
    model = made()
    kernel = model.keras_model.weights[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    for call in (
        lambda: model.predict(image, "YX"),
        lambda: model.predict(image, "YX", n_tiles=(2, 1)),
        lambda: model.predict([image, image], "YX", ensemble="flips"),
    ):
        with pytest.raises(InputError, match="the prediction holds NaN or infinite values, expected finite ones"):
            call()
    # The way back to the intensities of the image overflows.
    model = made()
    last = model.keras_model.weights[-1]
    last.assign(1e6 * last)
    large = np.linspace(-3e37, 3e37, 384).reshape(16, 24)
    with pytest.raises(InputError, match="image: the prediction holds NaN or infinite"):
        model.predict(large, "YX")


def test_weights_that_are_not_finite_are_refused_on_loading(tmp_path, image):
    config = AEANetConfig("YX", network=NETWORK, train_seed=0)
    model = AEANet(config, "m", str(tmp_path))
    model.keras_model.save_weights(tmp_path / "m" / "weights_last.h5")
    expected = model.predict(image, "YX")
    kept = model.keras_model.get_weights()
    for value in (np.nan, np.inf):
        variable = model.keras_model.weights[-1]
        spoiled = variable.numpy()
        spoiled.flat[-1] = value
        variable.assign(spoiled)
        model.keras_model.save_weights(tmp_path / "m" / "weights_best.h5")
        model.keras_model.set_weights(kept)
        for load in (
            lambda: load_model(tmp_path / "m"),
            lambda: AEANet(None, "m", str(tmp_path)),
            lambda: model.load_weights("weights_best.h5"),
        ):
            with pytest.raises(InputError, match=r"weights_best\.h5: .*: found NaN or infinite weights"):
                load()
        # The model at hand keeps what it had.
        np.testing.assert_array_equal(model.predict(image, "YX"), expected)
    (tmp_path / "m" / "weights_best.h5").unlink()
    np.testing.assert_allclose(load_model(tmp_path / "m").predict(image, "YX"), expected, rtol=1e-6)


def arrays(channels=1, n=4, size=16):
    return np.random.default_rng(0).random((n, size, size, channels)).astype("float32")


@pytest.mark.parametrize("lists", [False, True])
def test_training_on_other_channels_is_refused_and_the_model_still_takes_the_right_ones(lists):
    model = made(**({"train_patch_size": (16, 16)} if lists else {}))
    of = list if lists else (lambda array: array)
    one, two = of(arrays()), of(arrays(2))
    mixed = of(arrays())
    mixed[2] = mixed[2].copy()
    mixed[2][3, 4] = np.nan
    for X, Y, held, message in (
        (one, two, (one, one), r"^Y\[0\]: found 2 channels .*, expected 1, which the model is trained for"),
        (two, one, (one, one), r"^X\[0\]: found 2 channels .*, expected 1, which the model takes"),
        (two, two, (two, two), r"^X\[0\]: found 2 channels"),
        (one, one, (one, two), r"^validation_data, Y\[0\]: found 2 channels"),
        (one, one, (two, one), r"^validation_data, X\[0\]: found 2 channels"),
        (mixed, one, (one, one), r"^X\[2\]: the image holds NaN or infinite values"),
        (one, one, (one, mixed), r"^validation_data, Y\[2\]: the image holds NaN"),
        (of(arrays().astype("float64") * 1e39), one, (one, one), r"^X\[0\]: found values up to .*e\+38|e\+39"),
        (of(arrays().astype(complex)), one, (one, one), r"^X\[0\]: found values of type complex128"),
    ):
        with pytest.raises(InputError, match=message) as error:
            model.train(X, Y, validation_data=held, verbose=0)
        assert "\n" not in str(error.value)
    assert np.isfinite(model.train(one, one, validation_data=(one, one), verbose=0).history["loss"]).all()


def test_a_list_with_one_image_of_other_channels_names_it():
    model = made(train_patch_size=(16, 16))
    images = [*arrays(n=2), arrays(3)[0]]
    with pytest.raises(InputError, match=r"^X\[2\]: found 3 channels \(shape \(16, 16, 3\)\), expected 1"):
        model.train(images, images, validation_data=(images[:1], images[:1]), verbose=0)


def test_other_kinds_of_models_refuse_targets_of_other_channels():
    one, two = arrays(), arrays(2)
    options = {"train_epochs": 1, "train_steps_per_epoch": 1, "train_batch_size": 2}
    segmentation = SegmentationAEANet(SegmentationAEANetConfig("YX", network=NETWORK, **options), "m", None)
    labels = np.zeros((4, 16, 16, 2), "uint8")
    with pytest.raises(InputError, match=r"^Y\[0\]: found 2 channels .*, expected 1"):
        segmentation.train(one, labels, validation_data=(one, labels[..., 0]), verbose=0)
    with pytest.raises(InputError, match=r"^validation_data, Y\[0\]: found 2 channels"):
        segmentation.train(one, labels[..., 0], validation_data=(one, labels), verbose=0)
    probabilistic = made(probabilistic=True, train_loss="laplace", **options)
    # As many channels as the network gives, mean and scale, and still not those of the targets.
    with pytest.raises(InputError, match=r"^Y\[0\]: found 2 channels .*, expected 1"):
        probabilistic.train(one, two, validation_data=(one, two), verbose=0)
    slices = SliceInterpolationNet(SliceInterpolationConfig(network=SSAN, **options), "m", None)
    with pytest.raises(InputError, match=r"^Y\[0\]: found 2 channels .*, expected 1"):
        slices.train(two, two, validation_data=(two, two), verbose=0)
    projection = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=PROJECTION, **options), "m", None)
    stacks = np.random.default_rng(0).random((2, 2, 16, 16, 1))
    flat = stacks.mean(1)
    for target in (np.concatenate([flat, flat], -1), np.concatenate([flat, flat], -1)[:, None]):
        with pytest.raises(InputError, match=r"^Y\[0\]: found 2 channels .*, expected 1"):
            projection.train(stacks, target, validation_data=(stacks, flat), verbose=0)
        with pytest.raises(InputError, match=r"^validation_data, Y\[0\]: found 2 channels"):
            projection.train(list(stacks), flat, validation_data=(stacks, target), verbose=0)
