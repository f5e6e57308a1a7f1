"""Pairs with simulated noise from areas of a real stack that do not touch, in the folders that networks train from."""

import json
from itertools import pairwise

import numpy as np

from aeanet_tf.datasets.samples import simulate_low_exposure
from aeanet_tf.errors import InputError
from aeanet_tf.experiments.scores import fingerprint
from aeanet_tf.files import replacing_folder, write_text
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff_write import write_image

STACK = "slices.tif"
# Photons in a voxel where the stack is brightest, and the camera that counts them: the noise of a voxel is a third of
# its signal on average.
PHOTONS, READ_NOISE, OFFSET = 20.0, 2.0, 100.0
SEED = 0
# Between areas, and what of the columns is trained on.
GAP, TRAINED = 8, 0.6
# Test volumes along Y and X: intervals need several.
TESTS = 2, 2
# What a test volume has along an axis for SSIM to have room.
SMALLEST = 8
_SOURCE = "source.json"


def prepare_pairs(stack, folder):
    """Write ``folder/{train,val,test}/{low,GT}/*.tif``, unless they are there.

    The truth is the mean count of photons above the camera's offset, ``OFFSET + PHOTONS * stack / max(stack)``, the
    input one exposure of it (`simulate_low_exposure`), both ZYX in float32. The same stack gives the same files.

    Args:
        stack: file of a volume, ZYX, not negative.
        folder: is there when all pairs are.

    Raises:
        InputError: the stack cannot be read or is no such volume, or the folder holds the pairs of another one.
    """
    source = _source(stack)
    if folder.is_dir():
        if _read(folder / _SOURCE) != source:
            raise InputError(f"{folder}: found other pairs, expected those of {stack}; take another --output")
        return
    image = read_image(stack, "ZYX").array
    if not (image.min() >= 0 and image.max() > 0):
        raise InputError(f"{stack}: found values from {image.min():g} to {image.max():g}, expected light: 0 and more")
    places = areas(image.shape)
    scene, rng = image.astype("float32") / image.max(), np.random.default_rng(SEED)
    with replacing_folder(folder) as temporary:
        for split, named in places.items():
            for name, area in named.items():
                low = simulate_low_exposure(scene[area], rng, PHOTONS, READ_NOISE, OFFSET)
                write_image(temporary / split / "low" / f"{name}.tif", low, "ZYX")
                write_image(temporary / split / "GT" / f"{name}.tif", OFFSET + PHOTONS * scene[area], "ZYX")
        write_text(temporary / _SOURCE, json.dumps(source, indent=2) + "\n")


def areas(shape):
    """Which part of a stack is what: training the left, validation the upper right, test the lower right.

    Between the three are `GAP` voxels that none has; the test volumes lie side by side. All have all planes.

    Args:
        shape: of the stack, ``(z, y, x)``.

    Returns:
        "train", "val" and "test" -> name of a volume -> three slices; names tell where it begins, such as "y256-x304".

    Raises:
        InputError: the stack is too small.
    """
    depth, rows, columns = shape
    # Of networks that halve it.
    left, upper = 8 * round(TRAINED * columns / 8), 8 * round(rows / 16)
    places = {
        "train": [(slice(0, rows), slice(0, left - GAP))],
        "val": [(slice(0, upper - GAP), slice(left, columns))],
        "test": [(y, x) for y in _parts(upper, rows, TESTS[0]) for x in _parts(left, columns, TESTS[1])],
    }
    sizes = [depth, *(part.stop - part.start for named in places.values() for place in named for part in place)]
    if min(sizes) < SMALLEST:
        raise InputError(
            f"stack: found {depth} x {rows} x {columns} voxels, of which a part is {min(sizes)} wide, expected at "
            f"least {SMALLEST}"
        )
    return {
        split: {f"y{y.start}-x{x.start}": (slice(0, depth), y, x) for y, x in named} for split, named in places.items()
    }


def _parts(first, end, count):
    edges = [first + (end - first) * i // count for i in range(count + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


def _source(stack):
    """What the pairs follow from."""
    if not stack.is_file():
        raise InputError(f"{stack}: no such file, expected a stack (ZYX)")
    noise = {"photons": PHOTONS, "read_noise": READ_NOISE, "offset": OFFSET, "seed": SEED}
    return {"stack": fingerprint([stack]), **noise, "gap": GAP, "trained": TRAINED, "tests": list(TESTS)}


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
