"""CARE, U-Net, GVTNet and AEANets on W2S under one budget, beside filters: several seeds, intervals, differences."""

from functools import partial

from csbdeep.data import PercentileNormalizer

from aeanet_tf.evaluation.baselines import best_sigmas, choose_filters, gaussian
from aeanet_tf.evaluation.patch_library import choose_library
from aeanet_tf.evaluation.protocols import align_care
from aeanet_tf.evaluation.tables import Cell, mean
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.comparison import COLUMNS, Comparison, cases_of, filter_scores, pairs_of
from aeanet_tf.experiments.equivariance import (
    BASELINE,
    MARGIN,
    OURS,
    equivariance_table,
    errors_alone,
    middle_patches,
    predict_in_patches,
    transformation_errors,
)
from aeanet_tf.experiments.figures import draw_curves, draw_panels
from aeanet_tf.experiments.laboratory import Method
from aeanet_tf.experiments.literature import chosen_methods, sizes_note
from aeanet_tf.experiments.scores import by_image, scorer, write_report
from aeanet_tf.models.folder import prediction_normalization
from aeanet_tf.training.pairs import MatchError, matched_truth

METHODS = (
    CareRival("CARE", "w2s-care", matched=False),
    CareRival("CARE, matched targets", "w2s-care-matched", matched=True),
    Method("U-Net", "unet", "unet-care"),
    Method("GVTNet", "gvtnet", "gvtnet-care"),
    Method("AEANet, references only (default)", "aeanet-references", "aeanet-care"),
    Method(
        "AEANet, batch-aware only",
        "aeanet-batch",
        "aeanet-care",
        {"attention": {"shared_references": 0, "batch_aware": True}},
    ),
    Method("AEANet, both", "aeanet", "aeanet-care", {"attention": {"batch_aware": True}}),
)
# A Noise2Noise U-Net as ImageJ plugin, on the same 30 images.
PUBLISHED = {"published denoiser (Noise2Noise U-Net)": {"psnr": 33.04, "ssim": 0.862}}
CHANNELS = ("c0", "c1", "c2")
_CARE_NOTE = (
    "CARE: CSBDeep's default network (depth 2, 32 first filters, kernels of 5), Adam at 4e-4, patches of 128 x 128 "
    "from its create_patches (16 an image) in batches of 8 as ours, 10 epochs, learning rate halved after one that "
    "brings nothing; matched: the same with targets fitted to the inputs as ours."
)
# Of patches that are predicted; that of training is the last.
SIZES = (256, 128)
PICTURED = 3
# Whose differences to the others are shown.
BASELINES = ("CARE", "U-Net")


def run(lab):
    """Train every method, or ``lab.networks``, with every seed, score by the care protocol, write ``w2s.md``."""
    tests = cases_of(lab, "test", "YX")
    comparison, protocol = Comparison(lab, "w2s", chosen_methods(lab.networks, METHODS, "w2s")), scorer("care")
    scores = comparison.score(tests, protocol)
    others = _filters(lab, tests, protocol)
    tables = [
        comparison.means_table(scores, COLUMNS, {**others, **_published()}),
        _by_channel(others, scores),
        comparison.seeds_table(scores),
        *comparison.differences(scores, [label for label in BASELINES if label in scores]),
        _intensities(comparison, tests),
        _patch_sizes(comparison, tests, scores, protocol),
    ]
    notes = _notes(lab, tests, comparison)
    if {"gvtnet", "aeanet-references"} <= {method.key for method in comparison.ours}:
        table, verdict = _equivariance(comparison, tests)
        tables.append(table)
        notes.append(verdict)
    runs = comparison.runs()
    path = write_report(lab, "w2s", "W2S denoising under one budget", tables, notes, runs)
    draw_curves(lab, "w2s", runs)
    draw_panels(lab, "w2s", tests[:PICTURED], runs, protocol, align_care)
    return path


def _filters(lab, tests, protocol):
    """Scores of the input and of filters, by label: with parameters of the validation images, and of the truth."""
    validation = pairs_of(lab, "val", "YX")
    filters = choose_filters(validation).named("of validation")
    library = choose_library(pairs_of(lab, "train", "YX"), validation, matched=True)
    filters[library.label] = library
    best = iter(best_sigmas(test.read() for test in tests))
    filters["Gaussian, the best sigma of each test image"] = lambda image: gaussian(image, next(best))
    return filter_scores(lab, tests, protocol, filters)


def _published():
    return {label: {title: Cell(scores[s]) for s, (title, _) in COLUMNS.items()} for label, scores in PUBLISHED.items()}


def _by_channel(others, scores):
    columns = {f"{channel}, {title}": decimals for channel in CHANNELS for title, decimals in COLUMNS.values()}
    rows = {}
    for label, runs in {**{label: [filtered] for label, filtered in others.items()}, **scores}.items():
        rows[label] = {
            f"{channel}, {title}": mean(values)
            for channel in CHANNELS
            for score, (title, _) in COLUMNS.items()
            if len(values := _of_channel(runs, score, channel))
        }
    return "By channel (the name of an image ends in it).", columns, rows


def _of_channel(runs, score, channel):
    chosen = [[row for row in rows if row["image"].endswith(channel)] for rows in runs]
    return by_image(chosen, score) if chosen[0] else []


def _intensities(comparison, tests):
    """The plain protocol against the truth in the intensities of the input."""
    plain = scorer("plain")

    def score(gt, image, low):
        scores = plain(matched_truth(low, gt), image, low)
        return {"psnr": scores["psnr"], "ssim": scores["ssim"], "ratio": scores["signal_ratio"]}

    # Images whose truth cannot be fitted have no intensities to compare.
    tests = [test for test in tests if _can_be_fitted(*test.read())]
    columns = {**COLUMNS, "ratio": ("signal ratio", 3)}
    scores = comparison.score(tests, score, "plain")
    caption = (
        f"Protocol plain, {len(tests)} test images: predictions as they are against the truth fitted to the input by "
        "gain and offset, data range that truth's maximum - minimum. Methods that do not match targets predict other "
        "intensities than the input's."
    )
    return caption, *comparison.means_table(scores, columns, {}, costs=False)[1:]


def _can_be_fitted(low, gt):
    try:
        matched_truth(low, gt)
    except MatchError:
        return False
    return True


def _patch_sizes(comparison, tests, scores, protocol):
    """Figure 9 for these networks: PSNR by the size of what is predicted at a time."""
    lab, rows = comparison.lab, {}
    for method in comparison.ours:
        rows[method.label] = {"whole": mean(by_image(scores[method.label][:1], "psnr"))}
        config = comparison.config(method, lab.seeds[0])
        for size in SIZES:
            predict = partial(predict_in_patches, size=size, margin=MARGIN)
            in_patches = lab.score(config, tests, protocol, f"patches{size}", predict)
            rows[method.label][f"{size} x {size}"] = mean(by_image([in_patches], "psnr"))
    caption = (
        "PSNR (dB) by the size of the patches that are predicted, each with attention of its own, with a margin of "
        f"{MARGIN} pixels that is cut off; seed {lab.seeds[0]}."
    )
    return caption, {"whole": 2, **{f"{size} x {size}": 2 for size in SIZES}}, rows


def _equivariance(comparison, tests):
    """Table V for these networks; of the self-attention that of GVTNet."""
    labels = {"gvtnet": BASELINE, "aeanet-references": OURS, "unet": "U-Net"}
    cases, errors = middle_patches(tests), transformation_errors(_normalised)
    runs = {
        labels[method.key]: [comparison.config(method, comparison.lab.seeds[0])]
        for method in comparison.ours
        if method.key in labels
    }
    return equivariance_table(comparison.lab.score_runs(runs, cases, errors_alone, "equivariance", errors), cases)


def _normalised(model, image, axes):
    section = prediction_normalization(model.logdir)
    return model.predict(image, axes, normalizer=PercentileNormalizer(section.low, section.high, do_after=False))


def _notes(lab, tests, comparison):
    notes = [
        f"{len(tests)} test images, care protocol; {len(lab.seeds)} seeds. The interval over images takes "
        "these as independent, which three channels of one field are not quite; that over seeds has few degrees of "
        "freedom. The learned query is left out: it fixes the input size to that of training.",
        *comparison.notes(),
        *sizes_note(comparison.methods),
    ]
    if len(comparison.ours) < len(comparison.methods):
        notes.append(_CARE_NOTE)
    return notes
