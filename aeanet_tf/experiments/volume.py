"""CARE, U-Net and AEANet on a real stack with simulated noise, beside filters; its photons are known.

The pairs are from areas of the stack that do not touch, in the folders that networks train from.
"""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np

from aeanet_tf.datasets.samples import simulate_low_exposure
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import best_sigmas, choose_filters, gaussian
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.comparison import COLUMNS, Comparison, cases_of, filter_scores, pairs_of
from aeanet_tf.experiments.figures import draw_curves, draw_panels
from aeanet_tf.experiments.laboratory import Method
from aeanet_tf.experiments.literature import chosen_methods, sizes_note
from aeanet_tf.experiments.scores import by_image, fingerprint, scorer, write_report
from aeanet_tf.files import read_json, replacing_folder, write_text
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image

AXES = "ZYX"
CARE = "CARE, 3D default"
METHODS = (
    # One volume is trained on: as many patches as cover it twice, of the size of ours. In equal time small ones brought
    # more steps, and more, than 16 x 64 x 64.
    CareRival(CARE, "volume-care", matched=False, axes=AXES, patch_size=(8, 48, 48), per_image=512, batch_size=4),
    Method("U-Net", "unet", "unet-care"),
    Method("AEANet", "aeanet", "aeanet-care"),
)
OFFERED = (Method("AEANet, fast", "aeanet-fast", "aeanet-care-fast"),)
RATIO = "ratio"
PLAIN_COLUMNS = {"plain_psnr": COLUMNS["psnr"], "plain_ssim": COLUMNS["ssim"], RATIO: ("signal ratio", 3)}
# Whose differences to the others are shown, after the best filter.
BASELINES = (CARE, "U-Net")
# In the labels of filters, where their parameters are from.
OF_VALIDATION = "of validation"
# Which part of the signal may be lost or added where intensities are to be measured.
TOLERANCE = 0.02
STACK = "slices.tif"
# Photons in a voxel where the stack is brightest, and the camera that counts them: the noise of a voxel is a third of
# its signal on average.
PHOTONS, READ_NOISE, OFFSET = 20.0, 2.0, 100.0
SEED = 0
PLAIN = (
    "Protocol plain: intensities as they are, data range the truth's maximum - minimum. Signal ratio: the mean of "
    f"what is above the offset of {OFFSET:g}, divided by that of the truth."
)
_CARE_NOTE = (
    "CARE: CSBDeep's default network for volumes (depth 2, 32 first filters, kernels of 3), Adam at 4e-4, patches "
    "of 8 x 48 x 48 from its create_patches (512) in batches of 4 as ours, 10 epochs, learning rate halved after "
    "one that brings nothing, targets normalised by percentiles of their own."
)
# Between areas, and what of the columns is trained on.
GAP, TRAINED = 8, 0.6
# Test volumes along Y and X: intervals need several.
TESTS = 2, 2
# What a test volume has along an axis for SSIM to have room.
SMALLEST = 8
_SOURCE = "source.json"


def run(lab):
    """Make the pairs, train every method, or ``lab.networks``, with every seed, score, write ``volume.md``."""
    folder = lab.output / "volume"
    prepare_pairs(lab.data / STACK, folder)
    lab = replace(lab, data=folder)
    tests = cases_of(lab, "test", AXES)
    comparison = Comparison(lab, "volume", chosen_methods(lab.networks, METHODS, "volume", OFFERED))
    scores = comparison.score(tests, volume_scores)
    others = filter_scores(lab, tests, volume_scores, _filters(lab, tests))
    best = _best_filter(others)
    compared = {best: [others[best]] * len(lab.seeds), **scores}
    tables = [
        comparison.means_table(scores, COLUMNS, others),
        (PLAIN, *comparison.means_table(scores, PLAIN_COLUMNS, others, costs=False)[1:]),
        comparison.seeds_table(scores),
        *comparison.differences(compared, (best, *(label for label in BASELINES if label in scores))),
    ]
    notes = [_verdict(scores), *_notes(tests, len(lab.seeds)), *comparison.notes(), *sizes_note(comparison.methods)]
    if CARE in scores:
        notes.append(_CARE_NOTE)
    runs = comparison.runs()
    path = write_report(lab, "volume", "A stack with simulated noise", tables, notes, runs)
    draw_curves(lab, "volume", runs)
    draw_panels(lab, "volume", tests[:1], runs, scorer("care"))
    return path


def volume_scores(gt, image, _):
    """PSNR and SSIM of protocol care, and of protocol plain with the ratio of the mean signals, above the offset."""
    care, plain = get_protocol("care")(gt, image), get_protocol("plain")(gt, image, offset=OFFSET)
    return {
        "psnr": care["psnr"],
        "ssim": care["ssim"],
        "plain_psnr": plain["psnr"],
        "plain_ssim": plain["ssim"],
        RATIO: plain["signal_ratio"],
    }


def in_planes(function):
    """A function of 2D images as one of volumes, plane by plane."""
    return lambda volume: np.stack([function(plane) for plane in volume])


def _filters(lab, tests):
    """Filters by label, of volumes: with parameters of the validation volume, and of the truth.

    The planes of serial sections are further apart than their pixels, so filters of planes stand beside those of
    volumes.
    """
    pairs = pairs_of(lab, "val", AXES)
    filters = choose_filters(pairs).named(OF_VALIDATION)
    of_planes = choose_filters(_planes(pairs)).named(f"in planes, {OF_VALIDATION}")
    filters |= {label: in_planes(function) for label, function in of_planes.items()}
    pairs = [test.read() for test in tests]
    volumes, planes = (iter(best_sigmas(p)) for p in (pairs, _planes(pairs)))
    filters["Gaussian, the best sigma of each test volume"] = lambda volume: gaussian(volume, next(volumes))
    # None is best for a plane whose truth is constant.
    best = in_planes(lambda plane: gaussian(plane, np.nan_to_num(next(planes))))
    return filters | {"Gaussian in planes, the best sigma of each test plane": best}


def _best_filter(others):
    """Label of the filter with the highest PSNR of those that know no truth of the tests."""
    scores = {label: by_image([rows], "psnr").mean() for label, rows in others.items() if OF_VALIDATION in label}
    return max(scores, key=scores.get)


def _planes(pairs):
    return [planes for pair in pairs for planes in zip(*pair, strict=True)]


def _verdict(scores):
    """Which methods can be measured in."""
    ratios = {label: float(np.mean(by_image(runs, RATIO))) for label, runs in scores.items()}
    kept, lost = [], []
    for label, ratio in ratios.items():
        (kept if abs(ratio - 1) <= TOLERANCE else lost).append(f"{label} ({ratio:.3f})")
    return (
        f"Mean signal within {TOLERANCE:.0%} of the truth's: {', '.join(kept) or 'none'}; further off: "
        f"{', '.join(lost) or 'none'}."
    )


def _notes(tests, seeds):
    return [
        f"The images are real, **the noise is simulated**: Poisson noise of {PHOTONS:g} photons where the stack is "
        f"brightest, read noise {READ_NOISE:g}, camera offset {OFFSET:g}; the truth is the mean of infinitely many "
        f"such exposures. Training, validation and test are areas of one stack with {GAP} voxels between them, in all "
        f"planes; {len(tests)} test volumes side by side, which the intervals take as independent; {seeds} "
        f"seed{'s' * (seeds > 1)}.",
    ]


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
        return read_json(path)
    except InputError:
        return None
