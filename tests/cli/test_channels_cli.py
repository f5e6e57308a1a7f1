"""Channels that are chosen, models of their own for them, joint normalisation, and other types of pixels."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from csbdeep.data import NoNormalizer

from aeanet_tf.cli.main import main
from aeanet_tf.io.channel_names import channel_names
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.write import ImageTarget, as_dtype
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.runs import file_runs
from tests.models import NETWORK, contents

PLANES = np.random.default_rng(0).uniform(100, 200, (3, 20, 18)).astype(np.float32)
NAMES = ["DAPI", "GFP", "mCherry"]
PLANES *= np.float32([1, 3, 7])[:, None, None]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("models"), {}
    for name, seed in (("dapi", 0), ("gfp", 1)):
        made[name] = AEANet(AEANetConfig("YX", network=NETWORK, train_seed=seed), name, str(folder))
        made[name].keras_model.save_weights(str(folder / name / "weights_best.h5"))
    return folder, made


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"axes": "CYX", "Channel": {"Name": NAMES}}
    tifffile.imwrite("a.ome.tif", PLANES, metadata=names, ome=True)
    return tmp_path


def predict(*arguments, input="a.ome.tif", output="out"):
    return main(["predict", "--input", input, "--output", output, *map(str, arguments)])


def joint(model, lapse, low=2, high=99.8):
    """By NumPy: all frames by the percentiles of all pixels, and back."""
    least, most = np.percentile(lapse.astype(np.float64), (low, high))
    frames = [model.predict((f - least) / (most - least), "YX", NoNormalizer()) for f in lapse.astype(np.float64)]
    return np.stack(frames) * (most - least) + least


@pytest.mark.parametrize(("chosen", "number"), [("1", 1), ("GFP", 1), ("mcherry", 2)])
def test_one_channel_is_restored_alone(models, workplace, chosen, number):
    folder, made = models
    assert predict("--model", folder / "dapi", "--channel", chosen) == 0
    found = read_image("out/a.tif")
    assert found.axes == "YX" and channel_names("out/a.tif", 1) == [NAMES[number]]
    np.testing.assert_allclose(found.array, made["dapi"].predict(PLANES[number], "YX"), rtol=1e-4)


@pytest.mark.parametrize(("chosen", "numbers"), [(["all"], [0, 1, 2]), (["2", "DAPI"], [2, 0])])
def test_channels_are_restored_each_by_itself_in_their_order(models, workplace, chosen, numbers):
    folder, made = models
    expected = np.stack([made["dapi"].predict(PLANES[i], "YX") for i in numbers])
    arguments = ["--model", folder / "dapi", "--channel", *chosen]
    assert predict(*arguments) == 0 and predict(*arguments, "--format", "zarr", "--n-tiles", 1, 2, 1) == 0
    for name in ("out/a.tif", "out/a.zarr"):
        found = read_image(name)
        assert found.axes == "CYX" and channel_names(name, len(numbers)) == [NAMES[i] for i in numbers]
        np.testing.assert_allclose(found.array, expected, rtol=1e-4)
    # Tiles are written by several processes: no two may share a chunk.
    assert open_image("out/a.zarr").array.chunks[0] == 1


def test_orientations_of_channels_that_are_restored_each_by_itself(models, workplace):
    folder, made = models
    expected = np.stack([made["dapi"].predict(plane, "YX", ensemble="flips") for plane in PLANES[:2]])
    assert predict("--model", folder / "dapi", "--channel", "0", "1", "--ensemble", "flips") == 0
    np.testing.assert_allclose(read_image("out/a.tif").array, expected, rtol=1e-4)


def test_each_channel_by_a_model_of_its_own(models, workplace, monkeypatch, caplog):
    """Also when the run is stopped between the channels, with a lapse, and its digest is none of an ensemble's."""
    folder, made = models
    lapse = np.stack([PLANES, PLANES[:, ::-1]])
    write_image("lapse.tif", lapse, "TCYX")
    arguments = ["--channel", f"GFP={folder / 'gfp'}", f"0={folder / 'dapi'}"]
    assert predict(*arguments) == 0
    expected = np.stack([made["gfp"].predict(PLANES[1], "YX"), made["dapi"].predict(PLANES[0], "YX")])
    np.testing.assert_allclose(read_image("out/a.tif").array, expected, rtol=1e-4)

    own, calls = file_runs.run_job, []

    def stopped(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return own(*given)

    arguments[1] = f"1={folder / 'gfp'}"
    monkeypatch.setattr(file_runs, "run_job", stopped)
    assert predict(*arguments, "--n-tiles", 1, 1, 2, 1, input="lapse.tif") == 130
    assert predict(*arguments, "--n-tiles", 1, 1, 2, 1, input="lapse.tif") == 0
    assert len(calls) == 5 and any("1 of 2 members are finished" in line for line in caplog.messages)
    found = read_image("out/lapse.tif")
    expected = [[made[m].predict(frame[c], "YX") for m, c in (("gfp", 1), ("dapi", 0))] for frame in lapse]
    assert found.axes == "TCYX"
    np.testing.assert_allclose(found.array, np.array(expected), rtol=1e-4)
    assert sorted(contents(Path("out"))) == ["a.tif", "lapse.tif"]


@pytest.mark.parametrize(("over", "axes"), [("T", "TYX"), ("C", "CYX"), ("Z", "ZYX")])
def test_frames_that_are_normalised_together(models, workplace, over, axes):
    folder, made = models
    write_image("in.tif", PLANES, axes)
    arguments = ["--model", folder / "dapi", *(["--channel", "all"] if over == "C" else [])]
    assert predict(*arguments, "--normalize-over", over, input="in.tif") == 0
    np.testing.assert_allclose(read_image("out/in.tif").array, joint(made["dapi"], PLANES), rtol=1e-4)
    assert predict(*arguments, input="in.tif", output="apart") == 0
    apart = np.stack([made["dapi"].predict(plane, "YX") for plane in PLANES])
    np.testing.assert_allclose(read_image("apart/in.tif").array, apart, rtol=1e-4)
    assert not np.allclose(apart, joint(made["dapi"], PLANES), rtol=1e-2)


def test_lapses_are_normalised_over_time_channel_by_channel(models, workplace):
    folder, made = models
    lapse = np.stack([PLANES, 2 * PLANES], 1)
    write_image("in.tif", lapse, "CTYX")
    chosen = ["--channel", "0", "2", "--normalize-over", "T"]
    assert predict("--model", folder / "dapi", *chosen, input="in.tif") == 0
    expected = np.stack([joint(made["dapi"], lapse[c]) for c in (0, 2)], 1)
    np.testing.assert_allclose(read_image("out/in.tif").array, expected, rtol=1e-4)


def test_other_types_of_pixels_are_rounded_and_clipped_and_it_is_said(models, workplace, caplog):
    folder, made = models
    write_image("in.tif", PLANES[1] - 350, "YX")
    assert predict("--model", folder / "dapi", "--dtype", "uint8", "--n-tiles", 2, 1, input="in.tif") == 0
    restored = made["dapi"].predict(PLANES[1] - 350, "YX", n_tiles=(2, 1))
    rounded, found = np.rint(restored), tifffile.imread("out/in.tif")
    assert found.dtype == np.uint8
    difference = np.abs(found - np.clip(rounded, 0, 255))
    assert (difference <= 1).all() and (difference > 0).mean() < 0.02
    below, above = int((found == 0).sum()), int((found == 255).sum())
    said = next(line for line in caplog.messages if "rounded to uint8" in line)
    low, high = (rounded < 0).sum(), (rounded > 255).sum()
    assert 0 < low <= below and f"{low + high} of 360 pixels were clipped: {low} below 0, {high} above 255" in said
    assert above >= high
    assert list(contents(Path("out"))) == ["in.tif"]


def test_clipped_pixels_count_once_over_runs_and_processes(tmp_path):
    """A region that is written again, by a target that was reopened, counts as it was written last."""
    path, shape = tmp_path / "a.tif", (4, 4)
    target = ImageTarget.create(path, shape, "YX", dtype="uint8")
    values = np.array([[-3, -0.4, 255.4, 300], [1, 2, 3, 255.6]], np.float32)
    target.write((slice(0, 2), slice(0, 4)), values)
    again = ImageTarget.reopen(path, shape, "YX", dtype="uint8")
    again.write((slice(0, 2), slice(0, 4)), values)
    again.write((slice(2, 4), slice(0, 4)), -values)
    again.finish()
    assert again.clipped == (1 + 6, 2 + 0)
    np.testing.assert_array_equal(tifffile.imread(path)[:2], [[0, 0, 255, 255], [1, 2, 3, 255]])
    np.testing.assert_array_equal(tifffile.imread(path)[2:], as_dtype(-values, "uint8"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found 3 channels, expected 1, which the model takes; --channel N chooses one of 0 (DAPI), 1 (GFP), 2 (m"),
        (["--channel", "GPF"], "found no channel 'GPF', expected 0 (DAPI), 1 (GFP), 2 (mCherry), did you mean GFP?"),
        (["--channel", "3"], "found no channel '3', expected 0 (DAPI)"),
        (["--channel", "1", "GFP"], "a.ome.tif: found --channel 1 GFP, expected each channel once"),
        (["--channel", "all", "1"], "--channel: found all 1, expected numbers"),
        (["--channel", "1", "--input", "plain.tif"], "plain.tif: axes YX, expected C, of which --channel 1 chooses"),
        (["--channel", "1", "--channels", "T1"], "expected one of both"),
        (["--channel", "1=models/gfp"], "--model: found given with models for the channels, expected one of both"),
        (["--normalize-over", "Y"], "--normalize-over: found Y, expected letters of T, Z and C"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(models, workplace, capfd, arguments, message):
    folder, _ = models
    write_image("plain.tif", PLANES[0], "YX")
    assert predict("--model", folder / "dapi", *arguments) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("aeanet: error: ") and message in last
    assert not Path("out").exists()


def test_other_choices_are_refused_by_the_parser(workplace, capfd):
    with pytest.raises(SystemExit):
        predict("--model", "m", "--dtype", "int8")
    assert "invalid choice: 'int8'" in capfd.readouterr().err
    assert predict() == 2
    assert "--model: found none, expected a model folder, or --channel with one" in capfd.readouterr().err
