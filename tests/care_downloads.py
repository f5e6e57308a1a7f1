"""What CSBDeep's notebooks download: archives of the same folders, names and kinds of images, and few pixels."""

from pathlib import Path
from urllib.parse import urlparse

import numpy as np
from scipy.ndimage import gaussian_filter
from tifffile import imwrite

RETINA = "cropped_farred_RFP_GFP_2109175_2color_sub_10.20.tif"
TRIBOLIUM = {"train": "nGFP_0.1_0.2_0.5_20_13_late.tif", "test": "nGFP_0.1_0.2_0.5_20_14_late.tif"}


def download(url, targetdir=".", verbose=True):
    """Called as ``csbdeep.utils.download_and_extract_zip_file``: unpacks an archive of that name."""
    address = urlparse(url)
    assert address.netloc == "csbdeep.bioimagecomputing.com" and address.path.startswith("/example_data/")
    WRITERS[Path(address.path).name](Path(targetdir), np.random.default_rng(0))


def _structures(rng, shape):
    """Smooth structures of 100 to 1,000 counts."""
    field = gaussian_filter(rng.standard_normal(shape), [0] * (len(shape) - 3) + [2] * min(len(shape), 3))
    return 550 + 450 * np.tanh(field / field.std())


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    imwrite(path, image.clip(0, 65535).astype(np.uint16))


def _write_pair(folder, name, truth, rng):
    _write(folder / "GT" / name, truth)
    _write(folder / "low" / name, rng.poisson(truth / 20) * 5)


def _cells(folder, rng):
    for part, numbers in (("train", (1, 10, 11)), ("test", (10,))):
        for number in numbers:
            _write_pair(folder / part, f"img_{number:04}.tif", _structures(rng, (184, 136)), rng)


def _disks(folder, rng):
    """Patches, with a channel, that are normalised already."""
    truth = _structures(rng, (40, 1, 64, 72)) / 1000
    (folder / "synthetic_disks").mkdir(parents=True, exist_ok=True)
    noisy = truth + rng.normal(0, 0.2, truth.shape)
    arrays = {name: array.astype(np.float32) for name, array in (("X", noisy), ("Y", truth))}
    np.savez(folder / "synthetic_disks" / "data.npz", axes="SCYX", **arrays)


def _tribolium(folder, rng):
    for part, name in TRIBOLIUM.items():
        _write_pair(folder / "tribolium" / part, name, _structures(rng, (17, 70, 68)), rng)


def _wings(folder, rng):
    """Stacks of a bent surface in three strengths of light, and the surface."""
    for name in ("session_4_P08.tif", "session_7_P17.tif"):
        surface = _structures(rng, (136, 144))
        depth = 4 + 2 * np.sin(np.arange(144) / 20)
        stack = surface * np.exp(-((np.arange(9)[:, None, None] - depth) ** 2))
        _write(folder / "flywing" / "GT" / name, surface)
        for light, photons in (("low_C0", 3), ("low_C2", 20), ("low_C3", 60)):
            _write(folder / "flywing" / light / name, rng.poisson(stack * photons / 1000) * 20 + 50)


def _membranes(folder, rng):
    root = folder / "synthetic_upsampling"
    for number in range(2):
        truth = _structures(rng, (36, 72, 66))
        _write(root / "training_stacks" / "high" / f"stack_{number:02}.tif", truth)
        _write(root / "training_stacks" / "low" / f"stack_{number:02}.tif", rng.poisson(truth / 20) * 5)
    test = _structures(rng, (96, 40, 44))[::4]
    _write(root / "test_stacks_sub_4" / "stack_low_sub_4_03.tif", rng.poisson(test / 20) * 5)


def _retina(folder, rng):
    """Two channels along the second axis."""
    stack = np.stack([_structures(rng, (11, 132, 136)) for _ in range(2)], axis=1)
    _write(folder / "retina" / RETINA, rng.poisson(stack / 5) * 5)


WRITERS = {
    "snr_7_binning_2.zip": _cells,
    "synthetic_disks.zip": _disks,
    "tribolium.zip": _tribolium,
    "flywing.zip": _wings,
    "synthetic_upsampling.zip": _membranes,
    "retina.zip": _retina,
}
