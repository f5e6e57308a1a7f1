"""Files predicted piece by piece: as in memory, whatever the tiles, the format, the interruptions."""

import errno
import logging

import numpy as np
import pytest
import tifffile
import zarr
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.prediction import plan as plans
from aeanet_tf.prediction.job import Job
from aeanet_tf.prediction.kept import Journal
from aeanet_tf.runs.predict_files import predict_files
from tests.interop.example_models import make_model
from tests.models import contents

PERCENTILES = NormalizationSection()
VOXEL = {"Z": 0.5, "Y": 0.125, "X": 0.125}


@pytest.fixture(scope="module")
def model():
    return make_model("em")


@pytest.fixture(scope="module")
def volumes():
    return make_model("care")


@pytest.fixture
def image():
    x = np.random.default_rng(0).gamma(2, 50, (150, 118))
    return (x + np.linspace(0, 300, 118)).astype("float32")


@pytest.fixture
def volume():
    return np.random.default_rng(1).gamma(2, 50, (19, 50, 45)).astype("float32")


def as_zarr(path, array, axes):
    target = ImageTarget.create(path, array.shape, axes, {a: VOXEL[a] for a in axes if a in VOXEL}, "um")
    target.write(tuple(slice(0, n) for n in array.shape), array)
    target.finish()


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < tolerance * np.ptp(expected)


def loaded(path):
    array = open_image(path).array
    return array[tuple(slice(0, n) for n in array.shape)]


@pytest.mark.parametrize("kind", ["tif", "zarr"])
def test_tiles_of_a_volume(volumes, volume, tmp_path, kind):
    """Sizes off the grid, uneven tiles, chunks that are not the tiles."""
    if kind == "tif":
        write_image(tmp_path / "a.tif", volume, "ZYX", VOXEL, "um")
    else:
        as_zarr(tmp_path / "a.zarr", volume, "ZYX")
    written = predict_files(volumes, tmp_path / f"a.{kind}", tmp_path / "out", PERCENTILES, n_tiles=(2, 3, 2))
    assert written == [tmp_path / "out" / f"a.{kind}"]
    found = open_image(written[0])
    assert (found.axes, found.unit, found.pixel_size) == ("ZYX", "um", pytest.approx(VOXEL))
    assert close(loaded(written[0]), volumes.predict(volume, "ZYX", tiling="whole"))
    assert {p.split("/")[0] for p in contents(tmp_path / "out")} == {f"a.{kind}"}, "nothing hidden is left"


def test_a_zarr_has_chunks_of_the_tiles_and_other_readers_take_it(model, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX", {"Y": 0.125, "X": 0.125}, "um")
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(3, 2), file_format="zarr")
    found = zarr.open_array(str(tmp_path / "out" / "a.zarr" / "0"), mode="r")
    assert found.chunks == (50, 59)
    assert close(found[:], model.predict(image, "YX", tiling="whole"))
    ome_zarr = pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    node = next(iter(Reader(parse_url(str(tmp_path / "out" / "a.zarr")))()))
    assert ome_zarr and close(np.asarray(node.data[0]), found[:], 1e-7)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["y", "x"]


class Killed(BaseException):
    """As a kill: nothing that handles exceptions gets to handle it."""


def stop_after(monkeypatch, count):
    """Let ``count`` tiles be evaluated; the list of all that were."""
    evaluated, once = [], Job.compute

    def compute(self, stage, group, inputs, contexts):
        if len(evaluated) == count:
            raise Killed
        evaluated.extend((stage, *task) for task in group)
        return once(self, stage, group, inputs, contexts)

    monkeypatch.setattr(Job, "compute", compute)
    return evaluated


@pytest.mark.parametrize("count", [2, 7, 16, 20])
def test_a_run_that_was_killed_goes_on_and_gives_the_same(volumes, volume, tmp_path, monkeypatch, count, caplog):
    """In the first sweep, in one that reads kept features, in the last: six tiles a sweep, four sweeps."""
    as_zarr(tmp_path / "a.zarr", volume, "ZYX")
    options = {"n_tiles": (1, 3, 2)}
    predict_files(volumes, tmp_path / "a.zarr", tmp_path / "straight", PERCENTILES, **options)
    first = stop_after(monkeypatch, count)
    with pytest.raises(Killed):
        predict_files(volumes, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, **options)
    assert not [name for name in contents(tmp_path / "out") if not name.startswith(".")]
    monkeypatch.undo()
    second = stop_after(monkeypatch, -1)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        predict_files(volumes, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, **options)
    assert any("going on with what an earlier run has finished" in message for message in caplog.messages)
    assert len(first) == count and not set(first) & set(second) and len(first + second) == 24
    np.testing.assert_array_equal(loaded(tmp_path / "out" / "a.zarr"), loaded(tmp_path / "straight" / "a.zarr"))
    assert not [name for name in contents(tmp_path / "out") if name.startswith(".")]


def folder_killed_in_the_third(model, image, tmp_path, monkeypatch):
    for name in "abc":
        write_image(tmp_path / "in" / f"{name}.tif", image, "YX")
    stop_after(monkeypatch, 2)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    monkeypatch.undo()


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"n_tiles": "many"}', '{"n_tiles": [1, 3, "2"]}', "{" * 5000])
def test_a_run_whose_plan_is_damaged_begins_anew(volumes, volume, tmp_path, monkeypatch, text, caplog):
    as_zarr(tmp_path / "a.zarr", volume, "ZYX")
    options = {"n_tiles": (1, 3, 2)}
    stop_after(monkeypatch, 7)
    with pytest.raises(Killed):
        predict_files(volumes, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, **options)
    monkeypatch.undo()
    (plan,) = (tmp_path / "out").glob(".partial-run-*/group0/plan.json")
    plan.write_text(text)
    second = stop_after(monkeypatch, -1)
    predict_files(volumes, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, **options)
    assert len(second) == 24 and "these images are begun anew" in caplog.text
    assert not [name for name in contents(tmp_path / "out") if name.startswith(".")]


def test_finished_images_of_a_killed_run_are_not_predicted_again(model, image, tmp_path, monkeypatch):
    folder_killed_in_the_third(model, image, tmp_path, monkeypatch)
    again = stop_after(monkeypatch, -1)
    written = predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    assert len(again) == 1 and [path.name for path in written] == ["a.tif", "b.tif", "c.tif"]
    # A complete run leaves nothing to go on with.
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    assert len(again) == 4


def test_frames_in_one_piece_are_not_predicted_again_either(model, image, tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", np.stack([image, image[::-1], image**2, image[:, ::-1]]), "TYX")
    monkeypatch.setattr(plans, "MOST_TOGETHER", 1)
    first = stop_after(monkeypatch, 3)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    monkeypatch.undo()
    second = stop_after(monkeypatch, -1)
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    assert first + second == [(0, frame, 0) for frame in range(4)]
    assert close(loaded(tmp_path / "out" / "a.tif")[3], model.predict(image[:, ::-1], "YX"))


def test_frames_that_were_begun_together_end_together(model, image, tmp_path, monkeypatch):
    """Killed between two frames of one evaluation: both are evaluated again, and give the same to the bit."""
    write_image(tmp_path / "a.tif", np.stack([image ** (1 + i / 4) for i in range(5)]), "TYX")
    monkeypatch.setattr(plans, "MOST_TOGETHER", 2)
    predict_files(model, tmp_path / "a.tif", tmp_path / "straight", PERCENTILES)
    entered, enter = [], Journal.enter

    def enter_three(self, stage, task, moments):
        if len(entered) == 3:
            raise Killed
        entered.append(task)
        enter(self, stage, task, moments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "enter", enter_three)
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    again, written = stop_after(monkeypatch, -1), []
    monkeypatch.setattr(Journal, "enter", lambda self, *record: written.append(record[1]) or enter(self, *record))
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    assert entered == [(0, 0), (1, 0), (2, 0)] and written == [(3, 0), (4, 0)]
    assert again == [(0, 2, 0), (0, 3, 0), (0, 4, 0)]
    np.testing.assert_array_equal(loaded(tmp_path / "out" / "a.tif"), loaded(tmp_path / "straight" / "a.tif"))


def test_another_model_or_image_begins_anew(model, volumes, image, tmp_path, monkeypatch, caplog):
    write_image(tmp_path / "a.tif", image, "YX")
    stop_after(monkeypatch, 3)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    monkeypatch.undo()
    write_image(tmp_path / "a.tif", image[:, ::-1], "YX")
    again = stop_after(monkeypatch, -1)
    with caplog.at_level(logging.WARNING, "aeanet_tf"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    assert len(again) == 8 and close(loaded(tmp_path / "out" / "a.tif"), model.predict(image[:, ::-1], "YX"))
    assert "unfinished runs" in caplog.text


def test_what_other_runs_wrote_is_not_gone_on_with(model, image, tmp_path, monkeypatch):
    """A run is stopped, another one of the same names, too, and the first is taken up again."""
    write_image(tmp_path / "a.tif", image, "YX")
    other = NormalizationSection(low=10, high=90)
    for section, count in ((PERCENTILES, 6), (other, 7)):
        stop_after(monkeypatch, count)
        with pytest.raises(Killed):
            predict_files(model, tmp_path / "a.tif", tmp_path / "out", section, n_tiles=(2, 2))
        monkeypatch.undo()
    for section, left in ((PERCENTILES, 2), (other, 1)):
        again = stop_after(monkeypatch, -1)
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", section, n_tiles=(2, 2))
        assert len(again) == left
        expected = model.predict(image, "YX", PercentileNormalizer(section.low, section.high))
        assert close(loaded(tmp_path / "out" / "a.tif"), expected)
        monkeypatch.undo()


def test_results_that_were_deleted_or_replaced_are_made_again(model, image, tmp_path, monkeypatch):
    folder_killed_in_the_third(model, image, tmp_path, monkeypatch)
    (tmp_path / "out" / "a.tif").unlink()
    write_image(tmp_path / "out" / "b.tif", 0 * image, "YX")
    with pytest.raises(InputError, match=r"out/b\.tif: is there and does not say which model made it"):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, overwrite=True)
    assert all(close(loaded(tmp_path / "out" / f"{name}.tif"), model.predict(image, "YX")) for name in "abc")


def test_a_zarr_whose_pixels_have_changed_is_predicted_anew(model, image, tmp_path, monkeypatch):
    as_zarr(tmp_path / "a.zarr", image, "YX")
    stop_after(monkeypatch, 3)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    monkeypatch.undo()
    zarr.open_array(str(tmp_path / "a.zarr" / "0"), mode="r+")[:] = image[::-1]
    predict_files(model, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    assert close(loaded(tmp_path / "out" / "a.zarr"), model.predict(image[::-1], "YX"))


def test_a_group_of_stacks_of_different_heights_is_projected(tmp_path):
    model, rng = make_model("flywing"), np.random.default_rng(2)
    stacks = [rng.random((4, 96, 112)).astype("float32"), rng.random((9, 32, 48)).astype("float32")]
    for name, stack in zip("ab", stacks, strict=True):
        write_image(tmp_path / "in" / f"{name}.tif", stack, "ZYX")
    expected = model.predict(stacks, "ZYX", context="group")
    assert close(expected[1], model.predict(stacks[::-1], "ZYX", context="group", n_tiles=(1, 2, 2))[0])
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, context="group", n_tiles=(1, 2, 2))
    assert all(close(loaded(tmp_path / "out" / f"{n}.tif"), e) for n, e in zip("ab", expected, strict=True))


def test_frames_of_a_time_lapse(model, image, tmp_path):
    frames = np.stack([image, 2 * image[::-1], image[:, ::-1]])
    write_image(tmp_path / "a.tif", frames, "TYX", {"T": 3.0, "Y": 0.1, "X": 0.1}, "um")
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(1, 2, 3))
    found = read_image(tmp_path / "out" / "a.tif")
    assert found.axes == "TYX" and found.pixel_size["T"] == pytest.approx(3)
    assert close(found.array, model.predict(frames, "TYX", tiling="whole"))
    predict_files(model, tmp_path / "a.tif", tmp_path / "group", PERCENTILES, n_tiles=(1, 2, 3), context="group")
    shared = read_image(tmp_path / "group" / "a.tif").array
    assert close(shared, model.predict(frames, "TYX", context="group"))
    assert not close(shared, found.array)
    with pytest.raises(InputError, match="n_tiles: 3 along T, expected 1: frames are predicted one by one"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "no", PERCENTILES, n_tiles=(3, 1, 1))


def test_a_group_of_files_of_different_sizes(model, image, tmp_path):
    images = [image, 2 * image[:70, :90]]
    for name, x in zip("ab", images, strict=True):
        write_image(tmp_path / "in" / f"{name}.tif", x, "YX")
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, n_tiles=(3, 2), context="group")
    for name, expected in zip("ab", model.predict(images, "YX", context="group"), strict=True):
        assert close(read_image(tmp_path / "out" / f"{name}.tif").array, expected)


def test_mean_and_scale_in_tiles(tmp_path):
    model = make_model("probabilistic-2d")
    image = np.random.default_rng(1).random((2, 60, 44)).astype("float32")
    write_image(tmp_path / "a.tif", image, "CYX")
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(1, 2, 3), scale=True)
    whole = model.predict_probabilistic(image, "CYX", tiling="whole")
    assert close(read_image(tmp_path / "out" / "a.tif").array, whole.mean())
    assert close(read_image(tmp_path / "out" / "a_scale.tif").array, whole.scale())


def test_a_full_disk_keeps_what_is_done(model, image, tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", image, "YX")
    write, count = ImageTarget.write, []

    def full(self, slices, values):
        count.append(1)
        if len(count) > 2:
            raise WriteError(f"{self.path}: cannot be written ({errno.errorcode[errno.ENOSPC]})")
        write(self, slices, values)

    monkeypatch.setattr(ImageTarget, "write", full)
    with pytest.raises(InputError, match=r"out/a\.tif: cannot be written"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    assert not (tmp_path / "out" / "a.tif").exists()
    monkeypatch.undo()
    again = stop_after(monkeypatch, -1)
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, n_tiles=(2, 2))
    assert len(again) == 2 and close(loaded(tmp_path / "out" / "a.tif"), model.predict(image, "YX"))


def test_bad_pixels_found_on_the_way_leave_nothing(model, image, tmp_path):
    image[100, 100] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image)
    none = NormalizationSection(kind="none")
    for section in (PERCENTILES, none):
        with pytest.raises(InputError, match=r"a\.tif: the image holds NaN or infinite values"):
            predict_files(model, tmp_path / "a.tif", tmp_path / "out", section, n_tiles=(2, 2), axes="YX")
        assert not contents(tmp_path / "out")


@pytest.mark.parametrize("tiling", ["exact", "whole"])
def test_tiles_are_halved_when_memory_runs_out(model, image, tmp_path, monkeypatch, caplog, tiling):
    write_image(tmp_path / "a.tif", image, "YX")
    once = Job.compute

    def short_of_memory(self, stage, group, inputs, contexts):
        if len(self.tiles(stage, group[0][0])) < 4:
            raise MemoryError
        return once(self, stage, group, inputs, contexts)

    monkeypatch.setattr(Job, "compute", short_of_memory)
    with caplog.at_level(logging.WARNING, "aeanet_tf"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, tiling=tiling)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["out of memory, going on with 2 x 1 tiles", "out of memory, going on with 2 x 2 tiles"]
    monkeypatch.undo()
    assert close(loaded(tmp_path / "out" / "a.tif"), model.predict(image, "YX"))
