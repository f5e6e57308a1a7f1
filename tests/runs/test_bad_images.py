"""One bad image among several is found before the first is restored, or left out and named."""

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError, SkippedError
from aeanet_tf.models import Ensemble
from aeanet_tf.runs.predict_files import predict_files
from tests.models import contents
from tests.runs.test_predict_files import PERCENTILES, image, make, model, save

__all__ = ["image", "model"]


def _two_channels(path, image):
    save(path, np.stack([image, image]), "CYX")


def _no_tiff(path, image):
    path.write_bytes(b"no image at all")


def _empty(path, image):
    path.write_bytes(b"")


def _not_finite(path, image):
    save(path, np.where(image > 150, np.nan, image), "YX")


def _damaged_inside(path, image):
    noise = np.random.default_rng(0).integers(0, 2**16, (200, 200), "uint16")
    tifffile.imwrite(path, noise, compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[-1]
    with open(path, "rb+") as file:
        file.seek(offset)
        file.write(b"\xff" * 200)


AT_ONCE = (_two_channels, _no_tiff, _empty)
WHILE_READING = (_not_finite, _damaged_inside)


@pytest.fixture
def folder(tmp_path, image):
    for number, name in enumerate(("a", "c", "d")):
        save(tmp_path / "in" / f"{name}.tif", image + number, "YX")
    return tmp_path / "in"


@pytest.mark.parametrize("spoil", AT_ONCE)
def test_nothing_is_restored_where_one_cannot_be(model, folder, image, spoil):
    spoil(folder / "b.tif", image)
    with pytest.raises(InputError, match=r"b\.tif: .*--skip-bad") as caught:
        predict_files(model, folder, folder.parent / "out", PERCENTILES)
    assert not (folder.parent / "out").exists() and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("spoil", [*AT_ONCE, *WHILE_READING])
def test_the_others_are_restored_and_the_bad_ones_named(model, folder, image, spoil, caplog):
    spoil(folder / "b.tif", image)
    output = folder.parent / "out"
    with caplog.at_level("INFO", "aeanet_tf"), pytest.raises(SkippedError, match=r"1 of 4 images .*: b\.tif") as caught:
        predict_files(model, folder, output, PERCENTILES, skip_bad=True)
    assert sorted(contents(output)) == ["a.tif", "c.tif", "d.tif"]
    assert [path.name for path in caught.value.written] == ["a.tif", "c.tif", "d.tif"]
    assert list(caught.value.reasons) == [folder / "b.tif"] and "b.tif" in caught.value.reasons[folder / "b.tif"]
    assert any(record.getMessage().startswith("left out: ") for record in caplog.records)
    alone = predict_files(model, folder / "d.tif", folder.parent / "alone", PERCENTILES)
    np.testing.assert_array_equal(tifffile.imread(alone[0]), tifffile.imread(output / "d.tif"))


def test_ensembles_and_groups_leave_out_what_does_not_fit(model, folder, image):
    _two_channels(folder / "b.tif", image)
    with pytest.raises(SkippedError):
        predict_files(Ensemble([model, make()]), folder, folder.parent / "e", [PERCENTILES] * 2, skip_bad=True)
    assert set(contents(folder.parent / "e")) == {f"{n}{end}.tif" for n in "acd" for end in ("", "_disagreement")}
    with pytest.raises(SkippedError):
        predict_files(model, folder, folder.parent / "g", PERCENTILES, skip_bad=True, context="group")
    (folder / "b.tif").unlink()
    predict_files(model, folder, folder.parent / "f", PERCENTILES, context="group")
    for name in ("a.tif", "c.tif", "d.tif"):
        np.testing.assert_array_equal(*(tifffile.imread(folder.parent / out / name) for out in "gf"))


def test_nothing_but_bad_images_is_an_error_of_its_own(model, folder, image):
    for name in "acd":
        _empty(folder / f"{name}.tif", image)
    with pytest.raises(InputError, match=r"a\.tif: .*; 2 more of the 3 images") as caught:
        predict_files(model, folder, folder.parent / "out", PERCENTILES, skip_bad=True)
    assert not isinstance(caught.value, SkippedError) and not (folder.parent / "out").exists()
    for name in "acd":
        _not_finite(folder / f"{name}.tif", image)
    with pytest.raises(InputError, match="3 of 3 images were left out") as caught:
        predict_files(model, folder, folder.parent / "out", PERCENTILES, skip_bad=True)
    assert not isinstance(caught.value, SkippedError)


def test_damage_inside_stops_a_run_that_skips_nothing(model, folder, image):
    _damaged_inside(folder / "b.tif", image)
    with pytest.raises(InputError, match=r"b\.tif: damaged"):
        predict_files(model, folder, folder.parent / "out", PERCENTILES)
    assert sorted(contents(folder.parent / "out")) == ["a.tif"]


@pytest.mark.parametrize("series", ["all", 1])
def test_a_bad_file_among_those_that_hold_several_images(model, folder, image, series):
    for path in folder.iterdir():
        path.unlink()
    for name in "ac":
        with tifffile.TiffWriter(folder / f"{name}.ome.tif", ome=True) as tif:
            for number in range(2):
                tif.write(image + number, metadata={"axes": "YX"})
    _no_tiff(folder / "b.ome.tif", image)
    output = folder.parent / "out"
    with pytest.raises(InputError, match=r"b\.ome\.tif: not a readable TIFF"):
        predict_files(model, folder, output, PERCENTILES, series=series)
    with pytest.raises(SkippedError, match=r"1 of .* images were left out: b.ome.tif"):
        predict_files(model, folder, output, PERCENTILES, series=series, skip_bad=True)
    numbers = (0, 1) if series == "all" else (1,)
    assert set(contents(output)) == {f"{name}_s{number}.tif" for name in "ac" for number in numbers}
