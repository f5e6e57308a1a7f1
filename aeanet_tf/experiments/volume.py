"""CARE, U-Net and AEANet on a real stack with simulated noise, beside filters; its photons are known."""

from dataclasses import replace
from functools import partial

import numpy as np

from aeanet_tf.evaluation.baselines import best_gaussian, choose_filters, gaussian
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.comparison import Comparison
from aeanet_tf.experiments.figures import draw_curves, draw_panels
from aeanet_tf.experiments.laboratory import Method
from aeanet_tf.experiments.paired_folders import cases_of, filter_scores, pairs_of
from aeanet_tf.experiments.report import write_report
from aeanet_tf.experiments.scores import by_image, scorer
from aeanet_tf.experiments.simulated_stack import GAP, OFFSET, PHOTONS, READ_NOISE, STACK, prepare_pairs

AXES = "ZYX"
CARE = "CARE, 3D default"
METHODS = (
    # One volume is trained on: as many patches as cover it twice, of the size of ours. In equal time small ones brought
    # more steps, and more, than 16 x 64 x 64.
    CareRival(CARE, "volume-care", matched=False, axes=AXES, patch_size=(8, 48, 48), per_image=512, batch_size=4),
    Method("U-Net", "unet", "unet-care"),
    Method("AEANet", "aeanet", "aeanet-care"),
)
COLUMNS = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}
RATIO = "ratio"
PLAIN_COLUMNS = {"plain_psnr": COLUMNS["psnr"], "plain_ssim": COLUMNS["ssim"], RATIO: ("signal ratio", 3)}
# Whose differences to the others are shown, after the best filter.
BASELINES = (CARE, "U-Net")
# In the labels of filters, where their parameters are from.
OF_VALIDATION = "of validation"
# Which part of the signal may be lost or added where intensities are to be measured.
TOLERANCE = 0.02


def run(lab):
    """Make the pairs, train every method with every seed, score the test volumes, write ``volume.md``."""
    folder = lab.output / "volume"
    prepare_pairs(lab.data / STACK, folder)
    lab = replace(lab, data=folder)
    tests = cases_of(lab, "test", AXES)
    images = (partial(pairs_of, lab, split, AXES) for split in ("train", "val"))
    comparison = Comparison(lab, "volume", METHODS, *images)
    scores = comparison.score(tests, volume_scores)
    others = filter_scores(lab, tests, volume_scores, _filters(lab, tests))
    best = _best_filter(others)
    compared = {best: [others[best]] * len(lab.seeds), **scores}
    tables = [
        comparison.means_table(scores, COLUMNS, others),
        _plain(comparison.means_table(scores, PLAIN_COLUMNS, others, costs=False)),
        comparison.seeds_table(scores, "psnr", 2),
        *(
            comparison.differences(compared, score, title, decimals, (best, *BASELINES))
            for score, (title, decimals) in COLUMNS.items()
        ),
    ]
    notes = [_verdict(scores), *_notes(tests, len(lab.seeds)), *comparison.notes()]
    path = write_report(lab, "volume", "A stack with simulated noise", tables, notes, comparison.configs())
    ours = {method.label: comparison.configs_of(method) for method in comparison.ours}
    draw_curves(lab, "volume", ours)
    draw_panels(lab, "volume", tests[:1], {label: runs[0] for label, runs in ours.items()}, scorer("care"))
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
    volumes, planes = (iter([sigma for sigma, _ in best_gaussian(p)]) for p in (pairs, _planes(pairs)))
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


def _plain(table):
    _, columns, rows = table
    caption = (
        "Protocol plain: intensities as they are, data range the truth's maximum - minimum. Signal ratio: the mean of "
        f"what is above the offset of {OFFSET:g}, divided by that of the truth."
    )
    return caption, columns, rows


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
        f"seed{'s' * (seeds > 1)}. Of each run the weights with the lowest validation loss.",
        "CARE: CSBDeep's default network for volumes (depth 2, 32 first filters, kernels of 3), Adam at 4e-4, patches "
        "of 8 x 48 x 48 from its create_patches (512) in batches of 4 as ours, 10 epochs, learning rate halved after "
        "one that brings nothing, targets normalised by percentiles of their own.",
    ]
