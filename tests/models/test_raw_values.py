"""Intensities that nobody has normalised are told, those that somebody has are not, whatever bright spots they have."""

import numpy as np
import pytest
from csbdeep.utils import normalize

from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANetConfig
from aeanet_tf.models.folder import save_normalization
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.models.raw_values import raw_range
from aeanet_tf.models.training_data import training_data
from tests.models import NETWORK

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (64, 64)).astype("uint8")
# A dark field with a spot, 16 pixels of 4,096, a hundred times as bright.
SPOTS = RNG.normal(100, 5, (64, 64))
SPOTS[30:34, 30:34] = 10_000


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, np.percentile(GREY, (1, 99))),
        (GREY.astype("float32") - 500, np.percentile(GREY, (1, 99)) - 500),
        ([GREY, GREY[:32]], np.percentile(np.concatenate([GREY, GREY[:32]]), (1, 99))),
        (normalize(GREY, 2, 99.8), None),
        (normalize(SPOTS, 2, 99.8), None),
        (normalize(SPOTS, 1, 99), None),
        ((SPOTS - SPOTS.mean()) / SPOTS.std(), None),
        (GREY / 255, None),
        (GREY > 99, None),
        (np.zeros((0, 4)), None),
        ({"a": 1}, None),
    ],
)
def test_raw_and_normalised_images_are_told_apart(images, expected):
    found = raw_range(images)
    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(tuple(expected), abs=4)


def test_of_large_images_a_sample_is_looked_at():
    large = np.broadcast_to(GREY, (10_000, 64, 64))
    assert raw_range(large) == pytest.approx(tuple(np.percentile(GREY, (1, 99))), abs=4)


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if "expected about 0 to 1" in record.getMessage()]
    caplog.clear()
    return found


def test_prediction_of_raw_values_is_told_once(tmp_path, caplog):
    model = AEANet(AEANetConfig("YX", network=NETWORK), "m", str(tmp_path))
    model.predict(GREY, "YX")
    model.predict(normalize(GREY), "YX", normalizer=None)
    assert not warnings(caplog)
    model.predict([GREY, GREY], "YX", normalizer=None)
    model.predict(GREY, "YX", normalizer=None)
    (line,) = warnings(caplog)
    assert line.startswith("image 0: the network is given values from 2 to 2") and "normalizer" in line
    used = AEANet(AEANetConfig("YX", network=NETWORK), "raw", str(tmp_path))
    save_normalization(used.logdir, NormalizationSection(kind="none"))
    used.predict(GREY, "YX", normalizer=None)
    assert not warnings(caplog)


def test_training_on_raw_values_is_told_of_each_side(caplog):
    def prepare(config, x, y):
        x, y = (np.stack([image] * 4)[..., None] for image in (x, y))
        training_data(config, x, y, (x, y), steps=1)
        return [line.split(":")[0] for line in warnings(caplog)]

    config = AEANetConfig("YX", network=NETWORK, train_batch_size=1)
    assert prepare(config, GREY, GREY) == ["X", "Y"]
    assert prepare(config, normalize(GREY), GREY.astype("float32")) == ["Y"]
    assert prepare(config, normalize(SPOTS), normalize(GREY)) == []
    labels = SegmentationAEANetConfig("YX", network=NETWORK, n_channel_out=256, train_batch_size=1)
    assert prepare(labels, normalize(GREY), GREY) == []
