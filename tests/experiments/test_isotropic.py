"""The volume that is made coarse along Z: what networks see of it, what is scored, and the table."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.isotropic import FACTOR, GAP, SIGMA, baselines, cases, prepare
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from tests.experiments.test_experiments import experiment
from tests.models import EAGER, eager_tensorflow, small_settings


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A volume of blobs in a dark frame, and its folder."""
    folder, rng = tmp_path_factory.mktemp("volume"), np.random.default_rng(0)
    blobs = gaussian_filter(rng.normal(size=(66, 80, 70)), 1.5)
    inner = (50 + 200 * (blobs - blobs.min()) / np.ptp(blobs)).astype("float32")
    whole = np.pad(inner, ((2, 1), (3, 0), (0, 4)))
    write_image(folder / "data" / "brain.tif", whole, "ZYX", dict.fromkeys("ZYX", 0.5), "um")
    prepare(folder / "data", folder / "made")
    return folder, inner


def test_networks_see_the_front_of_the_coarse_volume_and_the_back_is_scored(volume):
    folder, inner = volume
    coarse = gaussian_filter1d(inner, SIGMA, axis=0)[::FACTOR]
    parts = {name: read_image(folder / "made" / name / "volume.tif", "ZYX") for name in ("train", "test", "truth")}
    np.testing.assert_allclose(parts["train"].array, coarse[:, : 48 - GAP], rtol=1e-5)
    np.testing.assert_allclose(parts["test"].array, coarse[:, 48:], rtol=1e-5)
    np.testing.assert_array_equal(parts["truth"].array, inner[:65, 48:])
    assert parts["train"].pixel_size == {"Z": 2.0, "Y": 0.5, "X": 0.5}
    tests = cases(folder / "made")
    assert sum(test.read()[1].size for test in tests) == parts["truth"].array.size and len(tests) == 4
    # Read once for all parts, whose prediction is then made once.
    assert tests[0].read()[0] is tests[3].read()[0]


def test_every_filter_after_cubic_interpolation_is_at_least_as_good(volume):
    folder, _ = volume
    test, truth = (read_image(folder / "made" / name / "volume.tif", "ZYX").array for name in ("test", "truth"))
    errors = {label: np.mean((function(test) - truth) ** 2) for label, function in baselines(folder / "made").items()}
    wiener = next(label for label in errors if "Wiener" in label)
    assert errors[wiener] < 0.9 * errors["cubic"] < errors["linear"]


def test_another_volume_is_not_mixed_with_the_first(volume, tmp_path):
    folder, inner = volume
    write_image(tmp_path / "data" / "b.tif", inner, "ZYX")
    with pytest.raises(InputError, match=r"found another volume than .*b.tif; take another --output"):
        prepare(tmp_path / "data", folder / "made")
    write_image(tmp_path / "small" / "b.tif", inner[:40], "ZYX")
    with pytest.raises(InputError, match="expected at least 64 along each axis"):
        prepare(tmp_path / "small", tmp_path / "other")


@EAGER
@pytest.mark.slow
def test_the_table_and_the_picture(volume, tmp_path):
    folder, _ = volume
    with eager_tensorflow():
        text, rows = experiment(
            "isotropic",
            folder / "data",
            tmp_path,
            *small_settings("training.patch_size=[16,24]", "training.batch_size=2"),
        )
    assert "it was made coarse by us" in text and (tmp_path / "isotropic_xz.png").is_file()
    assert {"linear", "cubic", "Lanczos", "U-Net", "AEANet"} <= rows.keys()
