"""Ensembles of arrays: orientations and models, against predictions that are turned and averaged by hand."""

import tracemalloc
from itertools import count

import numpy as np
import pytest
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, Ensemble, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.ensemble import model_orientations
from aeanet_tf.models.folder import save_normalization
from aeanet_tf.models.normalizers import RangeNormalizer
from aeanet_tf.models.preparation import NormalizationSection
from tests.interop.example_models import make_model, randomise


@pytest.fixture(scope="module")
def model():
    return make_model("em")


@pytest.fixture(scope="module")
def models(model):
    """Three of one kind, with weights of their own."""
    return [model, *(another(model, seed) for seed in (1, 2))]


@pytest.fixture
def image():
    return textured((45, 31))


def textured(shape, seed=0):
    x = np.random.default_rng(seed).gamma(2, 50, shape)
    return (x + np.linspace(0, 300, shape[-1])).astype("float32")


def another(model, seed):
    other = type(model)(model.config, f"{model.name}{seed}", None)
    other.keras_model.set_weights(model.keras_model.get_weights())
    randomise(other.keras_model, seed, attention=1)
    return other


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < tolerance * np.ptp(expected)


def by_hand(predict, x, y=-2, z=None, transposed=True):
    """What ``predict`` gives for all turns of x in its axes y and y + 1, and flips in z, turned back: a list.

    The axes of the prediction are counted from the end, too.
    """
    found = []
    for mirror in (False, True):
        for k in range(4):
            for upside_down in (False, True) if z is not None else (False,):
                if not transposed and k % 2:
                    continue
                turned = np.flip(x, y) if mirror else x
                turned = np.rot90(turned, k, (y, y + 1))
                turned = np.flip(turned, z) if upside_down else turned
                back = np.asarray(predict(np.ascontiguousarray(turned)))
                back = np.flip(back, z) if upside_down and back.ndim == x.ndim else back
                back = np.rot90(back, -k, (y, y + 1))
                found.append(np.flip(back, y) if mirror else back)
    return found


@pytest.mark.parametrize("shape", [(45, 31), (16, 40), (7, 5)])
def test_flips_are_the_mean_over_eight_orientations(model, shape):
    x = textured(shape)
    expected = by_hand(lambda turned: model.predict(turned, "YX"), x)
    found = model.predict(x, "YX", ensemble="flips")
    assert len(expected) == 8 and close(found, np.mean(expected, 0))
    assert not close(found, expected[0], 1e-3)
    assert close(model.predict(x.T, "XY", ensemble="flips").T, found)


@pytest.mark.parametrize(("ensemble", "z", "count"), [("flips", None, 8), ("flips-z", 0, 16)])
def test_volumes(ensemble, z, count):
    model, x = make_model("care"), textured((7, 22, 17))
    expected = by_hand(lambda turned: model.predict(turned, "ZYX"), x, z=z)
    assert len(expected) == count
    found = model.predict(x, "ZYX", ensemble=ensemble)
    assert close(found, np.mean(expected, 0)) and not close(found, expected[0], 1e-3)
    assert close(model.predict(x, "ZYX", ensemble=ensemble, n_tiles=(1, 2, 3)), found)


def test_what_turns_the_image_turns_the_prediction(model, image):
    found, plain = model.predict(image, "YX", ensemble="flips"), model.predict(image, "YX")
    for turn in (np.transpose, np.rot90, np.flipud, lambda x: np.rot90(x, 2)):
        turned = np.ascontiguousarray(turn(image))
        assert close(model.predict(turned, "YX", ensemble="flips"), turn(found))
        assert not close(model.predict(turned, "YX"), turn(plain), 1e-3)


def test_tiles_give_what_the_whole_image_gives(model, image):
    whole = model.predict(image, "YX", ensemble="flips", tiling="whole")
    assert close(model.predict(image, "YX", ensemble="flips", n_tiles=(5, 2)), whole)
    assert not close(model.predict(image, "YX", ensemble="flips", n_tiles=(5, 2), tiling="overlap"), whole)


def test_projections_are_turned_in_y_and_x(image):
    model = make_model("flywing")
    stack = np.stack([image, image[::-1] * 2, image**1.1])
    expected = by_hand(lambda turned: model.predict(turned, "ZYX"), stack)
    found = model.predict(stack, "ZYX", ensemble="flips")
    assert close(found, np.mean(expected, 0)) and not close(found, expected[0], 1e-3)
    upside_down = by_hand(lambda turned: model.predict(turned, "ZYX"), stack[::-1])
    both = model.predict(stack, "ZYX", ensemble="flips-z")
    assert close(both, np.mean(expected + upside_down, 0)) and not close(both, found, 1e-3)


def test_frames_lists_and_groups(model, image):
    other = textured((32, 24), 1)
    alone = [model.predict(x, "YX", ensemble="flips") for x in (image, other)]
    found = model.predict([image, other], "YX", ensemble="flips")
    assert all(close(one, expected) for one, expected in zip(found, alone, strict=True))
    frames = np.stack([image, image[::-1] * 2], 1)
    found = model.predict(frames, "YTX", ensemble="flips", n_tiles=(2, 1, 1))
    assert close(found[:, 0], alone[0]) and close(found[:, 1], 2 * alone[0][::-1])
    pair = np.stack([image, 300 - 2 * textured(image.shape, 1)])
    found = np.stack(model.predict(list(pair), "YX", ensemble="flips", context="group"))
    turned = by_hand(lambda x: model.predict(list(x), "YX", context="group"), pair)
    assert close(found, np.mean(turned, 0)) and not close(found[0], alone[0], 1e-4)
    assert model.predict([], "YX", ensemble="flips") == []


def test_channels_come_and_go():
    config = AEANetConfig("YX", 1, 3, unet_n_first=4)
    model, x = AEANet(config, "m", None), textured((20, 14))
    randomise(model.keras_model)
    with pytest.warns(UserWarning, match="channels differ"):
        found = model.predict(x, "YX", ensemble="flips")
        expected = by_hand(lambda turned: np.moveaxis(model.predict(turned, "YX"), -1, 0), x)
    assert found.shape == (20, 14, 3) and close(np.moveaxis(found, -1, 0), np.mean(expected, 0))


def test_the_distribution_has_the_variance_of_the_mixture():
    model, x = make_model("probabilistic-2d"), textured((2, 30, 22))
    means = by_hand(lambda turned: model.predict_probabilistic(turned, "CYX").mean(), x)
    scales = by_hand(lambda turned: model.predict_probabilistic(turned, "CYX").scale(), x)
    found = model.predict_probabilistic(x, "CYX", ensemble="flips")
    variance = np.mean([2 * b**2 + m**2 for m, b in zip(np.float64(means), np.float64(scales), strict=True)], 0)
    variance -= np.mean(np.float64(means), 0) ** 2
    assert close(found.mean(), np.mean(means, 0)) and close(found.scale(), np.sqrt(variance / 2))
    assert not close(found.scale(), np.mean(scales, 0), 1e-3)
    np.testing.assert_allclose(found.var(), variance, rtol=1e-3)
    assert close(model.predict(x, "CYX", ensemble="flips"), found.mean(), 1e-7)
    # Several models: of the mixture of all of them.
    other = another(model, 1)
    together = Ensemble([model, other]).predict_probabilistic(x, "CYX")
    pair = [one.predict_probabilistic(x, "CYX") for one in (model, other)]
    expected = np.mean([one.var() + np.float64(one.mean()) ** 2 for one in pair], 0)
    expected -= np.mean([np.float64(one.mean()) for one in pair], 0) ** 2
    assert close(together.scale(), np.sqrt(expected / 2))


def test_probabilities_are_averaged_and_labels_are_of_the_mean():
    network = {"attention": {"shared_references": 4}}
    config = SegmentationAEANetConfig(
        "YX", 1, 3, labels=[0, 200, 10], unet_n_first=4, network=network, train_patch_size=(16, 16)
    )
    one, x = SegmentationAEANet(config, "m", None), textured((30, 22))
    randomise(one.keras_model)
    expected = np.mean(by_hand(lambda t: np.moveaxis(one.predict_probabilities(t, "YX"), -1, 0), x), 0)
    found = one.predict_probabilities(x, "YX", ensemble="flips")
    assert close(np.moveaxis(found, -1, 0), expected)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(one.predict(x, "YX", ensemble="flips"), np.array([0, 200, 10])[found.argmax(-1)])
    patches = {"tiling": "patches", "step": 8}
    expected = by_hand(lambda t: np.moveaxis(one.predict_probabilities(t, "YX", **patches), -1, 0), x)
    found = one.predict_probabilities(x, "YX", ensemble="flips", **patches)
    assert close(np.moveaxis(found, -1, 0), np.mean(expected, 0))
    other = another(one, 1)
    together, each = Ensemble([one, other]), [m.predict_probabilities(x, "YX") for m in (one, other)]
    assert close(together.predict_probabilities(x, "YX"), np.mean(each, 0))
    classes = one.labels_of(together.predict_probabilities(x, "YX"), "YX")
    np.testing.assert_array_equal(together.predict(x, "YX"), classes)
    mean, disagreement = together.predict_with_disagreement(x, "YX")
    assert close(mean, np.mean(each, 0)) and close(disagreement, np.std(each, 0))


def test_a_network_of_a_fixed_size_is_turned_where_it_can_be():
    def made(size):
        network = {"input_size": size, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}
        return AEANet(AEANetConfig("YX", preset="learned-query-em", unet_n_first=4, network=network), "m", None)

    assert len(model_orientations([made((16, 16))], "flips")) == 8
    model, x = made((16, 24)), textured((16, 24))
    randomise(model.keras_model)
    assert len(model_orientations([model], "flips")) == 4
    expected = by_hand(lambda turned: model.predict(turned, "YX"), x, transposed=False)
    assert len(expected) == 4 and close(model.predict(x, "YX", ensemble="flips"), np.mean(expected, 0))


@pytest.mark.parametrize("ensemble", [None, "flips"])
def test_several_models(models, image, ensemble):
    each = [model.predict(image, "YX", ensemble=ensemble) for model in models]
    together = Ensemble(models)
    mean, disagreement = together.predict_with_disagreement(image, "YX", ensemble=ensemble)
    assert close(mean, np.mean(each, 0)) and close(disagreement, np.std(each, 0))
    assert not close(mean, each[0], 1e-3) and disagreement.max() > 1
    assert close(together.predict(image, "YX", ensemble=ensemble, n_tiles=(2, 3)), mean)
    pairs = together.predict_with_disagreement([image, image[::-1]], "YX", ensemble=ensemble)
    assert close(pairs[0][1], disagreement) and len(pairs) == 2


def test_each_model_has_its_own_normalisation(models, image, tmp_path):
    folders = []
    for model in models[:2]:
        folder = tmp_path / model.name
        saved = AEANet(model.config, model.name, str(tmp_path))
        saved.keras_model.set_weights(model.keras_model.get_weights())
        saved.keras_model.save_weights(str(folder / "weights_best.h5"))
        folders.append(folder)
    save_normalization(folders[0], NormalizationSection(low=10, high=90))
    save_normalization(folders[1], NormalizationSection(kind="range", low=0, high=500))
    together, own = Ensemble.load(folders), [PercentileNormalizer(10, 90), RangeNormalizer(0, 500)]
    expected = [model.predict(image, "YX", normalizer) for model, normalizer in zip(models, own, strict=False)]
    assert close(together.predict(image, "YX"), np.mean(expected, 0))
    assert close(together.predict(image, "YX", own), np.mean(expected, 0))
    common = [model.predict(image, "YX", own[1]) for model in models[:2]]
    assert close(together.predict(image, "YX", own[1]), np.mean(common, 0))
    save_normalization(folders[1], NormalizationSection(kind="standard"))
    with pytest.raises(InputError, match=rf'{folders[1]}: normalization: found .*"standard".* as in {folders[0]}'):
        together.predict(image, "YX")


def test_models_that_differ_are_refused(model, tmp_path):
    def made(axes="YX", *channels, kind=AEANet, config=AEANetConfig, **fields):
        return kind(config(axes, *channels, unet_n_first=4, **fields), f"b{next(number)}", str(tmp_path))

    number = count()
    labels = {"kind": SegmentationAEANet, "config": SegmentationAEANetConfig, "labels": [0, 1]}
    segmenting = made("YX", 1, 2, **labels)
    for first, other, message in [
        (model, made("ZYX"), "axes: found ZYXC, expected YXC as in em"),
        (model, made("YX", 2, 1), "n_channel_in: found 2, expected 1"),
        (model, made("YX", 1, 2), "n_channel_out: found 2, expected 1"),
        (model, made(probabilistic=True), "probabilistic: found True, expected False"),
        (model, segmenting, "kind: found segmentation, expected unet"),
        (segmenting, made("YX", 1, 2, **{**labels, "labels": [0, 9]}), r"labels: found \[0, 9\], expected \[0, 1\]"),
    ]:
        with pytest.raises(InputError, match=rf"^{tmp_path}/b\d: {message}"):
            Ensemble([first, other])
    with pytest.raises(InputError, match="models: found none, expected one at least"):
        Ensemble([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": "all"}, "ensemble: found 'all', expected one of flips, flips-z"),
        ({"ensemble": "flips-z"}, "ensemble: found 'flips-z', expected 'flips': the model's axes YX have no Z"),
        ({"ensemble": "flips", "n_tiles": (1, 2, 1)}, "n_tiles: .* expected a number of at least 1 for each of"),
        ({"ensemble": "flips", "tiling": "seamless"}, "tiling: found 'seamless', expected one of exact"),
    ],
)
def test_bad_options(model, image, options, message):
    for one in (model, Ensemble([model, model])):
        with pytest.raises(InputError, match=message):
            one.predict(image, "YX", **options)


def test_what_an_ensemble_lacks(model, image):
    with pytest.raises(InputError, match="models: found 1, expected at least 2"):
        Ensemble([model]).predict_with_disagreement(image, "YX")
    with pytest.raises(InputError, match="normalizer: found 3, expected one for each of 1 models"):
        Ensemble([model]).predict(image, "YX", [None] * 3)
    with pytest.raises(ValueError, match="no probabilistic models"):
        Ensemble([model]).predict_probabilistic(image, "YX")
    with pytest.raises(ValueError, match="no models that segment"):
        Ensemble([model]).predict_probabilities(image, "YX")


def test_memory_does_not_grow_with_the_members(model):
    """What NumPy holds beside the image: two members or 16 of them."""
    image, peaks = textured((500, 600)), []
    options = {"n_tiles": (3, 3), "tiling": "overlap"}
    model.predict(image, "YX", **options)
    for ensemble in (None, "flips"):
        tracemalloc.start()
        Ensemble([model, model]).predict(image, "YX", ensemble=ensemble, **options)
        peaks.append(tracemalloc.get_traced_memory()[1] / image.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 0.9
