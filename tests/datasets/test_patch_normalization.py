"""Patches are normalised as CSBDeep's are, and by a range that exists where CSBDeep divides by nothing."""

import numpy as np
import pytest
import tifffile
from csbdeep.data import norm_percentiles

from aeanet_tf.datasets.patch_normalization import PatchNormalization
from aeanet_tf.datasets.patches import PatchSettings, cut_patches


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channel", [None, 0])
@pytest.mark.parametrize("percentiles", [None, (2, 99)])
def test_the_numbers_and_the_draws_are_csbdeeps(dtype, channel, percentiles):
    rng = np.random.default_rng(0)
    x, y = ((rng.random((2, 30, 30)) * scale).astype(dtype) for scale in (100, 120))
    patches = [np.stack([image[:, i : i + 8, 3:11] for i in range(4)]) for image in (x, y)]
    theirs = norm_percentiles() if percentiles is None else norm_percentiles(percentiles=percentiles)
    results = []
    for normalization in (PatchNormalization(percentiles), theirs):
        np.random.seed(5)  # noqa: NPY002
        results.append([*normalization(*patches, x, y, None, channel), np.random.random()])  # noqa: NPY002
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_sparse_and_constant_images_have_patches_of_finite_values(tmp_path, caplog):
    sparse = np.full((100, 100), 100, "uint16")
    sparse[50, 40:50] = 3000
    constant = np.full((100, 100), 1e20, "float32")
    large = (10**9 + np.arange(10000) % 50).reshape(100, 100).astype("int32")
    for number, image in enumerate((sparse, constant, large, sparse > 100)):
        for side in ("low", "GT"):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"{number}.tif", image)
    for percentiles in ((2, 99.8), None):
        caplog.clear()
        settings = PatchSettings("YX", (100, 100), 2, percentiles=percentiles, threshold=None)
        x, y, _ = cut_patches(tmp_path, ["low"], "GT", settings, verbose=False)
        assert np.isfinite(x).all() and np.isfinite(y).all() and np.abs(x).max() < 10
        # Of the third it is said that its integers are beyond those of float32.
        ranges = [message for message in caplog.messages if "integers beyond" not in message]
        named = {message.split(":")[0].removeprefix(f"{tmp_path}/") for message in ranges}
        assert named == {f"{side}/{number}.tif" for side in ("low", "GT") for number in (0, 1, 3)}
        # Whichever order they were shuffled into: 0 and 1 of both sparse ones, 0 of the constant.
        values = [np.unique(patch) for patch in x]
        assert sum(np.array_equal(found, [0, 1]) for found in values) == 4
        assert sum(np.array_equal(found, [0]) for found in values) == 2
        assert sum(len(found) == 50 and 0.9 < np.ptp(found) < 1.3 for found in values) == 2


def test_one_sparse_channel_leaves_the_other_alone():
    rng = np.random.default_rng(0)
    image = np.zeros((2, 50, 50), "float32")
    image[0] = rng.random((50, 50))
    image[1, 20, 20:23] = 7
    patches, _ = PatchNormalization((2, 99.8))(image[None], image[None], image, image, None, 0)
    low, high = np.percentile(image[0], (2, 99.8))
    np.testing.assert_allclose(patches[0, 0], (image[0] - low) / (high - low), rtol=1e-5, atol=1e-6)
    assert set(np.unique(patches[0, 1])) == {0, 1}
