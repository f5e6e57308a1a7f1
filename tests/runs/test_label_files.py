"""Labels predicted from files are those of ``model.predict``, in the place, the axes and the format of the images."""

import copy
from itertools import product

import numpy as np
import pytest
import tifffile
import zarr
from csbdeep.data import PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.prediction.machine import EvaluationMemory
from aeanet_tf.runs import file_runs
from aeanet_tf.runs.predict_files import predict_files
from tests.interop.example_models import randomise
from tests.models import EAGER, contents, eager_tensorflow
from tests.runs.test_label_data import NETWORK, scaled
from tests.runs.test_large_files import VOXEL, Killed, as_zarr, loaded, stop_after

pytestmark = EAGER
PERCENTILES = NormalizationSection()
VALUES = [0, 200, 10]
# Turned and sheared, as a scanner's oblique slices.
AFFINE = np.array([[1.9, 0.2, 0, -30], [-0.2, 1.4, 0.1, 12.5], [0, -0.1, 3.1, 7], [0, 0, 0, 1]])


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def made(axes="YX", channels=1, kind=SegmentationAEANet, seed=0):
    if kind is SegmentationAEANet:
        size = (16,) * len(axes)
        config = SegmentationAEANetConfig(
            axes, channels, 3, labels=VALUES, network=NETWORK, train_patch_size=size, train_seed=seed
        )
    else:
        config = AEANetConfig(axes, channels, network=NETWORK, train_seed=0)
    model = kind(config, "m", None)
    randomise(model.keras_model)
    if kind is SegmentationAEANet:
        # Every class is to be somewhere.
        x = scaled(textured((16,) * len(axes)), None)
        found = np.log(model.keras_model(np.repeat(x[None, ..., None], channels, -1)))
        bias = model.keras_model.weights[-1]
        bias.assign(bias - found.mean(tuple(range(len(axes) + 1))))
    return model


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.fixture(scope="module")
def volumes():
    return made("ZYX")


@pytest.fixture(scope="module")
def scans():
    return made("ZYX", 2)


@pytest.fixture
def image():
    return textured((46, 35))


def textured(shape, seed=0):
    """Of large and small features, bright on one side, so that every class is somewhere."""
    x = np.random.default_rng(seed).gamma(2, 50, shape) + 300 * np.linspace(0, 1, shape[-1])
    return x.astype("float32")


def relabelled(model, values):
    """The same network for other label values."""
    other = copy.copy(model)
    other.config = copy.deepcopy(model.config)
    other.config.labels = values
    return other


def check_labels(found, probabilities, values=VALUES):
    """Labels are the likeliest classes; where two are as likely, to rounding, either is right."""
    sure = np.diff(np.sort(probabilities, -1)[..., -2:], axis=-1)[..., 0] > 1e-5
    assert sure.mean() > 0.99
    expected = np.array(values)[probabilities.argmax(-1)]
    assert set(np.unique(expected)) == set(values), "the image does not show every class"
    np.testing.assert_array_equal(found[sure], expected[sure])


def test_labels_of_a_tif_are_uint8_with_axes_and_pixel_size(model, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX", {"Y": 0.125, "X": 0.125}, "um")
    written = predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    assert written == [tmp_path / "out" / "a.tif"] and list(contents(tmp_path / "out")) == ["a.tif"]
    with tifffile.TiffFile(written[0]) as tif:
        assert tif.is_imagej and tif.pages[0].dtype == np.uint8 and tif.imagej_metadata["unit"] in ("um", "micron")
        check_labels(tif.asarray(), model.predict_probabilities(image, "YX"))
        np.testing.assert_array_equal(tif.asarray(), model.predict(image, "YX"))
    found = read_image(written[0])
    assert (found.axes, found.unit, found.pixel_size) == ("YX", "um", pytest.approx({"Y": 0.125, "X": 0.125}))


def test_labels_above_255_are_uint16(model, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX")
    other = relabelled(model, [65535, 0, 256])
    predict_files(other, tmp_path / "a.tif", tmp_path / "out", PERCENTILES)
    found = tifffile.imread(tmp_path / "out" / "a.tif")
    assert found.dtype == np.uint16
    check_labels(found, model.predict_probabilities(image, "YX"), [65535, 0, 256])


def test_probabilities_are_written_beside_the_labels(model, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX")
    written = predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, probabilities=True)
    assert [path.name for path in written] == ["a.tif", "a_probabilities.tif"]
    found = read_image(written[1])
    assert (found.axes, found.array.dtype) == ("CYX", np.float32)
    probabilities = np.moveaxis(found.array, 0, -1)
    np.testing.assert_allclose(probabilities, model.predict_probabilities(image, "YX"), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(read_image(written[0]).array, np.array(VALUES)[probabilities.argmax(-1)])


@pytest.mark.parametrize("patches", [False, True])
def test_a_time_lapse_is_segmented_frame_by_frame(model, image, tmp_path, patches):
    frames = np.stack([image, image[::-1] ** 2, image[:, ::-1]])
    write_image(tmp_path / "a.tif", frames, "TYX", {"T": 3.0, "Y": 0.1, "X": 0.1}, "um")
    tiling = model.checked_tiling("patches", step=16) if patches else "exact"
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, tiling=tiling, probabilities=True)
    found = read_image(tmp_path / "out" / "a.tif")
    assert (found.axes, found.array.dtype, found.pixel_size["T"]) == ("TYX", np.uint8, pytest.approx(3))
    assert read_image(tmp_path / "out" / "a_probabilities.tif").axes == "TCYX"
    for frame, labels in zip(frames, found.array, strict=True):
        options = {"tiling": "patches", "step": 16} if patches else {}
        check_labels(labels, model.predict_probabilities(frame, "YX", **options))


def test_labels_have_no_channels_though_the_image_has(tmp_path):
    model = made(channels=2, seed=4)
    image = np.stack([textured((24, 26)), textured((24, 26), 1)[:, ::-1]], -1)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", planarconfig="contig")
    assert open_image(tmp_path / "a.tif").axes == "YXC"
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, probabilities=True)
    found, probabilities = (read_image(tmp_path / "out" / f"a{end}.tif") for end in ("", "_probabilities"))
    assert (found.axes, probabilities.axes) == ("YX", "CYX")
    expected = model.predict_probabilities(image, "YXC")
    np.testing.assert_allclose(np.moveaxis(probabilities.array, 0, -1), expected, atol=1e-5)
    check_labels(found.array, expected)
    # Wherever the channels are.
    np.testing.assert_array_equal(model.predict(np.moveaxis(image, -1, 0), "CYX"), model.predict(image, "YXC"))


def starts(length, size, step):
    return sorted({*range(0, length - size, step), length - size})


def averaged(model, x, size, step):
    """Mean of the network's probabilities over all patches, of a normalised image of one channel."""
    pads = [((-n % 2) // 2, -n % 2 - (-n % 2) // 2) for n in x.shape]
    padded = np.pad(x, pads, mode="reflect")
    total, count = np.zeros((*padded.shape, 3)), np.zeros((*padded.shape, 1))
    corners = product(*(starts(*along) for along in zip(padded.shape, size, step, strict=True)))
    places = [tuple(slice(at, at + n) for at, n in zip(corner, size, strict=True)) for corner in corners]
    found = model.keras_model(np.stack([padded[place] for place in places])[..., None].astype("float32"))
    for place, y in zip(places, np.asarray(found), strict=True):
        total[place] += y
        count[place] += 1
    assert count.min() >= 1
    return (total / count)[tuple(slice(a, n + a) for n, (a, _) in zip(x.shape, pads, strict=True))]


@pytest.mark.parametrize(("size", "step"), [((16, 16), (8, 8)), ((14, 20), (9, 4))])
def test_patches_are_the_mean_of_what_the_network_gives_for_each(model, image, tmp_path, size, step):
    write_image(tmp_path / "a.tif", image, "YX", {"Y": 0.125, "X": 0.125}, "um")
    tiling = model.checked_tiling("patches", size, step)
    predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, tiling=tiling, probabilities=True)
    expected = averaged(model, scaled(image), size, step)
    probabilities = np.moveaxis(read_image(tmp_path / "out" / "a_probabilities.tif").array, 0, -1)
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)
    found = read_image(tmp_path / "out" / "a.tif")
    assert found.pixel_size == pytest.approx({"Y": 0.125, "X": 0.125})
    check_labels(found.array, expected)
    # Each has attention of its own, which is not that of the whole.
    assert np.abs(expected - model.predict_probabilities(image, "YX")).max() > 1e-3


def test_patches_of_a_volume_in_a_file_are_those_of_an_array(volumes, tmp_path):
    volume = textured((19, 22, 24))
    as_zarr(tmp_path / "a.zarr", volume, "ZYX")
    tiling = volumes.checked_tiling("patches", (16, 16, 16), (12, 12, 8))
    written = predict_files(volumes, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, tiling=tiling)
    expected = averaged(volumes, scaled(volume, None), (16, 16, 16), (12, 12, 8))
    assert [path.name for path in written] == ["a.zarr"]
    check_labels(loaded(written[0]), expected)
    found = volumes.predict(volume, "ZYX", tiling="patches", step=(12, 12, 8))
    check_labels(found, expected)


def test_tiles_share_the_attention_of_the_whole(model, image, tmp_path):
    as_zarr(tmp_path / "a.zarr", image, "YX")
    options = {"n_tiles": (3, 2), "probabilities": True}
    labels, probabilities = predict_files(model, tmp_path / "a.zarr", tmp_path / "out", PERCENTILES, **options)
    array = zarr.open_array(str(labels / "0"), mode="r")
    assert array.dtype == np.uint8 and array.chunks == (16, 18)
    found = open_image(labels)
    assert (found.axes, found.unit, found.pixel_size) == ("YX", "um", pytest.approx({"Y": 0.125, "X": 0.125}))
    whole = model.predict_probabilities(image, "YX", tiling="whole")
    check_labels(array[:], whole)
    second = open_image(probabilities)
    given = np.moveaxis(loaded(probabilities), second.axes.index("C"), -1)
    np.testing.assert_allclose(given, whole, atol=1e-5)
    own = model.predict_probabilities(image, "YX", n_tiles=(3, 2), tiling="overlap")
    assert np.abs(own - whole).max() > 1e-4


@pytest.fixture
def nibabel():
    return pytest.importorskip("nibabel")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.hdr"])
@pytest.mark.parametrize("patches", [False, True])
def test_labels_of_a_volume_lie_where_the_scan_lies(volumes, tmp_path, nibabel, name, patches):
    data = textured((14, 18, 20)).astype(np.int16)
    if name == "v.hdr":
        scan = nibabel.Spm2AnalyzeImage(data, None)
        scan.header.set_zooms((1, 2, 3))
    else:
        scan = nibabel.Nifti1Image(data, AFFINE)
    (tmp_path / "in").mkdir()
    scan.to_filename(tmp_path / "in" / name)
    tiling = volumes.checked_tiling("patches", (16, 16, 14), 8) if patches else "exact"
    options = {"tiling": tiling, "probabilities": True}
    predict_files(volumes, tmp_path / "in", tmp_path / "out", PERCENTILES, **options)
    stem, _, end = name.partition(".")
    ends = ("hdr", "img") if end == "hdr" else (end,)
    assert set(contents(tmp_path / "out")) == {f"{stem}{s}.{e}" for s in ("", "_probabilities") for e in ends}
    labels, probabilities = (nibabel.load(tmp_path / "out" / f"{stem}{s}.{end}") for s in ("", "_probabilities"))
    given = nibabel.load(tmp_path / "in" / name)
    for found in (labels, probabilities):
        np.testing.assert_array_equal(found.affine, given.affine)
        assert found.header.get_zooms()[:3] == given.header.get_zooms()[:3] and type(found) is type(given)
    assert labels.get_data_dtype() == np.uint8 and probabilities.get_data_dtype() == np.float32
    more = {"tiling": "patches", "patch_size": (16, 16, 14), "step": 8} if patches else {}
    expected = volumes.predict_probabilities(data.T, "ZYX", **more)
    np.testing.assert_allclose(np.asarray(probabilities.dataobj).transpose(2, 1, 0, 3), expected, atol=1e-5)
    check_labels(np.asarray(labels.dataobj).T, expected)


@pytest.mark.parametrize("name", ["v.nii", "v.hdr"])
def test_labels_above_255_are_written_as_volumes_too(volumes, tmp_path, nibabel, name):
    """Analyze has no uint16."""
    data = textured((8, 10, 12)).astype(np.int16)
    kind = nibabel.AnalyzeImage if name == "v.hdr" else nibabel.Nifti1Image
    kind(data, None if name == "v.hdr" else AFFINE).to_filename(tmp_path / name)
    other = relabelled(volumes, [0, 300, 40000])
    predict_files(other, tmp_path / name, tmp_path / "out", PERCENTILES)
    found = np.asarray(nibabel.load(tmp_path / "out" / name).dataobj)
    np.testing.assert_array_equal(found, other.predict(data.T, "ZYX").T)
    assert found.max() > 255


@pytest.mark.parametrize("patches", [False, True])
def test_channels_in_files_of_their_own_are_segmented_together(scans, tmp_path, nibabel, patches):
    t1, t2 = (textured((14, 18, 20), seed).astype(np.int16) for seed in range(2))
    (tmp_path / "in").mkdir()
    for name, data in (("T1", t1), ("T2", t2)):
        nibabel.Nifti1Image(data, AFFINE).to_filename(tmp_path / "in" / f"s-{name}.nii.gz")
    tiling = scans.checked_tiling("patches", (16, 16, 14), 16) if patches else "exact"
    options = {"tiling": tiling, "channels": ("T1", "T2")}
    written = predict_files(scans, tmp_path / "in", tmp_path / "out", PERCENTILES, **options)
    assert [path.name for path in written] == ["s-T1.nii.gz"]
    found = nibabel.load(written[0])
    np.testing.assert_array_equal(found.affine, nibabel.load(tmp_path / "in" / "s-T1.nii.gz").affine)
    more = {"tiling": "patches", "patch_size": (16, 16, 14), "step": 16} if patches else {}
    expected = scans.predict_probabilities(np.stack([t1.T, t2.T], -1), "ZYXC", **more)
    check_labels(np.asarray(found.dataobj).T, expected)
    (tmp_path / "in" / "s-T2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"s-T2\.nii\.gz: no such file, expected channel 'T2'"):
        predict_files(scans, tmp_path / "in", tmp_path / "other", PERCENTILES, **options)
    assert not (tmp_path / "other").exists()


def test_a_restored_volume_lies_where_the_scan_lies(tmp_path, nibabel):
    model, data = made("ZYX", kind=AEANet), textured((10, 13, 16)).astype(np.int16)
    nibabel.Nifti1Image(data, AFFINE).to_filename(tmp_path / "v.nii.gz")
    written = predict_files(model, tmp_path / "v.nii.gz", tmp_path / "out", PERCENTILES, n_tiles=(1, 2, 1))
    assert [path.name for path in written] == ["v.nii.gz"]
    found = nibabel.load(written[0])
    np.testing.assert_array_equal(found.affine, nibabel.load(tmp_path / "v.nii.gz").affine)
    assert found.get_data_dtype() == np.float32
    expected = model.predict(data.T, "ZYX", PercentileNormalizer(2, 99.8), tiling="whole")
    assert np.abs(np.asarray(found.dataobj).T - expected).max() < 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("name", ["a.tif", "a.nii.gz"])
@pytest.mark.parametrize("count", [2, 9])
def test_labels_of_a_run_that_was_killed_go_on(volumes, tmp_path, monkeypatch, name, count):
    volume = textured((12, 18, 20))
    read = tifffile.imread
    if name == "a.tif":
        write_image(tmp_path / name, volume, "ZYX", VOXEL, "um")
    else:
        nibabel = pytest.importorskip("nibabel")
        nibabel.Nifti1Image(volume.T, AFFINE).to_filename(tmp_path / name)
        read = lambda path: np.asarray(nibabel.load(path).dataobj)  # noqa: E731
    options = {"n_tiles": (1, 3, 2), "probabilities": True}
    predict_files(volumes, tmp_path / name, tmp_path / "straight", PERCENTILES, **options)
    first = stop_after(monkeypatch, count)
    with pytest.raises(Killed):
        predict_files(volumes, tmp_path / name, tmp_path / "out", PERCENTILES, **options)
    monkeypatch.undo()
    assert not [one for one in contents(tmp_path / "out") if not one.startswith(".")]
    second = stop_after(monkeypatch, -1)
    predict_files(volumes, tmp_path / name, tmp_path / "out", PERCENTILES, **options)
    assert len(first) == count and second and not set(first) & set(second)
    assert contents(tmp_path / "out").keys() == contents(tmp_path / "straight").keys()
    for one in contents(tmp_path / "out"):
        np.testing.assert_array_equal(*(read(tmp_path / out / one) for out in ("out", "straight")))


def test_images_finished_in_patches_are_not_predicted_again(model, image, tmp_path, monkeypatch):
    for name, x in zip("abc", (image, image[::-1], image[:, ::-1]), strict=True):
        write_image(tmp_path / "in" / f"{name}.tif", x, "YX")
    predicted, average = [], file_runs.patch_averages

    def counting(_, source, *args, killed_in=None):
        predicted.append(source.image.path.stem)
        for number, part in enumerate(average(model, source, *args)):
            if source.image.path.stem == killed_in and number == 1:
                raise Killed
            yield part

    options = {"tiling": model.checked_tiling("patches", step=16), "probabilities": True}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(file_runs, "patch_averages", lambda *args: counting(*args, killed_in="b"))
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, **options)
    assert predicted == ["a", "b"]
    shown = [one for one in contents(tmp_path / "out") if not one.startswith(".")]
    assert sorted(shown) == ["a.tif", "a_probabilities.tif"]
    predicted.clear()
    monkeypatch.setattr(file_runs, "patch_averages", counting)
    predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES, **options)
    assert predicted == ["b", "c"]
    assert sorted(contents(tmp_path / "out")) == sorted(f"{n}{e}.tif" for n in "abc" for e in ("", "_probabilities"))
    for name in "abc":
        x = read_image(tmp_path / "in" / f"{name}.tif").array
        expected = averaged(model, scaled(x), (16, 16), (16, 16))
        check_labels(read_image(tmp_path / "out" / f"{name}.tif").array, expected)


def test_labels_of_a_killed_run_do_not_pass_for_those_of_other_values(model, image, tmp_path, monkeypatch):
    """Whoever mends ``labels`` in a model's configuration does not get both mixed."""
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.tif", image, "YX")
    stop_after(monkeypatch, 1)
    with pytest.raises(Killed):
        predict_files(model, tmp_path / "in", tmp_path / "out", PERCENTILES)
    monkeypatch.undo()
    assert (tmp_path / "out" / "a.tif").exists()
    predict_files(relabelled(model, [1, 2, 3]), tmp_path / "in", tmp_path / "out", PERCENTILES)
    for name in "ab":
        assert set(np.unique(tifffile.imread(tmp_path / "out" / f"{name}.tif"))) == {1, 2, 3}


def test_patches_that_do_not_fit_into_the_memory_leave_nothing(model, image, tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", image, "YX")
    options = {"tiling": model.checked_tiling("patches"), "probabilities": True}
    with pytest.raises(InputError, match=r"max_memory: 0\.10 GB, expected more than"):
        predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, max_memory="100MB", **options)
    assert list(contents(tmp_path)) == ["a.tif"]
    # 16 rows of 36 pixels: the image, and sums and means of three classes.
    needed = 4 * 16 * 36 * (1 + 2 * 3)
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationMemory, "left", lambda *_: needed - 1)
        with pytest.raises(InputError, match=r"a\.tif: overlapping patches hold .* GB, expected at most"):
            predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
        assert list(contents(tmp_path)) == ["a.tif"]
        patch.setattr(EvaluationMemory, "left", lambda *_: needed)
        assert len(predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)) == 2


def test_options_that_do_not_fit_are_refused(model, image, tmp_path):
    write_image(tmp_path / "a.tif", image, "YX")
    patches = model.checked_tiling("patches")
    for options, message in (
        ({"tiling": patches, "context": "group"}, "context: 'group', expected 'image' with patches"),
        ({"tiling": patches, "n_tiles": (2, 2)}, r"n_tiles: \(2, 2\), expected None with patches"),
        ({"tiling": patches, "client": object()}, "tiling: overlapping patches are predicted in one process"),
        ({"scale": True}, "--scale: the model is not probabilistic"),
    ):
        with pytest.raises(InputError, match=message):
            predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, **options)
    assert list(contents(tmp_path)) == ["a.tif"]
