"""``aeanet project`` writes what lies on the sheet of each stack, with the pixel sizes of the file."""

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.evaluation.surface import along_surface, surface_height
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from tests.evaluation.test_surface import HEIGHT, VOLUME

PIXEL_SIZE = {"Z": 1.5, "Y": 0.25, "X": 0.25}


def test_stacks_lose_z_and_keep_their_pixel_size(tmp_path, capsys):
    write_image(tmp_path / "in" / "wing.tif", VOLUME, "ZYX", PIXEL_SIZE, "um")
    assert main(["project", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    found, height = (read_image(tmp_path / "out" / name) for name in ("wing.tif", "height/wing.tif"))
    np.testing.assert_array_equal(height.array, surface_height(VOLUME))
    np.testing.assert_array_equal(found.array, along_surface(VOLUME, height.array))
    assert np.abs(height.array - HEIGHT).mean() < 0.3
    for image in (found, height):
        assert image.axes == "YX" and image.unit == "um"
        assert image.pixel_size == pytest.approx({"Y": 0.25, "X": 0.25})
    assert "1 projections" in capsys.readouterr().out


def test_channels_share_a_surface_and_times_do_not(tmp_path):
    moved = np.roll(VOLUME, 2, axis=0)
    other = np.random.default_rng(0).random(VOLUME.shape).astype(np.float32)
    stack = np.stack([np.stack([other, VOLUME]), np.stack([other, moved])])
    write_image(tmp_path / "a.tif", stack, "TCZYX")
    options = ["--channel", "1", "--smoothness", "0.3", "--thickness", "0.8"]
    assert main(["project", "--input", str(tmp_path / "a.tif"), "--output", str(tmp_path / "out"), *options]) == 0
    found, height = (read_image(tmp_path / "out" / name) for name in ("a.tif", "height/a.tif"))
    assert found.axes == "TCYX" and height.axes == "TYX"
    for time, volume in enumerate((VOLUME, moved)):
        np.testing.assert_array_equal(height.array[time], surface_height(volume, 0.3))
        for channel, planes in enumerate((other, volume)):
            expected = along_surface(planes, height.array[time], 0.8)
            np.testing.assert_array_equal(found.array[time, channel], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "plane.tif", "--output", "out"], "plane.tif: found axes YX, expected a stack, with Z, Y and X"),
        (["--input", "a.tif", "--output", "out", "--channel", "1"], "channel: found 1, expected 0 to 0 of a.tif"),
        (["--input", "a.tif", "--output", "out", "--smoothness", "-1"], "smoothness: found -1.0, expected 0 or more"),
        (["--input", "a.tif", "--output", "out", "--thickness", "0"], "thickness: found 0.0, expected 0.1 planes"),
        (["--input", "a.tif", "--output", "."], "output: found a.tif, one of the inputs, expected another folder"),
        (["--input", "a.tif", "a.zarr", "--output", "out"], "a.zarr: no such file"),
        (["--input", "a.tif", "more/a.tif", "--output", "out"], "a.tif: found another file of that name, expected one"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "more/a.tif"):
        write_image(name, VOLUME[:3, :8, :8], "ZYX")
    write_image("plane.tif", VOLUME[0], "YX")
    assert main(["project", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()
