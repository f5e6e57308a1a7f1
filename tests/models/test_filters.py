"""At the end of training the model stands beside simple filters, and what is worse than they says so."""

import logging

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.evaluation.baselines import SIGMAS, care_psnr, gaussian, read_filters
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.filters import compare_with_filters
from aeanet_tf.training import ValidationSet
from tests.models import EAGER, eager_tensorflow

pytestmark = EAGER


def pairs(count=3, shape=(48, 40), channels=1, seed=0):
    """Noisy images and the truth they are of, ``(*shape, channels)``."""
    rng = np.random.default_rng(seed)
    truths = [gaussian_filter(rng.random((*shape, channels)), (3, 3, 0)).astype("float32") for _ in range(count)]
    truths = [(t - t.min()) / np.ptp(t) for t in truths]
    return [(t + rng.normal(0, 0.4, t.shape)).astype("float32") for t in truths], truths


def blur(x, training=False):
    return np.stack([gaussian_filter(image, (2.5, 2.5, 0)) for image in x])


def unchanged(x, training=False):
    return x


def test_scores_are_those_of_the_images_and_the_best_filter_is_found():
    X, Y = pairs(channels=2)
    found = compare_with_filters(unchanged, ValidationSet(X, Y, 8), 2)
    planes = [(x[..., c], y[..., c]) for x, y in zip(X, Y, strict=True) for c in range(2)]
    by_hand = {s: np.mean([care_psnr(y, gaussian(x, s)) for x, y in planes]) for s in SIGMAS}
    assert found.images == 6 and found.filters.sigma == max(by_hand, key=by_hand.get)
    assert found.filters.gaussian_score == pytest.approx(max(by_hand.values()), abs=1e-4)
    assert found.input == found.model == pytest.approx(np.mean([care_psnr(y, x) for x, y in planes]), abs=1e-4)


@pytest.mark.parametrize(("network", "worse"), [(unchanged, True), (blur, False)])
def test_a_model_that_a_filter_equals_is_warned_of(network, worse, caplog):
    validation = ValidationSet(*pairs(), 8)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        found = compare_with_filters(network, validation, 1)
        if not worse:
            # As good as the best Gaussian there is, and better: here the truth itself.
            truths = iter([validation[i][1] for i in range(len(validation))])
            found = compare_with_filters(lambda x, training: next(truths), validation, 1)
        found.log()
    assert "validation, care protocol, 3 images: input" in caplog.text and "Gaussian (sigma " in caplog.text
    assert ("NOT better than a filter" in caplog.text) is worse
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_constant_truths_do_not_count_and_alone_say_nothing():
    X, Y = pairs(2)
    flat = np.full_like(Y[0], 0.5)
    assert compare_with_filters(unchanged, ValidationSet([X[0], X[1]], [Y[0], flat], 8), 1).images == 1
    assert compare_with_filters(unchanged, ValidationSet([X[0]], [flat], 8), 1) is None


def test_training_keeps_the_filters_with_the_model(tmp_path, caplog):
    X, Y = (np.stack(images) for images in pairs(4, (32, 32)))
    options = {
        "unet_n_first": 4,
        "train_epochs": 1,
        "train_steps_per_epoch": 1,
        "train_batch_size": 2,
        "train_tensorboard": False,
    }
    with eager_tensorflow(), caplog.at_level(logging.INFO, "aeanet_tf"):
        model = AEANet(AEANetConfig("YX", **options), "beside", str(tmp_path))
        model.train(X, Y, (X, Y), verbose=0)
        assert (
            read_filters(model.logdir).sigma == compare_with_filters(unchanged, ValidationSet(X, Y, 8), 1).filters.sigma
        )
        assert "NOT better than a filter" in caplog.text
        caplog.clear()
        alone = AEANet(AEANetConfig("YX", train_baselines=False, **options), "alone", str(tmp_path))
        alone.train(X, Y, (X, Y), verbose=0)
    assert "filter" not in caplog.text and not (alone.logdir / "filters.json").exists()


def test_only_restorations_can_be_filtered():
    assert AEANetConfig("YX").restores
    assert not AEANetConfig("YX", 2, 1).restores
