"""OME-Zarr folders are understood as their writers meant them; those that name no axes are refused."""

import json
import pickle

import numpy as np
import pytest
import zarr

from aeanet_tf.errors import InputError
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.ome_zarr import is_zarr, open_zarr, zarr_documents, zarr_series
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.series import find_series, series_of
from aeanet_tf.io.write import ImageTarget

ZARR3 = int(zarr.__version__.split(".")[0]) >= 3
FORMATS = [2, 3] if ZARR3 else [2]
STACK = np.random.default_rng(0).integers(0, 60000, (2, 3, 20, 70, 90), dtype=np.uint16)


def zarr_array(folder, values, chunks=None, zarr_format=2, **options):
    if ZARR3:
        options["zarr_format"] = zarr_format
    array = zarr.open_array(str(folder), mode="w", shape=values.shape, chunks=chunks, dtype=values.dtype, **options)
    array[...] = values


def attributes(folder, values, zarr_format=2):
    """Give a group its attributes; written by hand, since the two versions of zarr share no way to do it."""
    folder.mkdir(parents=True, exist_ok=True)
    if zarr_format == 2:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(values))
    else:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **values}}}
        (folder / "zarr.json").write_text(json.dumps(group))


def axis(name, kind="space", unit=None):
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


def multiscales(axes, scale, **more):
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [factor * s for s in scale]}]}
        for path, factor in (("full", 1), ("half", 2))
    ]
    return {"multiscales": [{"axes": axes, "datasets": datasets, **more}]}


def image_zarr(folder, values, axes, scale, zarr_format=2, **more):
    attributes(folder, multiscales(axes, scale, **more), zarr_format)
    zarr_array(folder / "full", values, (1,) * (values.ndim - 3) + (8, 32, 64)[-values.ndim :], zarr_format)
    zarr_array(folder / "half", values[..., ::2, ::2], None, zarr_format)
    return folder


TCZYX = [
    axis("t", "time", "second"),
    axis("c", "channel"),
    axis("z", unit="micrometer"),
    axis("y", unit="nanometer"),
    axis("x", unit="nanometer"),
]


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_the_highest_resolution_is_read_in_parts_with_its_calibration(tmp_path, zarr_format):
    path = image_zarr(tmp_path / "a.ome.zarr", STACK, TCZYX, [30, 1, 2, 100, 110], zarr_format)
    image = open_image(path)
    assert (image.axes, image.unit, image.path) == ("TCZYX", "nm", path)
    assert image.pixel_size == pytest.approx({"T": 30, "Z": 2000, "Y": 100, "X": 110})
    array = pickle.loads(pickle.dumps(image.array))
    assert (array.shape, array.dtype, array.chunks) == (STACK.shape, np.uint16, (1, 1, 8, 32, 64))
    for part in (np.s_[0:2, 0:3, 0:20, 0:70, 0:90], np.s_[1:2, 0:2, 3:17, 31:70, 60:65]):
        np.testing.assert_array_equal(array[part], STACK[part])
    whole = read_image(path)
    np.testing.assert_array_equal(whole.array, STACK)
    assert (whole.axes, whole.pixel_size, whole.unit) == (image.axes, image.pixel_size, image.unit)


def test_a_read_needs_only_the_chunks_it_touches(tmp_path):
    path = image_zarr(tmp_path / "a.zarr", STACK[0, 0], [axis(name) for name in "zyx"], [1, 1, 1])
    for chunk in (path / "full").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith(".") and chunk.name != "0.1.1":
            chunk.write_bytes(b"damaged")
    array = open_image(path).array
    np.testing.assert_array_equal(array[2:8, 40:60, 64:90], STACK[0, 0, 2:8, 40:60, 64:90])
    with pytest.raises(InputError, match=r"a\.zarr: damaged, pixels \[2:8, 40:60, 63:90\] cannot be read \(.+\)$"):
        array[2:8, 40:60, 63:90]


def test_scales_multiply_and_lengths_need_units(tmp_path):
    axes = [axis("z"), axis("y", unit="micrometer"), axis("x", unit="micrometer")]
    more = {"coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.25]}]}
    image = open_image(image_zarr(tmp_path / "a.zarr", STACK[0, 0], axes, [2, 2, 2], **more))
    assert image.pixel_size == {"Y": 1.0, "X": 0.5} and image.unit == "um"
    image = open_image(image_zarr(tmp_path / "b.zarr", STACK[0, 0], ["z", "y", "x"], [2, 2, 2]))
    assert (image.axes, image.pixel_size, image.unit) == ("ZYX", {}, None)
    odd = [axis("t", "time", "minute"), axis("y", unit="furlong"), axis("x", unit="micrometer")]
    image = open_image(image_zarr(tmp_path / "c.zarr", STACK[0, 0], odd, [2, 2, 2]))
    assert (image.pixel_size, image.unit) == ({"T": 120.0, "X": 2.0}, "um")


def test_axes_follow_the_rules_of_other_images(tmp_path):
    path = image_zarr(tmp_path / "a.zarr", STACK[:1, :1], TCZYX, [1] * 5)
    assert open_image(path).axes == "ZYX" and open_image(path).array.shape == (20, 70, 90)
    assert open_image(path, "CZYX"[1:]).axes == "ZYX"
    np.testing.assert_array_equal(open_image(path).array[3:5, 0:9, 80:90], STACK[0, 0, 3:5, :9, 80:])
    with pytest.raises(InputError, match=r"shape \(20, 70, 90\) does not fit axes YX"):
        open_image(path, "YX")
    full = image_zarr(tmp_path / "b.zarr", STACK, TCZYX, [1] * 5)
    with pytest.raises(InputError, match="stores its axes as TCZYX, got axes TZCYX"):
        open_image(full, "TZCYX")
    unnamed = image_zarr(tmp_path / "c.zarr", STACK[0, 0], [axis("angle"), axis("y"), axis("x")], [1] * 3)
    with pytest.raises(InputError, match="does not name its axes"):
        open_image(unnamed)
    assert open_image(unnamed, "ZYX").axes == "ZYX"


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_without_metadata_the_axes_are_given(tmp_path, zarr_format):
    zarr_array(tmp_path / "plain.zarr", STACK[0, 0], zarr_format=zarr_format)
    attributes(tmp_path / "group.zarr", {}, zarr_format)
    zarr_array(tmp_path / "group.zarr" / "0", STACK[0, 0], zarr_format=zarr_format)
    attributes(tmp_path / "old.zarr", {"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]}, zarr_format)
    zarr_array(tmp_path / "old.zarr" / "0", STACK[0, 0], zarr_format=zarr_format)
    for name in ("plain.zarr", "group.zarr", "old.zarr"):
        image = open_image(tmp_path / name, "zyx")
        assert image.axes == "ZYX" and image.array.shape == (20, 70, 90)
        with pytest.raises(InputError, match=rf"{name}: the zarr names no axes \(.*\); give them, as --axes ZYX"):
            open_image(tmp_path / name)
    message = r"plain\.zarr: the zarr names no axes \(no OME-Zarr multiscales\); give them, as --axes ZYX"
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "plain.zarr")
    zarr_array(tmp_path / "group.zarr" / "1", STACK[0, 0], zarr_format=zarr_format)
    with pytest.raises(InputError, match=r"group\.zarr: .* holds 0, 1, expected one array, '0'"):
        open_image(tmp_path / "group.zarr", "ZYX")


def test_what_is_no_single_image_is_refused(tmp_path):
    good = multiscales([axis("z"), axis("y"), axis("x")], [1, 1, 1])["multiscales"][0]
    cases = {
        "plate": ({"plate": {"rows": []}}, r"a plate or a well \(HCS\), expected one image, as .*plate\.zarr/A/1/0"),
        "series": ({"bioformats2raw.layout": 3}, "a series of no images, expected groups of images, 0, 1"),
        "empty": ({"multiscales": []}, r"multiscales are damaged, expected a list of tables, got \[\]"),
        "text": ({"multiscales": [good | {"datasets": "no"}]}, r"multiscales are damaged \(TypeError"),
        "scale": (multiscales(good["axes"], [1, 1]), r"multiscales are damaged \(ValueError"),
        "axes": ({"multiscales": [good | {"axes": [axis("y"), axis("x")]}]}, r"shape \(20, 70, 90\).*axes \(y, x\)"),
        "missing": ({"multiscales": [good | {"datasets": [{"path": "none"}]}]}, "the zarr array 'none' cannot be op"),
    }
    for name, (metadata, message) in cases.items():
        attributes(tmp_path / f"{name}.zarr", metadata)
        zarr_array(tmp_path / f"{name}.zarr" / "full", STACK[0, 0])
        with pytest.raises(InputError, match=rf"{name}\.zarr: .*{message}") as error:
            open_image(tmp_path / f"{name}.zarr")
        assert "\n" not in str(error.value)
    (tmp_path / "text.zarr" / ".zattrs").write_text("{")
    with pytest.raises(InputError, match=r"text\.zarr.*\.zattrs: not valid JSON, line 1"):
        open_image(tmp_path / "text.zarr")
    (tmp_path / "none.zarr").mkdir()
    with pytest.raises(InputError, match=r"none\.zarr: no zarr in the folder"):
        open_image(tmp_path / "none.zarr")
    zarr_array(tmp_path / "complex.zarr", np.zeros((4, 4), np.complex64))
    with pytest.raises(InputError, match=r"complex\.zarr: found pixels of type complex64"):
        open_image(tmp_path / "complex.zarr", "YX")
    (tmp_path / "complex.zarr" / ".zarray").write_text("{}")
    with pytest.raises(InputError, match=r"complex\.zarr: the zarr array 'complex\.zarr' cannot be opened"):
        open_image(tmp_path / "complex.zarr", "YX")


@pytest.mark.parametrize("layout", ["plain", "sharded", "big-endian, transposed"])
def test_format_3_is_read_with_either_version_of_zarr(tmp_path, layout):
    # Written byte by byte from the specification of zarr 3: one chunk of 4 x 6, or two of 2 x 6 in a shard.
    values = np.arange(24, dtype=np.uint16).reshape(4, 6)
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs, chunk = [little], values.astype("<u2").tobytes()
    if layout == "sharded":
        inner = {"chunk_shape": [2, 6], "codecs": [little], "index_codecs": [little], "index_location": "start"}
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
        chunk = np.array([32 + 24, 24, 32, 24], "<u8").tobytes() + chunk[24:] + chunk[:24]
    elif layout != "plain":
        big = {"name": "bytes", "configuration": {"endian": "big"}}
        codecs = [{"name": "transpose", "configuration": {"order": [1, 0]}}, big]
        chunk = values.T.astype(">u2").tobytes()
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 5],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 6]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": codecs,
    }
    attributes(tmp_path / "a.zarr", multiscales(["y", "x"], [1, 1]), 3)
    (tmp_path / "a.zarr" / "full" / "c" / "0").mkdir(parents=True)
    (tmp_path / "a.zarr" / "full" / "zarr.json").write_text(json.dumps(array))
    (tmp_path / "a.zarr" / "full" / "c" / "0" / "0").write_bytes(chunk)
    image = open_image(tmp_path / "a.zarr")
    assert image.array.dtype == np.uint16 and image.axes == "YX"
    np.testing.assert_array_equal(image.array[0:4, 0:5], values[:, :5])
    np.testing.assert_array_equal(image.array[1:3, 2:5], values[1:3, 2:5])


@pytest.mark.parametrize("layout", ["bioformats2raw", "bioformats2raw with a list", "two multiscales"])
def test_of_several_images_one_is_chosen(tmp_path, layout):
    path, planes = tmp_path / "a.zarr", [STACK[0, 0], STACK[1, 1, :5]]
    axes = [axis(name) for name in "zyx"]
    if layout == "two multiscales":
        entries = [multiscales(axes, [1, 1, 1], name=name)["multiscales"][0] for name in ("first", "second")]
        for number, entry in enumerate(entries):
            entry["datasets"] = [{"path": str(number)}]
            zarr_array(path / str(number), planes[number])
        attributes(path, {"multiscales": entries})
        names = ["first", "second"]
    else:
        attributes(path, {"bioformats2raw.layout": 3})
        for number, values in enumerate(planes):
            image_zarr(path / str(number), values, axes, [1, 1, 1])
        names = ["0", "1"]
        if layout != "bioformats2raw":
            attributes(path / "OME", {"series": ["1", "0"]})
            planes, names = planes[::-1], names[::-1]
    listed = [(0, names[0], planes[0].shape, "ZYX"), (1, names[1], planes[1].shape, "ZYX")]
    assert zarr_series(path) == series_of(path) == listed
    with pytest.raises(
        InputError, match=rf"a\.zarr: holds 2 images \(0 .*{names[0]}.*; 1 .*{names[1]}.*choose with --series N"
    ):
        read_image(path)
    for number, values in enumerate(planes):
        np.testing.assert_array_equal(read_image(path, series=number).array, values)
    assert [image.series for image in find_series(path, "all")] == [0, 1]
    with pytest.raises(InputError, match=r"a\.zarr: found no series 2, the file holds 2 images, 0 to 1"):
        open_image(path, series=2)


def test_the_only_image_of_a_series_needs_no_choice(tmp_path):
    attributes(tmp_path / "a.zarr", {"bioformats2raw.layout": 3})
    image_zarr(tmp_path / "a.zarr" / "0", STACK[0, 0], [axis(name) for name in "zyx"], [1, 1, 1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr").array, STACK[0, 0])


def test_the_highest_resolution_is_read_in_whichever_order_they_stand(tmp_path, caplog):
    path = image_zarr(tmp_path / "a.zarr", STACK[0, 0], [axis(name, unit="micrometer") for name in "zyx"], [1, 2, 2])
    metadata = json.loads((path / ".zattrs").read_text())
    metadata["multiscales"][0]["datasets"].reverse()
    (path / ".zattrs").write_text(json.dumps(metadata))
    image = read_image(path)
    np.testing.assert_array_equal(image.array, STACK[0, 0])
    assert image.pixel_size == {"Z": 1, "Y": 2, "X": 2}
    assert "a.zarr: the resolution full is read, which is higher than the first" in caplog.text


@pytest.mark.parametrize("separator", [".", "/"])
def test_chunks_that_are_not_stored_are_counted(tmp_path, separator, caplog):
    path = tmp_path / "a.zarr"
    zarr_array(path, np.full((20, 30), 7, np.uint8), (5, 10), **({"dimension_separator": separator}))
    stored = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
    assert len(stored) == 12
    for name in ("0.1", "3.2") if separator == "." else ("0/1", "3/2"):
        (path / name).unlink()
    expected = np.full((20, 30), 7, np.uint8)
    expected[:5, 10:20] = expected[15:, 20:] = 0
    for _ in range(2):
        np.testing.assert_array_equal(read_image(path, "YX").array, expected)
    assert [record.getMessage() for record in caplog.records if "stored" in record.getMessage()] == [
        f"{path}: 2 of 12 chunks are not stored; they are read as 0, the fill value"
    ]


def test_values_that_are_not_finite_are_refused_where_all_are_read(tmp_path):
    zarr_array(tmp_path / "a.zarr", np.array([[0, np.inf]], np.float32))
    assert open_image(tmp_path / "a.zarr", "YX").array[0:1, 1:2] == np.inf
    with pytest.raises(InputError, match=r"a\.zarr.*NaN or infinite"):
        read_image(tmp_path / "a.zarr", "YX")


def test_a_zarr_folder_is_one_image(tmp_path):
    zarr_array(tmp_path / "b.ome.zarr", STACK[0, 0])
    attributes(tmp_path / "a.zarr", {})
    (tmp_path / "c.tif").touch()
    zarr_array(tmp_path / ".partial-d.zarr", STACK[0, 0])
    zarr_array(tmp_path / "unnamed", STACK[0, 0])
    assert [path.name for path in find_images(tmp_path)] == ["a.zarr", "b.ome.zarr", "c.tif"]
    assert [path.name for path in find_images(str(tmp_path / "*"))] == ["a.zarr", "b.ome.zarr", "c.tif"]
    assert find_images(tmp_path / "b.ome.zarr") == find_images(str(tmp_path / "*.ome.zarr"))
    assert find_images(tmp_path / "unnamed") == [tmp_path / "unnamed"]
    assert image_stem("x/a.ome.zarr") == "a" and image_stem("a.zarr") == "a"
    assert is_zarr(tmp_path / "a.zarr") and not is_zarr(tmp_path) and not is_zarr(tmp_path / "c.tif")


def test_the_metadata_that_is_written_is_version_0_4():
    size = {"T": 5.0, "Z": 2.0, "X": 0.1}
    documents = zarr_documents("a", (3, 2, 8, 9), "TZYX", (1, 2, 4, 4), np.dtype("float32"), size, "um")
    image = documents[".zattrs"]["multiscales"][0]
    assert image["version"] == "0.4"
    assert image["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    transformation = {"type": "scale", "scale": [5.0, 2.0, 1.0, 0.1]}
    assert image["datasets"] == [{"path": "0", "coordinateTransformations": [transformation]}]


def test_the_reference_reader_agrees_with_what_is_written(tmp_path):
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    target = ImageTarget.create(
        tmp_path / "a.zarr", (20, 70, 90, 2), "ZYXC", {"Z": 2, "Y": 0.2, "X": 0.1}, "um", (8, 32, 32, 1)
    )
    values = STACK[0, :2].transpose(1, 2, 3, 0).astype(np.float32)
    target.write(np.s_[0:20, 0:70, 0:90, 0:2], values)
    target.finish()
    (node,) = reader.Reader(parse_url(str(tmp_path / "a.zarr")))()
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "z", "y", "x"]
    np.testing.assert_array_equal(np.asarray(node.data[0]), STACK[0, :2])
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [1.0, 2.0, 0.2, 0.1]
    image = open_zarr(tmp_path / "a.zarr")
    assert (image.axes, image.pixel_size, image.unit) == ("CZYX", {"Z": 2.0, "Y": 0.2, "X": 0.1}, "um")
