"""What a killed run has entered is read again, to the bit, and nothing else."""

import numpy as np

from aeanet_tf.layers.moments import Moments
from aeanet_tf.prediction.kept import Features, Journal


def moments(seed, channels=5):
    rng = np.random.default_rng(seed)
    shapes = (1,), (1, channels), (1, channels, channels)
    return Moments(*(rng.normal(size=shape).astype("float32") for shape in shapes))


def same(one, other):
    return all(np.array_equal(a, b) and a.shape == b.shape for a, b in zip(one, other, strict=True))


def test_entries_are_found_again_in_the_order_of_the_tiles(tmp_path):
    journal = Journal(tmp_path)
    for tile in (3, 0, 7):
        journal.enter(0, (1, tile), moments(tile))
    journal.enter(0, (0, 9), moments(9))
    journal.enter(1, (0, 2), None)
    for found in (journal, Journal(tmp_path)):
        assert found.done(0, 5) == {(0, 9), (1, 0), (1, 3), (1, 7)}
        assert all(same(a, moments(tile)) for a, tile in zip(found.moments(0, 5), (9, 0, 3, 7), strict=True))
        assert found.done(1) == {(0, 2)} and found.done(2) == set()


def test_a_record_cut_off_by_a_kill_is_dropped_and_written_again(tmp_path):
    journal = Journal(tmp_path)
    for tile in range(3):
        journal.enter(0, (0, tile), moments(tile))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-7])
    again = Journal(tmp_path)
    assert again.done(0, 5) == {(0, 0), (0, 1)}
    again.enter(0, (0, 2), moments(2))
    found = list(Journal(tmp_path).moments(0, 5))
    assert len(found) == 3 and all(same(a, moments(tile)) for tile, a in enumerate(found))


def test_nothing_is_written_without_a_folder():
    journal = Journal()
    for tile in (4, 1):
        journal.enter(0, (0, tile), moments(tile))
    assert journal.done(0, 5) == {(0, 1), (0, 4)}
    assert all(same(a, moments(tile)) for a, tile in zip(journal.moments(0, 5), (1, 4), strict=True))


def test_features_in_files_are_those_in_memory(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    region = np.s_[1:3, 2:6, 0:3]
    for features in (Features(), Features(tmp_path / "features")):
        features.create("a", values.shape)
        features.write("a", values.shape, np.s_[0:4, 0:6, 0:3], values)
        features.write("a", values.shape, region, -values[region])
        np.testing.assert_array_equal(features.read("a", values.shape, region), -values[region])
        np.testing.assert_array_equal(features.read("a", values.shape, np.s_[0:1, 0:6, 0:3]), values[:1])
    # Begun again, what is there stays; dropped, it is gone.
    features = Features(tmp_path / "features")
    features.create("a", values.shape)
    np.testing.assert_array_equal(features.read("a", values.shape, region), -values[region])
    features.drop("a")
    assert not list((tmp_path / "features").iterdir())
