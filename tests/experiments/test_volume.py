"""The stack with simulated noise: areas that do not touch, photons that are known, and the table."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.experiments import volume
from aeanet_tf.experiments.volume import GAP, OFFSET, PHOTONS, READ_NOISE, areas, prepare_pairs
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from tests.experiments.test_experiments import experiment, rows_of
from tests.models import EAGER, eager_tensorflow, small_settings

SHAPE = (8, 64, 88)
SPLITS = ("train", "val", "test")
SMALL = small_settings("training.patch_size=[8,16,16]")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A stack in 8 bits, blurred noise, and its scene from 0 to 1."""
    folder, rng = tmp_path_factory.mktemp("stack"), np.random.default_rng(0)
    stack = gaussian_filter(rng.normal(size=SHAPE), (1, 3, 3))
    stack = np.uint8(255 * (stack - stack.min()) / np.ptp(stack))
    write_image(folder / "slices.tif", stack, "ZYX")
    return folder, stack / 255


def pairs(folder, split):
    """Name -> (low, GT) of a split."""
    return {
        path.stem: tuple(read_image(folder / split / side / path.name, "ZYX").array for side in ("low", "GT"))
        for path in sorted((folder / split / "low").iterdir())
    }


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("shape", [(30, 512, 512), (10, 100, 333), SHAPE])
def test_areas_do_not_touch(shape):
    places = areas(shape)
    owner = np.zeros(shape, int)
    for number, split in enumerate(SPLITS, 1):
        for place in places[split].values():
            assert not owner[place].any() and place[0] == slice(0, shape[0])
            owner[place] = number
    for number in (1, 2, 3):
        nearest = distance_transform_edt(owner[0] != number)[(owner[0] != number) & (owner[0] > 0)].min()
        # Between the first voxels of two areas that are GAP apart.
        assert nearest == GAP + 1
    assert [len(places[split]) for split in SPLITS] == [1, 1, 4]
    if shape[1] == 512:
        assert 0.5 < (owner == 1).mean() < 0.6
        tests = [owner[place].shape for place in places["test"].values()]
        assert min(tests) == max(tests) == (30, 128, 104)


def test_pairs_are_exposures_of_the_stack_and_made_once(data, tmp_path):
    (folder, scene), made = data, tmp_path / "volume"
    prepare_pairs(folder / "slices.tif", made)
    noise = []
    for split in SPLITS:
        found = pairs(made, split)
        assert sorted(found) == sorted(areas(SHAPE)[split])
        for name, (low, gt) in found.items():
            np.testing.assert_allclose(gt, OFFSET + PHOTONS * scene[areas(SHAPE)[split][name]], rtol=1e-6)
            noise.append(np.stack([low - gt, gt - OFFSET + READ_NOISE**2], -1).reshape(-1, 2))
    noise, variance = np.concatenate(noise).T
    deviation = np.sqrt(variance.mean() / noise.size)
    assert abs(noise.mean()) < 4 * deviation and abs((noise**2 / variance).mean() - 1) < 0.05
    # Bright voxels have more of it.
    bright = variance > np.median(variance)
    assert noise[bright].std() > 1.1 * noise[~bright].std()
    before = written(made)
    prepare_pairs(folder / "slices.tif", made)
    assert written(made) == before
    prepare_pairs(folder / "slices.tif", tmp_path / "again")
    for name, (low, _) in pairs(made, "test").items():
        assert np.array_equal(low, pairs(tmp_path / "again", "test")[name][0])


def test_whoever_is_stopped_leaves_no_half_of_the_pairs(data, tmp_path, monkeypatch):
    made, once = tmp_path / "volume", volume.write_image
    with monkeypatch.context() as patch, pytest.raises(WriteError):
        calls = iter(range(5))
        patch.setattr(volume, "write_image", lambda *args: once(*args) if next(calls) < 4 else _full())
        prepare_pairs(data[0] / "slices.tif", made)
    assert not [*tmp_path.iterdir()]
    prepare_pairs(data[0] / "slices.tif", made)
    assert len(pairs(made, "test")) == 4


def _full():
    raise OSError(28, "No space left on device")


def test_mistakes_are_told(data, tmp_path):
    folder = tmp_path / "volume"
    rng = np.random.default_rng(0)
    for name, array, axes in (
        ("plane", rng.random((64, 88)), "YX"),
        ("dark", np.zeros(SHAPE), "ZYX"),
        ("negative", rng.random(SHAPE) - 0.5, "ZYX"),
        ("shallow", rng.random((7, 64, 88)), "ZYX"),
        ("narrow", rng.random((8, 64, 30)), "ZYX"),
    ):
        write_image(tmp_path / f"{name}.tif", array.astype("float32"), axes)
    for name, message in (
        ("none", "none.tif: no such file"),
        ("plane", "found 1 x 64 x 88 voxels"),
        ("dark", "found values from 0 to 0, expected light"),
        ("negative", "negative.tif: found values from -0.4"),
        ("shallow", "found 7 x 64 x 88 voxels, of which a part is 7 wide, expected at least 8"),
        ("narrow", "found 8 x 64 x 30 voxels"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_pairs(tmp_path / f"{name}.tif", folder)
        assert not folder.exists()
    prepare_pairs(data[0] / "slices.tif", folder)
    write_image(tmp_path / "other.tif", rng.random(SHAPE).astype("float32"), "ZYX")
    with pytest.raises(InputError, match=r"volume: found other pairs, expected those of .*take another --output"):
        prepare_pairs(tmp_path / "other.tif", folder)


def test_filters_of_planes(data):
    stack = data[1]
    found = volume.in_planes(lambda plane: plane - plane.mean())(stack)
    np.testing.assert_allclose(found, stack - stack.mean((1, 2), keepdims=True))


def test_scores_know_the_offset(data):
    gt = OFFSET + PHOTONS * data[1]
    scores = volume.volume_scores(gt, OFFSET + 0.5 * (gt - OFFSET), None)
    # CARE's protocol fits the gain, plain does not.
    assert scores["ratio"] == pytest.approx(0.5) and scores["psnr"] > 60 > 20 > scores["plain_psnr"]


@EAGER
def test_volume(data, tmp_path, monkeypatch):
    care, *ours = volume.METHODS
    monkeypatch.setattr(volume, "METHODS", (replace(care, patch_size=(8, 16, 16), per_image=4, batch_size=2), *ours))
    with eager_tensorflow():
        text, rows = experiment("volume", data[0], tmp_path, *SMALL)
        before = written(tmp_path / "volume") | written(tmp_path / "models")
        assert experiment("volume", data[0], tmp_path, *SMALL) == (text, rows)
    assert written(tmp_path / "volume") | written(tmp_path / "models") == before
    filters = [label.partition(" (")[0] for label in rows][1:-3]
    of_truth = ["Gaussian, the best sigma of each test volume", "Gaussian in planes, the best sigma of each test plane"]
    assert filters == ["Gaussian", "non-local means", "Gaussian", "non-local means", *of_truth]
    assert next(iter(rows)) == "input" and [*rows][-3:] == ["CARE, 3D default", "U-Net", "AEANet"]
    assert all(np.isfinite(float(row["PSNR (dB)"])) and np.isfinite(float(row["SSIM"])) for row in rows.values())
    assert [rows[label]["steps"] for label in ("CARE, 3D default", "AEANet")] == ["2.0", "2.0"]
    plain = rows_of(tmp_path / "volume_2.csv")
    assert list(plain) == list(rows)
    assert float(plain["input"]["signal ratio"]) == pytest.approx(1, abs=0.02)
    assert all(np.isfinite(float(row["signal ratio"])) for row in plain.values())
    differences = rows_of(tmp_path / "volume_4.csv")
    assert float(differences["AEANet"]["to CARE, 3D default, over images"]) == pytest.approx(
        float(rows["AEANet"]["PSNR (dB)"]) - float(rows["CARE, 3D default"]["PSNR (dB)"])
    )
    # The filter that the others have to surpass knows no truth of the tests.
    best = next(iter(differences))
    known = {label: float(row["PSNR (dB)"]) for label, row in rows.items() if "of validation" in label}
    assert known[best] == max(known.values())
    assert float(differences["AEANet"][f"to {best}, over images"]) == pytest.approx(
        float(rows["AEANet"]["PSNR (dB)"]) - known[best]
    )
    assert "the noise is simulated" in text and "Mean signal within 2% of the truth's: " in text
    # Two of the test volumes are scored, one is drawn.
    assert len(list((tmp_path / "volume" / "test" / "low").iterdir())) == 4
    assert len(list(tmp_path.glob("volume_y*-x*.png"))) == 1
