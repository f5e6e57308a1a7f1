"""A repaired stack is the stack with its gaps filled: all else is as it was, and what cannot be done leaves no file."""

import os
import signal
from multiprocessing import get_context

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.io import imsave

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget, as_dtype
from aeanet_tf.runs.repair_stack import Repair, check_missing, leave_out, output_path
from aeanet_tf.sections.stack import open_stack
from aeanet_tf.sections.triplet_options import TripletOptions

SIZE = {"Z": 40.0, "Y": 4.0, "X": 4.0}
COUNT, SHAPE = 9, (21, 17)


def numbered(dtype="uint8", count=COUNT):
    return np.random.default_rng(0).integers(0, 120, (count, *SHAPE)).astype(dtype)


def middle(before, after):
    return (before.astype("float32") + after) / 2


def repair_stack(stack, missing, interpolate, output, upsample=1):
    return Repair(stack, missing, output, upsample).run(interpolate)


def write_zarr(path, values, axes="ZYX"):
    target = ImageTarget.create(path, values.shape, axes, SIZE | {"T": 2.0}, "nm", (4, 16, 16), dtype=values.dtype)
    target.write(tuple(slice(0, size) for size in values.shape), values)
    target.finish()


def make(folder, kind, values):
    """A stack in one of the forms that are read, and its path."""
    folder.mkdir(exist_ok=True)
    if kind == "folder":
        (folder / "slices").mkdir()
        for number, one in enumerate(values):
            imsave(folder / "slices" / f"s_{number}.png", one, check_contrast=False)
        return folder / "slices"
    path = folder / f"stack.{kind}"
    if kind == "tif":
        write_image(path, values, "ZYX", SIZE, "nm")
    elif kind == "zarr":
        write_zarr(path, values)
    else:
        with h5py.File(path, "w") as file:
            file["volumes/raw"] = values
            file["volumes/raw"].attrs["resolution"] = list(SIZE.values())
    return path


def files(folder):
    """Whatever is there, hidden or not, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CASES = [("tif", d) for d in ("uint8", "uint16", "float32")]
CASES += [("zarr", d) for d in ("uint8", "int16", "uint32", "float64")]
CASES += [("hdf", "uint8"), ("hdf", "uint16"), ("folder", "uint8"), ("folder", "uint16")]


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_all_but_the_missing_slices_is_kept(tmp_path, kind, dtype, caplog):
    values = numbered(dtype)
    source = make(tmp_path / "in", kind, values)
    stack = open_stack(source)
    with caplog.at_level("INFO", "aeanet_tf"):
        path = repair_stack(stack, [3, 6, 5], middle, tmp_path / "out")
    assert path == tmp_path / "out" / f"{source.stem}.{'zarr' if kind == 'zarr' else 'tif'}"
    assert [one.name for one in (tmp_path / "out").iterdir()] == [path.name]
    found = read_image(path)
    expected = values.copy()
    expected[3] = as_dtype(middle(values[2], values[4]), dtype)
    half = middle(values[4], values[7])
    expected[5] = as_dtype(middle(values[4], half), dtype)
    expected[6] = as_dtype(middle(half, values[7]), dtype)
    assert (found.array.dtype, found.axes) == (np.dtype(dtype), "ZYX")
    np.testing.assert_array_equal(found.array, expected)
    if kind != "folder":
        assert found.unit == "nm" and found.pixel_size == pytest.approx(SIZE)
    assert caplog.messages == [
        "slices 5-6: 2 missing in a row, interpolated by recursion at 0.25 and 0.75 of the gap; expect less than for a "
        "single one",
        f"{path}: 3 slices interpolated, 6 as in the input",
    ]


@pytest.mark.parametrize(("kind", "suffix"), [("tif", ".zarr"), ("zarr", ".tiff"), ("hdf", ".zarr")])
def test_the_name_of_the_output_chooses_the_format(tmp_path, kind, suffix):
    values = numbered()
    stack = open_stack(make(tmp_path, kind, values))
    path = repair_stack(stack, [1], middle, tmp_path / "new" / f"repaired{suffix}")
    found = read_image(path)
    assert path.suffix == suffix and found.array.dtype == np.uint8 and found.pixel_size == pytest.approx(SIZE)
    np.testing.assert_array_equal(np.delete(found.array, 1, 0), np.delete(values, 1, 0))
    if suffix == ".zarr":
        assert open_image(path).array.chunks[0] == 1


def test_slices_in_time(tmp_path):
    values = numbered()
    write_zarr(tmp_path / "a.zarr", values, "TYX")
    found = read_image(repair_stack(open_stack(tmp_path / "a.zarr"), [4], middle, tmp_path / "b.tif", upsample=2))
    assert found.axes == "TYX" and found.pixel_size == pytest.approx({"T": 1.0, "Y": 4.0, "X": 4.0})
    assert len(found.array) == 17


def test_what_is_stored_for_a_missing_slice_is_not_read(tmp_path):
    values = numbered("float32")
    values[[3, 5]] = np.nan
    write_image(tmp_path / "a.tif", values, "ZYX")
    found = read_image(repair_stack(open_stack(tmp_path / "a.tif"), [3, 5], middle, tmp_path / "b.tif")).array
    np.testing.assert_array_equal(found[3], middle(values[2], values[4]))


@pytest.mark.parametrize("kind", ["tif", "zarr", "hdf"])
def test_the_sampling_is_doubled(tmp_path, kind):
    values = numbered("uint16")
    stack = open_stack(make(tmp_path, kind, values))
    found = read_image(repair_stack(stack, [], middle, tmp_path / "out", upsample=2))
    assert found.array.shape == (2 * COUNT - 1, *SHAPE) and found.array.dtype == np.uint16
    assert found.pixel_size == pytest.approx(SIZE | {"Z": 20.0}) and found.unit == "nm"
    np.testing.assert_array_equal(found.array[::2], values)
    np.testing.assert_array_equal(found.array[1::2], as_dtype(middle(values[:-1], values[1:]), "uint16"))


def test_both_at_once_are_one_after_the_other(tmp_path):
    stack = open_stack(make(tmp_path, "tif", numbered()))
    both = repair_stack(stack, [2, 6, 7], middle, tmp_path / "both.tif", upsample=2)
    repaired = repair_stack(stack, [2, 6, 7], middle, tmp_path / "repaired.tif")
    doubled = repair_stack(open_stack(repaired), [], middle, tmp_path / "doubled.tif", upsample=2)
    np.testing.assert_array_equal(read_image(both).array, read_image(doubled).array)


def test_only_a_few_slices_are_read_ahead(tmp_path, monkeypatch):
    stack = open_stack(make(tmp_path, "tif", numbered()))
    reads, written, write = [], [], ImageTarget.write

    def reader(number, own=stack.reader):
        reads.append(number)
        assert number <= len(written) + 1
        return own(number)

    def noted(self, slices, values):
        written.append(slices[0].start)
        write(self, slices, values)

    monkeypatch.setattr(ImageTarget, "write", noted)
    object.__setattr__(stack, "reader", reader)
    repair_stack(stack, [4], middle, tmp_path / "b.tif")
    assert written == list(range(COUNT)) and set(reads) == set(range(COUNT)) - {4}


def test_interpolated_slices_are_rounded_and_clipped(tmp_path):
    stack = open_stack(make(tmp_path, "tif", numbered()))
    for value, expected in {-4.2: 0, 7.6: 8, 300: 255}.items():
        path = repair_stack(stack, [3], lambda a, b, value=value: np.full(SHAPE, value), tmp_path / "out.tif")
        assert (read_image(path).array[3] == expected).all()


def die(before, after):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_a_killed_run_leaves_nothing_under_the_name_and_begins_anew(tmp_path, suffix):
    values = numbered()
    source, output = make(tmp_path, "tif", values), tmp_path / "out" / f"a.{suffix}"
    # Forked, since Keras takes a new process seconds to import.
    run = get_context("fork").Process(target=repair_stack, args=(open_stack(source), [5], die, output))
    run.start()
    run.join()
    assert run.exitcode == -signal.SIGKILL and not output.exists() and os.listdir(tmp_path / "out")
    repair_stack(open_stack(source), [2], middle, output)
    assert os.listdir(tmp_path / "out") == [output.name]
    np.testing.assert_array_equal(np.delete(read_image(output).array, 2, 0), np.delete(values, 2, 0))


def test_missing_slices_are_sorted_and_counted_once():
    assert check_missing([13, 7, 12, 7], 15) == [7, 12, 13]
    assert check_missing([], 15) == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ([3, 30], r"^--missing: there is no slice 30, expected 0 to 29 \(30 slices\)$"),
        ([-1], "no slice -1, expected 0 to 29"),
        ([0, 4], "slice 0 is the first of the stack, expected slices with one before and one after"),
        ([4, 29], "slice 29 is the last of the stack"),
        (range(30), "all 30 slices"),
    ],
)
def test_slices_without_two_neighbours_are_refused(missing, message):
    with pytest.raises(InputError, match=message):
        check_missing(missing, 30)


def test_the_option_is_named():
    with pytest.raises(InputError, match=r"^--test: there is no slice 5, expected 0 to 4"):
        check_missing([5], 5, "--test")


def not_called(before, after):
    raise AssertionError("something was interpolated")


@pytest.mark.parametrize(
    ("kind", "dtype", "missing", "output", "message"),
    [
        ("tif", "uint8", [9], "out.tif", "--missing: there is no slice 9, expected 0 to 8"),
        ("tif", "uint8", [0], "out.tif", "slice 0 is the first of the stack"),
        ("tif", "uint8", [7, 8], "out.tif", "slice 8 is the last of the stack"),
        ("tif", "uint8", [], "out.tif", "--missing: no slice, expected at least one, or --upsample 2"),
        ("tif", "uint8", [3], "in/stack.tif", r"in/stack\.tif is the input, choose another name"),
        ("tif", "uint8", [3], "in", r"in/stack\.tif is the input"),
        ("zarr", "uint8", [3], "in/stack.zarr/a.tif", r"a\.tif would be part of the input .*stack\.zarr"),
        ("folder", "uint8", [3], "in/slices", r"slices\.tif would be part of the input .*slices, choose another"),
        ("tif", "uint8", [3], "out.png", r"--output: .*out\.png, expected a folder or a name ending in \.tif"),
        (
            "zarr",
            "int32",
            [3],
            "out.tif",
            r"out\.tif: the pixels of .* are int32, .*: --output .*out\.zarr$",
        ),
        (
            "hdf",
            "float64",
            [3],
            "out",
            r"stack\.tif: .*stack\.hdf are float64, .* --output .*stack\.zarr$",
        ),
        ("hdf", "bool", [3], "out", "are bool, .*uint8, uint16, int16 and float32"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is(tmp_path, kind, dtype, missing, output, message):
    stack = open_stack(make(tmp_path / "in", kind, numbered(dtype)))
    before = files(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        repair_stack(stack, missing, not_called, tmp_path / output)
    assert "\n" not in str(error.value) and files(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_a_pattern_of_slices_is_not_added_to(tmp_path):
    make(tmp_path, "folder", numbered())
    stack = open_stack(tmp_path / "slices" / "s_*.png")
    assert output_path(stack, tmp_path) == tmp_path / "slices.tif"
    stack = open_stack(make(tmp_path / "more", "folder", numbered()) / "*")
    assert output_path(stack, tmp_path / "more" / "slices" / "out").name == "slices.tif"
    with pytest.raises(InputError, match=r"slices\.tif would be part of the input"):
        output_path(stack, tmp_path / "more" / "slices")


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_an_error_on_the_way_leaves_nothing(tmp_path, name):
    stack = open_stack(make(tmp_path, "tif", numbered()))
    before = files(tmp_path)
    with pytest.raises(InputError, match=r"stack\.tif: an interpolated slice holds NaN"):
        repair_stack(stack, [3], lambda *_: np.full(SHAPE, np.nan), tmp_path / name)
    with pytest.raises(ValueError, match=r"interpolate: gave shape \(3, 3\)"):
        repair_stack(stack, [3], lambda *_: np.zeros((3, 3)), tmp_path / "out" / name)
    assert files(tmp_path) == before and [one.name for one in tmp_path.iterdir()] == ["stack.tif"]


def lazy(before, after):
    return before


# The slices as they are.
RAW = TripletOptions(max_shift=0, match_histograms=False)


def test_known_slices_are_scored_as_bytes(tmp_path):
    values = numbered()
    stack = open_stack(make(tmp_path, "tif", values))
    found = list(leave_out(stack, [5, 2], {"middle": middle, "lazy": lazy}, RAW))
    assert [one.number for one in found] == [2, 5]
    one = found[0]
    for name, number in {"before": 1, "truth": 2, "after": 3}.items():
        np.testing.assert_array_equal(getattr(one, name), values[number])
    np.testing.assert_array_equal(one.predictions["middle"], as_dtype(middle(values[1], values[3]), "uint8"))
    for name, scores in one.scores.items():
        error = np.sqrt(np.mean((one.predictions[name].astype(float) - values[2]) ** 2))
        assert scores["ie"] == pytest.approx(error) and list(scores) == ["psnr", "ssim", "ie"]
        assert scores["psnr"] == pytest.approx(20 * np.log10(255 / error))


def test_other_pixels_are_scored_on_the_range_of_the_true_slice(tmp_path):
    values = numbered()
    values[:, 0, 0], values[:, 0, 1] = 0, 255
    expected = list(leave_out(open_stack(make(tmp_path / "a", "tif", values)), [2, 5], {"m": lazy}, RAW))
    for kind, pixels in (("tif", 100 + 200 * values.astype("uint16")), ("zarr", values * -0.25 + 3)):
        stack = open_stack(make(tmp_path / pixels.dtype.name, kind, pixels))
        for one, wanted in zip(leave_out(stack, [2, 5], {"m": lazy}, RAW), expected, strict=True):
            if kind == "tif":
                assert one.scores["m"] == pytest.approx(wanted.scores["m"])
            assert one.scores["m"]["ie"] == pytest.approx(wanted.scores["m"]["ie"])
            assert one.predictions["m"].dtype == pixels.dtype


def test_slices_are_aligned_and_matched_before_any_method_sees_them(tmp_path):
    """A method that is given the slice itself, moved and darker, gets all of it right."""
    scene = gaussian_filter(np.random.default_rng(0).normal(size=(80, 90)), 2)
    scene = 128 + 40 * scene / scene.std()
    images = [scene[10 - y : 70 - y, 10 - x : 80 - x] for y, x in ((0, 0), (2, -3), (-4, 1))]
    values = np.round(np.stack([images[0] * 0.7, images[1], images[2] * 0.7]).clip(0, 255)).astype("uint8")
    stack = open_stack(make(tmp_path, "tif", values))
    (one,) = leave_out(stack, [1], {"lazy": lazy}, TripletOptions(max_shift=8))
    assert one.before.shape == one.truth.shape == (54, 66)
    assert one.scores["lazy"]["ie"] < 1.5
    (raw,) = leave_out(stack, [1], {"lazy": lazy}, RAW)
    assert raw.truth.shape == (60, 70) and raw.scores["lazy"]["ie"] > 30


def test_slices_that_cannot_be_tested(tmp_path):
    values = numbered("uint16")
    values[4] = 7
    stack = open_stack(make(tmp_path, "tif", values))
    with pytest.raises(InputError, match="--test: slice 0 is the first"):
        leave_out(stack, [0, 3], {"m": lazy})
    tested = leave_out(stack, [3, 4], {"m": lazy}, RAW)
    assert next(tested).number == 3
    with pytest.raises(InputError, match=r"stack\.tif, slice 4: is constant \(7\), expected contrast"):
        next(tested)
