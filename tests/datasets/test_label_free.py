"""The label-free images are found by their CSV files and read channel by channel, from OME-TIFF and from CZI."""

import shutil
import sys

import numpy as np
import pytest
import tifffile

from aeanet_tf.datasets.label_free import STRUCTURES, label_free_images
from aeanet_tf.errors import InputError
from tests.datasets.published import write_label_free

SIZE = (6, 20, 24)


def written_small(folder, **kwargs):
    return write_label_free(folder, **{"structures": ("dna",), "train": 2, "test": 1, "size": SIZE, **kwargs})


def test_there_are_thirteen_structures():
    assert len(STRUCTURES) == 13 and all(STRUCTURES.values())


def test_tables_and_images_as_published(tmp_path):
    written = written_small(tmp_path / "somewhere", structures=("dna", "tom20"))
    for (structure, split), pairs in written.items():
        images = label_free_images(tmp_path / "somewhere", structure, split)
        assert [image.name for image in images] == [f"{split}_{i:02}" for i in range(len(pairs))]
        for image, expected in zip(images, pairs, strict=True):
            for found, wanted in zip(image.read(), expected, strict=True):
                assert found.dtype == np.float32 and found.shape == SIZE
                np.testing.assert_array_equal(found, wanted)
            for found, array, path in zip(image.read_images(), image.read(), (image.signal, image.target), strict=True):
                assert found.axes == "ZYX" and found.path == path[0]
                np.testing.assert_array_equal(found.array, array)


def test_czi_files(tmp_path):
    pytest.importorskip("pylibCZIrw")
    written = written_small(tmp_path, form="czi")
    images = label_free_images(tmp_path, "dna", "train")
    for image, expected in zip(images, written["dna", "train"], strict=True):
        for found, wanted in zip(image.read(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    table = tmp_path / "csvs" / "dna" / "train.csv"
    table.write_text(table.read_text().replace(",1,0", ",2,0"))
    with pytest.raises(InputError, match=r"train_00\.czi: no channel 2, it has 2"):
        label_free_images(tmp_path, "dna", "train")[0].read()
    images[1].signal[0].write_bytes(b"no CZI file at all" * 99)
    with pytest.raises(InputError, match=r"train_01\.czi: damaged or truncated") as caught:
        images[1].read()
    assert "\n" not in str(caught.value)


def test_czi_files_without_their_reader(tmp_path, monkeypatch):
    written_small(tmp_path)
    for path in tmp_path.rglob("*.ome.tif"):
        path.rename(path.with_name(path.name.replace(".ome.tif", ".czi")))
    table = tmp_path / "csvs" / "dna" / "test.csv"
    table.write_text(table.read_text().replace("path_tif", "path_czi").replace(".ome.tif", ".czi"))
    (image,) = label_free_images(tmp_path, "dna", "test")
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    with pytest.raises(InputError, match=r"test_00\.czi: CZI files need pylibCZIrw.*pip install \"aeanet-tf\[czi\]\""):
        image.read()


def test_other_places_of_tables_and_images(tmp_path):
    written = written_small(tmp_path)
    expected = written["dna", "train"][0][0]
    table = tmp_path / "csvs" / "dna" / "train.csv"
    for place in ("csvs/dna_train.csv", "dna/train.csv", "dna_train.csv"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        table = shutil.move(table, tmp_path / place)
        np.testing.assert_array_equal(label_free_images(tmp_path, "dna", "train")[0].read()[0], expected)
    text = table.read_text()
    for stated in ("dna/", "../dna/", f"{tmp_path}/dna/", "another/disk/of/theirs/dna/", ""):
        table.write_text(text.replace("data/dna/", stated))
        np.testing.assert_array_equal(label_free_images(tmp_path, "dna", "train")[0].read()[0], expected)


def test_two_files_of_one_channel(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 99, SIZE).astype(np.uint16) for _ in range(2)]
    for name, array in zip(("bright", "dyed"), arrays, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", array, metadata={"axes": "ZYX"})
    (tmp_path / "mine_train.csv").write_text("path_signal,path_target\nbright.ome.tif,dyed.ome.tif\n")
    (image,) = label_free_images(tmp_path, "mine", "train")
    assert image.name == "bright"
    for found, wanted in zip(image.read(), arrays, strict=True):
        np.testing.assert_array_equal(found, wanted)
    tifffile.imwrite(tmp_path / "dyed.ome.tif", arrays[1][1:], metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"dyed\.ome\.tif: found a target of shape \(5, 20, 24\), expected \(6, "):
        image.read()


def test_images_are_resized_cubically(tmp_path):
    z, y, x = np.mgrid[:6, :41, :31]
    # Straight slopes are the same at any size.
    arrays = np.stack([100 * z + 10 * y + x, 1000 - 100 * z - y]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", arrays, metadata={"axes": "CZYX"})
    (tmp_path / "s_test.csv").write_text("path_tif,channel_signal,channel_target\na.ome.tif,0,1\n")
    (image,) = label_free_images(tmp_path, "s", "test", resize=(1, 0.5, 0.34))
    signal, target = image.read()
    assert signal.shape == target.shape == (6, 20, 11) and signal.dtype == np.float32
    for axis, size in enumerate((6, 41, 31)):
        ends = signal.take(0, axis), signal.take(-1, axis)
        np.testing.assert_allclose((ends[1] - ends[0]).mean(), (100, 10, 1)[axis] * (size - 1), rtol=0.02)
    for wrong in ((1, 2), (1, 0, 1), (1, np.nan, 1)):
        with pytest.raises(InputError, match=r"resize: .*, expected three positive factors"):
            label_free_images(tmp_path, "s", "test", resize=wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"columns \(none\); expected path_czi or path_tif with channel_signal and channel_target"),
        ("path_tif,channel_signal\na,1\n", "columns path_tif, channel_signal; expected"),
        ("path_tif,channel_signal,channel_target\n", "lists no image"),
        ("path_tif,channel_signal,channel_target\n,1,0\n", "line 2: names no file"),
        ("path_tif,channel_signal,channel_target\nno.tif,1,0\n", r"line 2: no such file no\.tif; looked in"),
        ("path_tif,channel_signal,channel_target\nX,1\n", "line 2: channel_target is '', expected the number"),
        ("path_tif,channel_signal,channel_target\nX,-1,0\n", "line 2: channel_signal is '-1'"),
        ("path_tif,channel_signal,channel_target\nX,1,0.5\n", r"line 2: channel_target is '0\.5'"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
    written_small(tmp_path, train=1)
    (tmp_path / "csvs" / "dna" / "train.csv").write_text(text.replace("X", "data/dna/train_00.ome.tif"))
    with pytest.raises(InputError, match=r"train\.csv.*" + message) as caught:
        label_free_images(tmp_path, "dna", "train")
    assert "\n" not in str(caught.value)


def test_what_is_missing_or_of_another_kind(tmp_path):
    written_small(tmp_path, train=1)
    with pytest.raises(InputError, match=r"no table of zo1, train: looked for zo1/train\.csv, zo1_train\.csv"):
        label_free_images(tmp_path, "zo1", "train")
    table = tmp_path / "csvs" / "dna" / "train.csv"
    table.write_text(table.read_text().replace(",1,0", ",1,2"))
    with pytest.raises(InputError, match=r"train_00\.ome\.tif: no channel 2, it has 2"):
        label_free_images(tmp_path, "dna", "train")[0].read()
    (tmp_path / "dna_test.csv").write_text("path_signal,path_target\ndna/test_00.ome.tif,dna/test_00.ome.tif\n")
    (tmp_path / "csvs" / "dna" / "test.csv").unlink()
    with pytest.raises(InputError, match=r"test_00\.ome\.tif: found 2 channels, expected one"):
        label_free_images(tmp_path, "dna", "test")[0].read()
    tifffile.imwrite(tmp_path / "dna" / "test_00.ome.tif", np.ones((8, 9), np.uint8), metadata={"axes": "YX"})
    with pytest.raises(InputError, match=r"test_00\.ome\.tif: found axes YX, expected volumes"):
        label_free_images(tmp_path, "dna", "test")[0].read()
