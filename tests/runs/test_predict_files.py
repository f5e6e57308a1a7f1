"""Predictions of files are those of ``model.predict``, with the names, axes and pixel sizes of the inputs."""

import numpy as np
import pytest
import tifffile
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANet, ProjectionAEANetConfig
from aeanet_tf.models.normalizers import RangeNormalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.predict_files import predict_files
from tests.io.maker_files import write_czi, write_lif, write_nd2
from tests.models import NETWORK, contents

VOXEL = {"Z": 0.5, "Y": 0.125, "X": 0.125}
PERCENTILES = NormalizationSection()


def make(axes="YX", network=NETWORK, **kwargs):
    return AEANet(AEANetConfig(axes, network=network, train_seed=0, **kwargs), basedir=None)


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(100, 200, (20, 18)).astype(np.float32)


def save(path, array, axes):
    write_image(path, array, axes, {a: s for a, s in VOXEL.items() if a in axes}, "um")


def test_names_pixel_size_and_values(model, tmp_path, image):
    for factor, name in enumerate(("b.tif", "a.ome.tif", "c.tiff"), start=1):
        save(tmp_path / "in" / name, image * factor, "YX")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    written = predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    assert sorted(contents(tmp_path / "out")) == ["a.tif", "b.tif", "c.tif"]
    assert sorted(path.name for path in written) == ["a.tif", "b.tif", "c.tif"]
    for factor, name in enumerate(("b", "a", "c"), start=1):
        found = read_image(tmp_path / "out" / f"{name}.tif")
        assert (found.axes, found.unit, found.array.dtype) == ("YX", "um", np.float32)
        assert found.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
        expected = model.predict(image * factor, "YX", PercentileNormalizer(2, 99.8))
        np.testing.assert_allclose(found.array, expected, rtol=1e-5)


def test_what_a_2d_model_makes_of_nifti_is_a_tif(model, tmp_path, image):
    nibabel = pytest.importorskip("nibabel")
    stack = np.stack([image, image[::-1], 2 * image])
    nibabel.Nifti1Image(stack.T, np.diag([0.5, 0.5, 3, 1])).to_filename(tmp_path / "s.nii.gz")
    (written,) = predict_files(model, tmp_path / "s.nii.gz", tmp_path / "out", PERCENTILES, axes="TYX")
    assert written.name == "s.tif"
    found = read_image(written)
    assert found.axes == "TYX"
    expected = [model.predict(plane, "YX", PercentileNormalizer(2, 99.8)) for plane in stack]
    np.testing.assert_allclose(found.array, np.stack(expected), rtol=1e-4)


@pytest.mark.parametrize(
    ("section", "normalizer"),
    [
        (NormalizationSection(low=10, high=90), PercentileNormalizer(10, 90)),
        (NormalizationSection(kind="range", low=0, high=255), RangeNormalizer(0, 255)),
        (NormalizationSection(kind="none"), None),
    ],
)
def test_the_normalisation_is_the_one_given(model, tmp_path, image, section, normalizer):
    image = image.astype(np.uint8)
    save(tmp_path / "a.tif", image, "YX")
    predict_files(model, str(tmp_path / "*.tif"), tmp_path / "out", section)
    expected = model.predict(image, "YX", normalizer)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out" / "a.tif"), expected, rtol=1e-5)


def test_values_are_those_that_imagej_shows(model, tmp_path, image):
    """Signed pixels, which ImageJ stores as unsigned with a calibration; the result is signed and does not wrap."""
    signed = np.rint(image - 150).astype(np.int16)
    stored = (signed.astype(np.int32) + 32768).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, metadata={"cf": 0, "c0": -32768.0, "c1": 1.0})
    (written,) = predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    expected = model.predict(signed, "YX", PercentileNormalizer(2, 99.8))
    found = read_image(written).array
    assert found.min() < 0 < found.max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_a_folder_of_slices_is_one_image(model, tmp_path, image):
    frames = np.stack([image, image[::-1], 2 * image])
    for number, frame in enumerate(frames, start=9):
        save(tmp_path / "in" / "day.1" / f"t{number}.tif", frame, "YX")
    with pytest.raises(InputError, match="no image in it"):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, axes="TYX")
    (written,) = predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, axes="TYX", slices=True)
    assert written.name == "day.1.tif"
    found = read_image(written)
    assert found.axes == "TYX" and found.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
    expected = [model.predict(frame, "YX", PercentileNormalizer(2, 99.8)) for frame in frames]
    np.testing.assert_allclose(found.array, np.stack(expected), rtol=1e-4)
    with pytest.raises(InputError, match="--slices: given with --channels"):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, slices=True, channels=("a", "b"))


@pytest.mark.parametrize("kind", ["czi", "nd2", "lif"])
def test_all_images_of_a_file_of_a_microscope(model, tmp_path, image, kind):
    pytest.importorskip({"czi": "pylibCZIrw", "nd2": "nd2", "lif": "liffile"}[kind])
    path, pixels = tmp_path / f"a.{kind}", np.stack([image, image[::-1]]).astype(np.uint16)
    if kind == "czi":
        write_czi(path, pixels[:, None, None, None], scale=(0.125, 0.125, 0.5))
    elif kind == "nd2":
        write_nd2(path, pixels[:, None], "P", calibration=0.125)
    else:
        lengths = {"X": 17 * 0.125e-6, "Y": 19 * 0.125e-6}
        write_lif(path, {str(i): (plane, "YX") for i, plane in enumerate(pixels)}, lengths)
    written = predict_files(model, path, tmp_path / "out", PERCENTILES, series="all")
    assert [one.name for one in written] == ["a_s0.tif", "a_s1.tif"]
    for one, plane in zip(written, pixels, strict=True):
        found = read_image(one)
        assert (found.axes, found.unit) == ("YX", "um") and found.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
        np.testing.assert_allclose(found.array, model.predict(plane, "YX", PercentileNormalizer(2, 99.8)), rtol=1e-4)


def test_volumes_channels_and_axes_in_another_order(tmp_path):
    model = make("ZYX", n_channel_in=2, n_channel_out=2, preset="aeanet-care")
    volume = np.random.default_rng(0).random((6, 2, 10, 8)).astype(np.float32)
    save(tmp_path / "in" / "a.tif", volume, "ZCYX")
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    found = read_image(tmp_path / "out" / "a.tif")
    assert found.axes == "ZCYX" and found.pixel_size == pytest.approx(VOXEL) and found.unit == "um"
    expected = model.predict(volume, "ZCYX")
    np.testing.assert_allclose(found.array, expected, rtol=1e-4, atol=1e-5)
    # A plain file says nothing of its axes; the caller does.
    tifffile.imwrite(tmp_path / "plain.tif", volume.transpose(1, 0, 2, 3))
    predict_files(model, tmp_path / "plain.tif", tmp_path / "out", PERCENTILES, axes="CZYX")
    np.testing.assert_allclose(read_image(tmp_path / "out" / "plain.tif").array, found.array, rtol=1e-5)


def test_channels_that_appear_and_disappear(tmp_path, image):
    save(tmp_path / "one.tif", image, "YX")
    with pytest.warns(UserWarning, match="number of input and output channels differ"):
        predict_files(make(n_channel_out=3), tmp_path / "one.tif", tmp_path / "out", PERCENTILES)
    found = read_image(tmp_path / "out" / "one.tif")
    assert (found.axes, found.array.shape) == ("CYX", (3, 20, 18))
    save(tmp_path / "two.tif", np.stack([image, image]), "CYX")
    with pytest.warns(UserWarning, match="number of input and output channels differ"):
        predict_files(make(n_channel_in=2), tmp_path / "two.tif", tmp_path / "out", PERCENTILES)
    assert read_image(tmp_path / "out" / "two.tif").array.shape == (20, 18)


def test_a_projection_loses_its_axis(tmp_path):
    network = {"filters": 2, "restoration": NETWORK}
    model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=network, train_seed=0), basedir=None)
    stack = np.random.default_rng(0).random((4, 20, 18)).astype(np.float32)
    save(tmp_path / "a.tif", stack, "ZYX")
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    found = read_image(tmp_path / "out" / "a.tif")
    assert found.axes == "YX" and found.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
    np.testing.assert_allclose(found.array, model.predict(stack, "ZYX"), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="n_tiles: 2 along Z, expected 1: the network needs it whole"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "no", PERCENTILES, n_tiles=(2, 1, 1))


def test_the_scale_of_a_probabilistic_model(tmp_path, image):
    model = make(probabilistic=True)
    save(tmp_path / "a.tif", image, "YX")
    predict_files(model, tmp_path / "a.tif", tmp_path / "mean", PERCENTILES)
    predict_files(model, tmp_path / "a.tif", tmp_path / "both", PERCENTILES, scale=True)
    assert list(contents(tmp_path / "mean")) == ["a.tif"]
    assert sorted(contents(tmp_path / "both")) == ["a.tif", "a_scale.tif"]
    expected = model.predict_probabilistic(image, "YX")
    scale = read_image(tmp_path / "both" / "a_scale.tif")
    np.testing.assert_allclose(scale.array, expected.scale(), rtol=1e-5)
    assert scale.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
    for folder in ("mean", "both"):
        np.testing.assert_allclose(tifffile.imread(tmp_path / folder / "a.tif"), expected.mean(), rtol=1e-5)


def test_tiles_that_cannot_be_honoured(tmp_path, image, model):
    save(tmp_path / "a.tif", image, "YX")
    for n_tiles, message in [
        ((1, 2, 2), r"n_tiles: \(1, 2, 2\), expected a number of at least 1 for each of the axes YX"),
        ((99, 1), "n_tiles: 99 along Y, expected at most 10: the network's tiles begin every 2 of the 20 pixels"),
    ]:
        with pytest.raises(InputError, match=message):
            predict_files(model, tmp_path / "a.tif", tmp_path / "no", PERCENTILES, n_tiles=n_tiles)
    assert not contents(tmp_path / "no")


@pytest.mark.parametrize("scale", [False, True])
def test_nothing_is_written_over_an_input_or_twice(tmp_path, image, scale):
    model = make(probabilistic=True)
    for name in ("a.tif", "a_scale.tif"):
        save(tmp_path / "in" / name, image, "YX")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"in: a\.tif would replace an input, choose another output folder"):
        predict_files(model, tmp_path / "in", tmp_path / "in", PERCENTILES, scale=scale)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(InputError, match="would replace an input"):
        predict_files(model, tmp_path / "in", tmp_path / "link", PERCENTILES)
    (tmp_path / "link").unlink()
    if scale:
        with pytest.raises(InputError, match=r"a_scale\.tif: .*a_scale\.tif would also be written for .*a\.tif"):
            predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, scale=True)
    assert contents(tmp_path) == before
    save(tmp_path / "other" / "a.tif", image, "YX")
    with pytest.raises(InputError, match=r"a\.tif would also be written for"):
        predict_files(model, [tmp_path / "in", tmp_path / "other"], tmp_path / "out", PERCENTILES)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_write_leaves_no_half_image(model, tmp_path, image, monkeypatch):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.tif", image, "YX")
    whole = tifffile.imwrite

    def broken(path, *args, **kwargs):
        whole(path, *args, **kwargs)
        if "b.tif" in str(path):
            with open(path, "rb+") as file:
                file.truncate(100)
            raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", broken)
    with pytest.raises(KeyboardInterrupt):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    visible = [name for name in contents(tmp_path / "out") if not name.startswith(".")]
    assert visible == ["a.tif"], "the finished one stays, whole"
    monkeypatch.undo()
    assert read_image(tmp_path / "out" / "a.tif").array.shape == image.shape
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    assert sorted(contents(tmp_path / "out")) == ["a.tif", "b.tif", "c.tif"]


def test_sparse_files_are_restored_as_arrays_are(model, tmp_path, caplog):
    sparse = np.full((64, 48), 100, "uint16")
    sparse[30, 20:23] = 3000
    stack = np.stack([sparse, np.full_like(sparse, 7), sparse[::-1]])
    for name, array, axes in (("a", sparse, "YX"), ("b", np.full((20, 18), 500, "uint16"), "YX"), ("c", stack, "TYX")):
        save(tmp_path / "in" / f"{name}.tif", array, axes)
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    said = [message for message in caplog.messages if "coincide" in message or "constant" in message]
    named = [message.split(":")[0].rpartition("/")[2] for message in said]
    assert named == ["a.tif", "b.tif", "c.tif", "c.tif", "c.tif"]
    results = {name: read_image(tmp_path / "out" / f"{name}.tif").array for name in "abc"}
    # By hand: 3 of 3072 pixels, percentile 99.98 is one of them, of 0.2 the background.
    network = np.asarray(model.keras_model(((sparse - 100.0) / 2900)[None, ..., None].astype("float32")))[0, ..., 0]
    for found in (results["a"], results["c"][0], model.predict(sparse, "YX")):
        np.testing.assert_allclose(found, 100 + 2900 * network, rtol=1e-4, atol=1)
    assert (results["b"] == 500).all() and (results["c"][1] == 7).all()
    predict_files(model, tmp_path / "in" / "a.tif", tmp_path / "tiles", PERCENTILES, n_tiles=(2, 2))
    np.testing.assert_allclose(read_image(tmp_path / "tiles" / "a.tif").array, results["a"], atol=1)


@pytest.mark.parametrize("tiles", [None, (2, 1)])
def test_a_prediction_that_is_not_finite_is_not_written(tmp_path, image, tiles):
    model = make()
    kernel = model.keras_model.weights[0]
    kernel.assign(np.full(kernel.shape, np.inf))
    save(tmp_path / "in" / "a.tif", image, "YX")
    with pytest.raises(InputError, match=r"in/a\.tif: the prediction holds NaN or infinite values"):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, n_tiles=tiles)
    assert not (tmp_path / "out").exists()


def test_what_float32_cannot_hold_is_refused_of_every_normalisation(model, tmp_path, image):
    large = image.astype("float64")
    large[3, 4] = 1e39
    tifffile.imwrite(tmp_path / "a.tif", large)
    sections = [PERCENTILES, NormalizationSection(kind="standard"), NormalizationSection(kind="none")]
    for section in (*sections, NormalizationSection(kind="range", low=0, high=255)):
        with pytest.raises(InputError, match=r"a\.tif: found values up to 1e\+39, expected at most 3\.4e\+38"):
            predict_files(model, tmp_path / "a.tif", tmp_path / "out", section)
    assert not (tmp_path / "out").exists()
    tifffile.imwrite(tmp_path / "b.tif", np.full((20, 18), 1e30, "float32"))
    with pytest.raises(InputError, match=r"b\.tif: values of 1e\+30 to 1e\+30 are not finite once they are normalised"):
        predict_files(
            model, tmp_path / "b.tif", tmp_path / "out", NormalizationSection(kind="range", high=1e-30, low=0)
        )
