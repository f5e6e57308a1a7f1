"""Ensembles of files: as of arrays, piece by piece, whatever the tiles, the format, the interruptions."""

import logging
import tracemalloc

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.io import statistics
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget
from aeanet_tf.models import AEANet, AEANetConfig, Ensemble, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.normalizers import RangeNormalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.prediction.job import Job
from aeanet_tf.prediction.kept import Features, Journal
from aeanet_tf.runs.ensemble_files import StoredStatistics
from aeanet_tf.runs.predict_files import predict_files
from tests.interop.example_models import make_model, randomise
from tests.models import NETWORK, contents
from tests.models.test_ensemble import another, by_hand, close, textured
from tests.runs.test_large_files import PERCENTILES, VOXEL, Killed, as_zarr, loaded, stop_after

MEMBERS = 8
OPTIONS = {"n_tiles": (2, 2), "ensemble": "flips"}
# Four tiles in two sweeps.
TILES = 8


def small():
    """A model with one attention operator."""
    config = AEANetConfig("YX", preset="aeanet-em", network=NETWORK, train_seed=0)
    model = AEANet(config, "em", None)
    randomise(model.keras_model)
    return model


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.fixture(scope="module")
def pair(model):
    return Ensemble([model, another(model, 1)])


@pytest.fixture
def image():
    return textured((75, 59))


@pytest.mark.parametrize("kind", ["tif", "zarr"])
def test_flips_of_a_file_are_the_mean_over_eight_orientations(model, image, tmp_path, kind):
    """In uneven tiles, sizes off the grid, results in the file's axes and place."""
    if kind == "tif":
        write_image(tmp_path / "a.tif", image, "YX", {a: VOXEL[a] for a in "YX"}, "um")
    else:
        as_zarr(tmp_path / "a.zarr", image, "YX")
    path = tmp_path / f"a.{kind}"
    written = predict_files(model, path, tmp_path / "out", PERCENTILES, n_tiles=(3, 2), ensemble="flips")
    assert written == [tmp_path / "out" / f"a.{kind}"]
    found = open_image(written[0])
    assert (found.axes, found.unit, found.pixel_size) == ("YX", "um", pytest.approx({"Y": 0.125, "X": 0.125}))
    expected = by_hand(lambda turned: model.predict(turned, "YX", tiling="whole"), image)
    assert close(loaded(written[0]), np.mean(expected, 0)) and not close(loaded(written[0]), expected[0], 1e-3)
    assert {p.split("/")[0] for p in contents(tmp_path / "out")} == {f"a.{kind}"}, "nothing hidden is left"


@pytest.mark.parametrize(("ensemble", "z"), [("flips", None), ("flips-z", 0)])
def test_volumes(tmp_path, ensemble, z):
    model, volume = make_model("care"), textured((7, 22, 17))
    write_image(tmp_path / "a.tif", volume, "ZYX", VOXEL, "um")
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(1, 2, 1), ensemble=ensemble)
    expected = by_hand(lambda turned: model.predict(turned, "ZYX", tiling="whole"), volume, z=z)
    assert close(loaded(tmp_path / "out" / "a.tif"), np.mean(expected, 0))


def test_a_projection_of_frames_with_channels_in_another_order(tmp_path):
    model, stack = make_model("flywing"), textured((3, 2, 34, 40))
    as_zarr(tmp_path / "a.zarr", stack.transpose(1, 0, 2, 3), "TZYX")
    written = predict_files(model, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, ensemble="flips-z")
    found = open_image(written[0])
    assert found.axes == "TYX" and close(loaded(written[0]), model.predict(stack, "ZTYX", ensemble="flips-z"))


def test_mean_scale_and_disagreement_of_channels(tmp_path):
    model, image = make_model("probabilistic-2d"), textured((30, 2, 22))
    both = Ensemble([model, another(model, 1)])
    write_image(tmp_path / "a.tif", image.transpose(1, 0, 2), "CYX")
    options = {"n_tiles": (1, 2, 3), "scale": True, "ensemble": "flips"}
    written = predict_files(both, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
    assert [path.name for path in written] == ["a.tif", "a_scale.tif", "a_disagreement.tif"]
    expected = both.predict_probabilistic(image, "YCX", ensemble="flips")
    mean, disagreement = both.predict_with_disagreement(image, "YCX", ensemble="flips")
    for path, array in zip(written, (mean, expected.scale(), disagreement), strict=True):
        found = read_image(path)
        assert found.axes == "CYX" and close(found.array.transpose(1, 0, 2), array)
    assert close(mean, expected.mean(), 1e-6)


@pytest.mark.parametrize("ensemble", [None, "flips"])
def test_several_models_and_their_disagreement(pair, image, tmp_path, ensemble):
    """Each normalises in its own way."""
    write_image(tmp_path / "a.tif", image, "YX", {a: VOXEL[a] for a in "YX"}, "um")
    sections = [PERCENTILES, NormalizationSection(kind="range", low=0, high=700)]
    written = predict_files(pair, tmp_path / "a.tif", tmp_path / "out", sections, n_tiles=(2, 3), ensemble=ensemble)
    assert [path.name for path in written] == ["a.tif", "a_disagreement.tif"]
    one, other = pair.models
    each = [one.predict(image, "YX", ensemble=ensemble)]
    each.append(other.predict(image, "YX", RangeNormalizer(0, 700), ensemble=ensemble))
    assert close(loaded(written[0]), np.mean(each, 0)) and close(loaded(written[1]), np.std(each, 0))
    assert read_image(written[1]).pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})


@pytest.mark.parametrize("tiling", ["exact", "patches"])
def test_labels_are_of_the_mean_probabilities(tmp_path, tiling):
    config = SegmentationAEANetConfig(
        "YX", 1, 3, labels=[0, 200, 10], unet_n_first=4, train_patch_size=(16, 16), network={"depth": 3}
    )
    model, image = SegmentationAEANet(config, "m", None), textured((30, 22))
    randomise(model.keras_model)
    both = Ensemble([model, another(model, 1)])
    write_image(tmp_path / "a.tif", image, "YX")
    options = {"tiling": tiling, "ensemble": "flips"}
    written = predict_files(both, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, probabilities=True, **options)
    assert [path.name for path in written] == ["a.tif", "a_probabilities.tif", "a_disagreement.tif"]
    mean, disagreement = both.predict_with_disagreement(image, "YX", **options)
    labels, *others = (read_image(path).array for path in written)
    for found, expected in zip(others, (mean, disagreement), strict=True):
        assert close(np.moveaxis(found, 0, -1), expected)
    np.testing.assert_array_equal(labels, model.labels_of(np.moveaxis(others[0], 0, -1), "YX"))
    assert labels.dtype == np.uint8
    written = predict_files(both, tmp_path / "a.tif", tmp_path / "no", PERCENTILES, **options)
    assert [path.name for path in written] == ["a.tif", "a_disagreement.tif"]
    np.testing.assert_array_equal(tifffile.imread(written[0]), labels)
    assert close(tifffile.imread(written[1]), others[1], 1e-7)


def test_a_group_and_frames(model, image, tmp_path):
    frames = np.stack([image, 300 - 2 * image[::-1]])
    write_image(tmp_path / "in" / "a.tif", frames, "TYX")
    write_image(tmp_path / "in" / "b.tif", image[:32, :40], "YX")
    for context in ("image", "group"):
        options = {"context": context, "ensemble": "flips"}
        predict_files(model, tmp_path / "in", tmp_path / context, PERCENTILES, **options)
    images = [*frames, image[:32, :40]]
    for context in ("image", "group"):
        expected = model.predict(images, "YX", context=context, ensemble="flips")
        assert close(loaded(tmp_path / context / "a.tif"), np.stack(expected[:2]))
        assert close(loaded(tmp_path / context / "b.tif"), expected[2])


def killed(model, tmp_path, **options):
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
    assert not [name for name in contents(tmp_path / "out") if not name.startswith(".")]


def gone_on(model, tmp_path, monkeypatch, **options):
    """What is evaluated when the run is started again; the results are those of a run that was not stopped."""
    monkeypatch.undo()
    again = stop_after(monkeypatch, -1)
    written = predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
    for path in written:
        np.testing.assert_array_equal(loaded(path), loaded(tmp_path / "straight" / path.name))
    assert not [name for name in contents(tmp_path / "out") if name.startswith(".")]
    return again


@pytest.fixture
def begun(pair, image, tmp_path, monkeypatch):
    """A file, and what a run that is not stopped makes of it: 16 members."""
    write_image(tmp_path / "a.tif", image, "YX")
    all_tiles = stop_after(monkeypatch, -1)
    predict_files(pair, tmp_path / "a.tif", tmp_path / "straight", PERCENTILES, **OPTIONS)
    monkeypatch.undo()
    assert len(all_tiles) == 2 * MEMBERS * TILES


@pytest.mark.parametrize("count", [2, TILES + 5, 5 * TILES, 11 * TILES + 7])
def test_a_run_that_was_killed_goes_on_and_gives_the_same(pair, begun, tmp_path, monkeypatch, caplog, count):
    first = stop_after(monkeypatch, count)
    killed(pair, tmp_path, **OPTIONS)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        second = gone_on(pair, tmp_path, monkeypatch, **OPTIONS)
    assert len(first) == count and len(first + second) == 2 * MEMBERS * TILES
    finished = count // TILES
    assert finished == 0 or any(f": {finished} of 16 members are finished" in line for line in caplog.messages)


def test_a_tile_whose_writing_was_not_noted_counts_once(pair, begun, tmp_path, monkeypatch):
    entered, enter = [], Journal.enter

    def not_the_last(self, stage, task, moments):
        entered.append(task)
        if len(entered) == 3 * TILES + 6:
            raise Killed
        enter(self, stage, task, moments)

    monkeypatch.setattr(Journal, "enter", not_the_last)
    killed(pair, tmp_path, **OPTIONS)
    assert len(gone_on(pair, tmp_path, monkeypatch, **OPTIONS)) == 2 * MEMBERS * TILES - 3 * TILES - 5


def test_killed_between_two_members_or_while_results_are_written(pair, begun, tmp_path, monkeypatch):
    from aeanet_tf.runs import ensemble_files

    noted, write_text = [], ensemble_files.write_text

    def kill(path, text):
        noted.append(text)
        if len(noted) == 4:
            raise Killed
        write_text(path, text)

    monkeypatch.setattr(ensemble_files, "write_text", kill)
    killed(pair, tmp_path, **OPTIONS)
    monkeypatch.undo()
    evaluated, write = stop_after(monkeypatch, -1), ImageTarget.write

    def killed_at_the_second(self, slices, values):
        if "disagreement" in self.path.name:
            raise Killed
        write(self, slices, values)

    monkeypatch.setattr(ImageTarget, "write", killed_at_the_second)
    killed(pair, tmp_path, **OPTIONS)
    assert len(evaluated) == (2 * MEMBERS - 3) * TILES
    assert not gone_on(pair, tmp_path, monkeypatch, **OPTIONS), "all members are finished"


def test_a_full_disk_keeps_what_is_done(pair, begun, tmp_path, monkeypatch):
    write, count = Features.write, []

    def full(self, name, *values):
        count.append(name)
        if len(count) > 90:
            raise WriteError("the disk is full")
        write(self, name, *values)

    monkeypatch.setattr(Features, "write", full)
    with pytest.raises(WriteError, match="the disk is full"):
        predict_files(pair, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **OPTIONS)
    again = gone_on(pair, tmp_path, monkeypatch, **OPTIONS)
    assert TILES < len(again) < (2 * MEMBERS - 2) * TILES


def test_finished_images_are_not_predicted_again(model, image, tmp_path, monkeypatch):
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.tif", image, "YX")
    first = stop_after(monkeypatch, MEMBERS + 3)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, ensemble="flips")
    monkeypatch.undo()
    second = stop_after(monkeypatch, -1)
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, ensemble="flips")
    assert len(first) == MEMBERS + 3 and len(second) == MEMBERS - 3
    assert close(loaded(tmp_path / "out" / "b.tif"), model.predict(image, "YX", ensemble="flips"))


def test_tiles_are_halved_for_the_member_that_is_short_of_memory(model, image, tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", image, "YX")
    evaluated, once = [], Job.compute

    def short_of_memory(self, stage, group, inputs, contexts):
        evaluated.append(group)
        if len(evaluated) == 3:
            raise MemoryError
        return once(self, stage, group, inputs, contexts)

    monkeypatch.setattr(Job, "compute", short_of_memory)
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, ensemble="flips")
    assert len(evaluated) == MEMBERS + 4, "one member in two tiles and two sweeps"
    assert close(loaded(tmp_path / "out" / "a.tif"), model.predict(image, "YX", ensemble="flips"))


def test_memory_and_disk_do_not_grow_with_the_members(pair, tmp_path, monkeypatch):
    """2 members, or 6: what NumPy holds stays, and the sums are in two sets of files."""
    image, section = textured((500, 400)), NormalizationSection(kind="range", low=0, high=700)
    write_image(tmp_path / "a.tif", image, "YX")
    monkeypatch.setattr(statistics, "PIECE_BYTES", image.nbytes // 8)
    pieces, files, add, results = [], set(), StoredStatistics.add, StoredStatistics.results

    def added(self, member, slices, mean, scale):
        pieces.append(mean.size)
        files.update(path for path in self.files.folder.iterdir() if path.suffix == ".float32")
        add(self, member, slices, mean, scale)

    def read(self, slices):
        found = results(self, slices)
        pieces.append(found.mean.size)
        return found

    monkeypatch.setattr(StoredStatistics, "add", added)
    monkeypatch.setattr(StoredStatistics, "results", read)
    options = {"n_tiles": (3, 4), "overwrite": True}
    predict_files(pair, tmp_path / "a.tif", tmp_path / "out", section, **options)
    peaks, counts = [], []
    for models in (pair.models, 3 * pair.models):
        files.clear()
        tracemalloc.start()
        predict_files(Ensemble(models), tmp_path / "a.tif", tmp_path / "out", section, **options)
        peaks.append(tracemalloc.get_traced_memory()[1] / image.nbytes)
        tracemalloc.stop()
        counts.append(len(files))
    assert max(pieces) < 1.2 * image.size / 12
    assert peaks[1] < peaks[0] + 0.5
    # Mean and deviations, twice.
    assert counts == [4, 4]


def test_bad_input_leaves_nothing(model, pair, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX")
    for one, options, message in [
        (model, {"ensemble": "all"}, "ensemble: found 'all', expected one of flips, flips-z"),
        (model, {"ensemble": "flips-z"}, "ensemble: found 'flips-z', expected 'flips'"),
        (model, {"ensemble": "flips", "n_tiles": (99, 1)}, "n_tiles: 99 along Y, expected at most 38"),
        (pair, {"n_tiles": (1, 99)}, "n_tiles: 99 along X, expected at most 30"),
        (pair, {"scale": True}, "--scale: the model is not probabilistic"),
    ]:
        with pytest.raises(InputError, match=message):
            predict_files(one, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
        assert not (tmp_path / "out").exists()
    units = [PERCENTILES, NormalizationSection(kind="standard")]
    with pytest.raises(InputError, match=r"em1: normalization: found .*standard.* as in em"):
        predict_files(pair, tmp_path / "a.tif", tmp_path / "out", units)
    with pytest.raises(InputError, match="normalization: found 1, expected one for each of 2 models"):
        predict_files(pair, tmp_path / "a.tif", tmp_path / "out", [PERCENTILES])
    image[70, 50] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", image)
    none = NormalizationSection(kind="none")
    with pytest.raises(InputError, match=r"nan\.tif: the image holds NaN"):
        predict_files(pair, tmp_path / "nan.tif", tmp_path / "out", none, n_tiles=(2, 2), axes="YX", ensemble="flips")
    assert not (tmp_path / "out").exists()


def test_the_disagreement_is_not_written_over_an_input(pair, image, tmp_path):
    for name in ("a", "a_disagreement"):
        write_image(tmp_path / "in" / f"{name}.tif", image, "YX")
    with pytest.raises(InputError, match=r"a_disagreement\.tif would also be written for"):
        predict_files(pair, tmp_path / "in", tmp_path / "out", PERCENTILES)
