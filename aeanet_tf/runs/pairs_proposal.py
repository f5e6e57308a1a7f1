"""How pairs of images are trained on: restoration, projection or segmentation, as far as it can be seen."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aeanet_tf.datasets.pairs import UnpairedError, pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.read import open_image
from aeanet_tf.memory import available_bytes, in_words
from aeanet_tf.runs.find_data import LABEL_WORDS, Found
from aeanet_tf.runs.proposal import Ask, Proposal, Wishes, model_section, validation_line, with_axes
from aeanet_tf.runs.stack_proposal import add_classes, of_label_stack
from aeanet_tf.runs.survey import Survey, agreement, class_values, spread, survey

# Correlation of an input and its truth below which they do not show the same.
_LEAST_CORRELATION = 0.1


def of_pairs(found: Found, wishes: Wishes, ask: Ask) -> Proposal:
    """Look at pairs of images and propose how to train on them; see `aeanet_tf.runs.new_config.propose`."""
    root = Path(found.root)
    pairs = _paired(found, wishes)
    truths = [gt for _, gt in pairs]
    lows = with_axes(lambda axes: survey([low for low, _ in pairs], axes), wishes, ask)
    gts = _truths(truths, wishes.axes)
    seen = [
        f"{len(pairs)} pair{'s' * (len(pairs) > 1)} in {root}: {found.low} with {found.gt}, such as "
        f"{pairs[0][0].name} with {pairs[0][1].name}",
        f"input: {lows.line()}",
        f"ground truth: {gts.line()}",
    ]
    task = wishes.task or _task(found, lows, gts, ask)
    _check_sizes(pairs, lows, gts, task)
    if task == "segmentation" and len(lows.spatial) == 3 and (root / found.low).is_file():
        return of_label_stack(found, wishes, seen, truths)
    by_name = f" by name ({pairs[-1][0].name})"
    seen.append(
        f"validation: {found.validation[0]} with {found.validation[1]}"
        if found.validation
        else validation_line(len(pairs), "pairs", by_name)
    )
    plan = wishes.plan(task, lows.spatial, _sizes(lows, len(pairs) == 1 and not found.validation))
    data = {**_files(found, wishes), "normalization": plan.normalization}
    test = root / "test" / Path(found.low).name
    images = str(test if test.is_dir() else root / found.low)
    proposal = Proposal(task, {}, data, plan.section(), seen, input=images)
    if task == "segmentation":
        add_classes(proposal, plan, lows, truths, wishes.axes)
    else:
        proposal.model = model_section(plan, lows.spatial, lows.channels, gts.channels)
        _match_targets(proposal, lows, gts)
    _remark_memory(proposal, lows, gts)
    return proposal


def _files(found: Found, wishes: Wishes) -> dict[str, Any]:
    """The fields of the section ``data`` that say where the files are, and how they are read."""
    data = {"kind": "folders", "root": found.root, "low": found.low, "GT": found.gt}
    if found.validation:
        data |= dict(zip(("validation_low", "validation_GT"), found.validation, strict=True))
    if wishes.match != "name":
        data["match"] = wishes.match
    return data | {name: value for name in ("series", "axes") if (value := getattr(wishes, name)) is not None}


def _paired(found: Found, wishes: Wishes) -> list:
    root = Path(found.root)
    try:
        return pair_folders(root / found.low, root / (found.gt or ""), series=wishes.series, match=wishes.match)
    except UnpairedError as error:
        ways = []
        if error.patterns:
            sides = zip(("low", "gt"), (found.low, found.gt), error.patterns, strict=True)
            ways.append(" ".join(f"--{flag} '{place}/{pattern}.*'" for flag, place, pattern in sides) + " pair them")
        if error.in_order:
            ways.append("--match order pairs {} with {} and so on, by the numbers in the names".format(*error.in_order))
        raise InputError("; ".join((str(error), *ways))) from None


def _truths(paths: Sequence, axes: str | None) -> Survey:
    """The survey of ground truths, which may lack the Z or the C of their inputs."""
    tried = dict.fromkeys(axes and axes.translate(str.maketrans("", "", lost)) for lost in ("", "Z", "C", "ZC"))
    for last, candidate in zip([False] * (len(tried) - 1) + [True], tried, strict=True):
        try:
            return survey(paths, candidate)
        except InputError:
            if last:
                raise
    raise AssertionError("something was tried")


def _task(found: Found, lows: Survey, gts: Survey, ask: Ask) -> str:
    """What is to be learned, as far as it can be seen; else it is asked for."""
    if "Z" in lows.spatial and gts.spatial == lows.spatial.replace("Z", ""):
        return "projection"
    values = class_values(gts)
    named = {*LABEL_WORDS} & {*re.findall(r"[a-z]+", (found.gt or "").lower())}
    if values is None:
        expect(
            not named or any(name.startswith("float") for name in gts.dtypes) or gts.channels > 1,
            found.gt,
            "more than 16 different values",
            "labels of classes, such as 0 and 1, or --task restoration; labels of single objects are made into "
            "classes first",
        )
        return "restoration"
    if named:
        return "segmentation"
    question = f"the ground truth has only the values {', '.join(map(str, values))}: is it of images or of labels? Task"
    return ask(question, "--task", ("restoration", "segmentation"))


def _check_sizes(pairs: Sequence, lows: Survey, gts: Survey, task: str) -> None:
    """Refuse pairs whose axes or sizes differ otherwise than the task has it."""
    low, gt = pairs[0]
    expected = lows.spatial.replace("Z", "") if task == "projection" else lows.spatial
    if len(lows.spatial) > 3:
        raise InputError(
            f"{low}: axes {lows.axes}, expected 2 or 3 of them and C; save time points as files of their own"
        )
    expect(gts.spatial == expected, gt, f"axes {gts.spatial}", f"{expected}, as {low} has for {task}")
    for axis in expected:
        sizes = lows.size(axis), gts.size(axis)
        if sizes[0] != sizes[1]:
            ratio = sizes[1] / sizes[0]
            larger = f", or a configuration as w2s_upscaling with network.upscale {ratio:g}" if ratio in (2, 4) else ""
            raise InputError(
                f"{gt}: {sizes[1]} pixels along {axis} where {low} has {sizes[0]} (ratio {ratio:.3g}); "
                f"expected images of one size: resize or crop one of the two first{larger}"
            )
    if task == "projection":
        return
    # Each ground truth beside its own input.
    for i in spread(len(pairs), 16):
        shapes = [
            sorted((a, n) for a, n in zip(image.axes, image.array.shape, strict=True) if a != "C")
            for image in (open_image(path, side.axes) for path, side in zip(pairs[i], (lows, gts), strict=True))
        ]
        if shapes[0] != shapes[1]:
            found, wanted = (" x ".join(str(n) for _, n in shape) for shape in shapes[::-1])
            raise InputError(f"{pairs[i][1]}: {found} pixels, expected {wanted} as {pairs[i][0]} has")


def _sizes(lows: Survey, single: bool) -> list[int]:
    """Sizes of the smallest image; of a single one half of the longer of Y and X, since its end is validated on."""
    sizes = [lows.size(axis) for axis in lows.spatial]
    if single:
        longer = max("XY", key=lows.size)
        sizes[lows.spatial.index(longer)] //= 2
    return sizes


def _match_targets(proposal: Proposal, lows: Survey, gts: Survey) -> None:
    """Whether ground truths are brought into the intensities of their inputs; see docs/training.md."""
    agree = agreement(lows, gts)
    if agree is None or lows.channels != gts.channels:
        return
    if agree.correlation < _LEAST_CORRELATION:
        proposal.notes.append(
            f"an input and its ground truth correlate by {agree.correlation:.2f} only: are the pairs right, and "
            "registered? For another modality as the target this is as it should be"
        )
        return
    proposal.data["match_targets"] = True
    same = 0.9 < agree.gain < 1.1
    scale = (
        "input and ground truth have one intensity scale"
        if same
        else (f"structures of the input are {agree.gain:.3g} times as bright as those of the ground truth")
    )
    proposal.notes.append(f"{scale}; match_targets is on: predictions have the intensities of the input")


def _remark_memory(proposal: Proposal, *sides: Survey) -> None:
    need, there = sum(side.nbytes for side in sides), available_bytes()
    if need > 0.7 * there:
        proposal.notes.append(
            f"the images take {in_words(need)} of memory in training, {in_words(there)} are free: train on some of "
            "them, or on patches (aeanet patches)"
        )
