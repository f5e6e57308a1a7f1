"""A run configuration for data that someone wants to train on, and what was seen of them."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeanet_tf.datasets.pairs import UnpairedError, held_out_count, npz_header, pair_folders
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.read import open_image
from aeanet_tf.io.series import find_series
from aeanet_tf.memory import available_bytes, in_words
from aeanet_tf.paths import is_pattern
from aeanet_tf.runs.find_data import LABEL_WORDS, Found
from aeanet_tf.runs.survey import (
    Survey,
    agreement,
    all_class_values,
    class_values,
    spread,
    survey,
)
from aeanet_tf.runs.training_proposal import Plan, plan_training
from aeanet_tf.sections.stack import SerialStack, open_stack

Ask = Callable[[str, str, Sequence[str]], str]
"""Asks a question that a flag answers as well: question, flag, possible answers (none for any text) -> answer."""

# Correlation of an input and its truth below which they do not show the same.
_LEAST_CORRELATION = 0.1
_LEAST_SLICES = 3
# Of the configuration isbi2012.
_LARGEST_SHIFT = 32
_NO_TRUTH = (
    "training needs pairs: the same fields of view with a better exposure, or the average of many frames of a still "
    "sample, as --gt; a stack of sections alone can be trained on with --task slices"
)


@dataclass
class Wishes:
    """What the user has chosen; ``None`` for what follows from the data."""

    task: str | None = None
    axes: str | None = None
    preset: str | None = None
    steps: int | None = None
    patch_size: Sequence[int] | None = None
    batch_size: int | None = None
    match: str = "name"
    series: int | str | None = None
    dataset: str | None = None

    def plan(self, task: str, axes: str, sizes: Sequence[int], exact: bool = False) -> Plan:
        """Network, patches and length for a task and the sizes of the smallest image; see `plan_training`."""
        chosen = {"preset": self.preset, "steps": self.steps, "patch": self.patch_size, "batch": self.batch_size}
        return plan_training(task, axes, sizes, exact=exact, **chosen)


@dataclass
class Proposal:
    """A configuration, and in words what it is made from.

    Attributes:
        task: one of `aeanet_tf.runs.training_proposal.TASKS`.
        model, data, training: the sections, without the model's name.
        seen: lines on the data.
        notes: lines on what the user should know of the choices.
        input: what to predict with the model, for an example.
        tested: slices that the model may be tested on, for slice interpolation.
    """

    task: str
    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    seen: list[str]
    notes: list[str] = field(default_factory=list)
    input: str = ""
    tested: str = ""

    def fields(self, name: str, schema: str) -> dict[str, Any]:
        """The configuration of a model of that name, as nested dicts."""
        return {
            "$schema": schema,
            "description": f"By aeanet new: {self.task}. {' '.join(f'{line}.' for line in self.seen)}",
            "model": {"name": name, **self.model},
            "data": self.data,
            "training": self.training,
        }


def as_text(fields: dict[str, Any]) -> str:
    """A configuration as JSON, lists of numbers and small objects on a line."""
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    short = re.compile(r"([\[{])\s+([^\[\]{}]{1,90}?)\s+([\]}])")
    return short.sub(lambda match: match[1] + re.sub(r"\s*\n\s*", " ", match[2]) + match[3], text) + "\n"


def propose(found: Found, wishes: Wishes, ask: Ask) -> Proposal:
    """Look at the data and propose how to train on them.

    Args:
        found: where the data are.
        wishes: what the user has chosen.
        ask: is called for what cannot be seen.

    Raises:
        InputError: data that cannot be trained on, with what would help; what ``ask`` raises.
    """
    if found.kind == "npz":
        return _of_patches(found, wishes)
    if found.kind == "pairs":
        return _of_pairs(found, wishes, ask)
    if found.kind == "stack" or wishes.task == "slices":
        return _of_stack(found, wishes, ask)
    paths = find_series(Path(found.root) / found.low, wishes.series)
    raise InputError(
        f"{Path(found.root) / found.low}: {len(paths)} images and no ground truth; {_NO_TRUTH}. Where names tell them "
        "apart, --low '*_a.tif' --gt '*_b.tif'"
    )


def _with_axes(look: Callable[[str | None], Any], wishes: Wishes, ask: Ask) -> Any:
    """What ``look`` gives; where files do not name their axes these are asked for, and kept."""
    try:
        return look(wishes.axes)
    except InputError as error:
        if wishes.axes is not None or "--axes" not in str(error):
            raise
        what = str(error).partition("; give them")[0].partition("; say what")[0]
        wishes.axes = ask(f"{what} (such as YX or ZYX)", "--axes", ()).upper()
        return look(wishes.axes)


# Patches -------------------------------------------------------------------------------------------------------------


def _of_patches(found: Found, wishes: Wishes) -> Proposal:
    path = Path(found.root) / found.low
    axes, shapes = npz_header(path, wishes.axes)
    x, y = (dict(zip(axes, shapes[name], strict=True)) for name in "XY")
    spatial = axes.replace("S", "").replace("C", "")
    reduced = [axis for axis in spatial if x[axis] > 1 and y[axis] == 1]
    expect(reduced in ([], ["Z"]), path, f"Y of length 1 along {' and '.join(reduced)}", "that along Z, if any")
    task = "projection" if reduced else "restoration"
    plan = wishes.plan(task, spatial, [x[axis] for axis in spatial], exact=True)
    sizes = " x ".join(str(x[axis]) for axis in spatial)
    seen = [
        f"patches: {x['S']} of {sizes} ({spatial}) in {path}, {x['C']} channel{'s' * (x['C'] > 1)} to {y['C']}, "
        f"{'projected along Z' if reduced else 'of one size'}",
        _validation(x["S"], "patches"),
    ]
    data = {"kind": "npz", "root": found.root, "npz": found.low, **({"axes": wishes.axes} if wishes.axes else {})}
    model = _model(plan, spatial, x["C"], y["C"])
    expect(x["S"] > 1, path, "one patch", "at least two, one to train and one to validate on")
    return Proposal(task, model, data, plan.section(patches=False), seen, input="IMAGES")


# Pairs ---------------------------------------------------------------------------------------------------------------


def _of_pairs(found: Found, wishes: Wishes, ask: Ask) -> Proposal:
    root = Path(found.root)
    pairs = _paired(found, wishes)
    lows = _with_axes(lambda axes: survey([low for low, _ in pairs], axes), wishes, ask)
    gts = _truths([gt for _, gt in pairs], wishes.axes)
    seen = [
        f"{len(pairs)} pair{'s' * (len(pairs) > 1)} in {root}: {found.low} with {found.gt}, such as "
        f"{pairs[0][0].name} with {pairs[0][1].name}",
        f"input: {lows.line()}",
        f"ground truth: {gts.line()}",
    ]
    task = wishes.task or _task(found, lows, gts, ask)
    _check_sizes(pairs, lows, gts, task)
    if task == "segmentation" and len(pairs) == 1 and len(lows.spatial) == 3 and not is_pattern(root / found.low):
        return _of_label_stack(found, wishes, seen, [gt for _, gt in pairs])
    data = {"kind": "folders", "root": found.root, "low": found.low, "GT": found.gt}
    if found.validation:
        data |= dict(zip(("validation_low", "validation_GT"), found.validation, strict=True))
        seen.append(f"validation: {found.validation[0]} with {found.validation[1]}")
    else:
        seen.append(_validation(len(pairs), "pairs", f" by name ({pairs[-1][0].name})"))
    data |= {name: value for name, value in (("match", wishes.match), ("series", wishes.series), ("axes", wishes.axes))
             if value not in (None, "name")}  # fmt: skip
    plan = wishes.plan(task, lows.spatial, _sizes(lows, len(pairs) == 1 and not found.validation))
    data["normalization"] = plan.normalization
    proposal = Proposal(task, {}, data, plan.section(), seen, input=str(root / found.low))
    if task == "segmentation":
        _segment(proposal, plan, lows, [gt for _, gt in pairs], wishes.axes)
    else:
        proposal.model = _model(plan, lows.spatial, lows.channels, gts.channels)
        _match_targets(proposal, lows, gts)
    _remark_memory(proposal, lows, gts)
    return proposal


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
            raise InputError(
                f"{gt}: {sizes[1]} pixels along {axis} where {low} has {sizes[0]} (ratio {sizes[1] / sizes[0]:.3g}); "
                "expected images of one size: resize or crop one of the two first"
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


def _model(plan: Plan, axes: str, channels: int, target_channels: int) -> dict[str, Any]:
    model: dict[str, Any] = {"preset": plan.preset, "axes": axes}
    if (channels, target_channels) != (1, 1):
        model |= {"n_channel_in": channels, "n_channel_out": target_channels}
    return model | ({"network": plan.network} if plan.network else {})


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


def _validation(count: int, what: str, how: str = "") -> str:
    held = held_out_count(count, 0.1)
    if not held:
        return "validation: the end of the only image is held out"
    return f"validation: {held} of {count} {what}, the last{how}"


# Labels --------------------------------------------------------------------------------------------------------------


def _segment(proposal: Proposal, plan: Plan, lows: Survey, truths: Sequence, axes: str | None) -> None:
    values, read = all_class_values(truths, axes and axes.replace("C", ""))
    expect(len(values) > 1, truths[0], f"only the label {values[0]}", "labels of at least two classes")
    expect(len(values) <= 256, truths[0], f"{len(values)} different labels", "those of a few classes")
    proposal.data["kind"] = "labels"
    proposal.model = _model(plan, lows.spatial, lows.channels, len(values))
    proposal.model |= {"n_channel_out": len(values), "labels": values}
    of = "" if read == len(truths) else f", in {read} of {len(truths)} label images"
    proposal.seen.append(f"classes: {', '.join(map(str, values))}{of}")


def _of_label_stack(found: Found, wishes: Wishes, seen: list[str], truths: Sequence) -> Proposal:
    """A stack of slices and one of their labels: slices are segmented one by one."""
    root = Path(found.root)
    stack = open_stack(root / found.low, wishes.axes)
    plan = wishes.plan("segmentation", "YX", stack.shape)
    proposal = Proposal("segmentation", {}, _slices_of(found, wishes, stack), plan.section(), seen)
    looked = Survey(1, "YX", stack.shape, stack.shape, (), 1, (), {}, None)
    _segment(proposal, plan, looked, truths, wishes.axes)
    proposal.data |= {"label_stack": found.gt, "normalization": plan.normalization}
    proposal.notes.append(
        "slices are segmented one by one; slices to test on are left for you to take out of both lists"
    )
    proposal.input = str(root / found.low)
    return proposal


# Stacks --------------------------------------------------------------------------------------------------------------


def _of_stack(found: Found, wishes: Wishes, ask: Ask) -> Proposal:
    """A stack of sections alone: slices are learned from their neighbours."""
    source = Path(found.root) / found.low
    expect(
        wishes.task in (None, "slices"), "--task", repr(wishes.task), f"'slices', {source} has no ground truth (--gt)"
    )
    stack = _with_axes(lambda axes: _opened(source, axes, wishes.dataset), wishes, ask)
    # Of slices that are aligned less is left, on both sides.
    shift = min(_LARGEST_SHIFT, min(stack.shape) // 8)
    plan = wishes.plan("slices", "YX", [n - 2 * shift for n in stack.shape])
    sizes = " x ".join(map(str, stack.shape))
    data = _slices_of(found, wishes, stack)
    data |= {"kind": "slices", "triplets": {"window": 512, "max_shift": shift}, "normalization": plan.normalization}
    seen = [
        f"a stack without ground truth, {source}: {len(stack)} slices of {sizes}, {stack.dtype}",
        f"validation: slices {data['validation_slices']}",
    ]
    model = {"preset": plan.preset, "axes": "YX", "n_channel_in": 2}
    model |= {"network": plan.network} if plan.network else {}
    notes = [f"the model makes a slice from its two neighbours; to denoise, {_NO_TRUTH.split(';')[0]}"]
    return Proposal("slices", model, data, plan.section(), seen, notes, str(source), data["validation_slices"])


def _opened(source: Path, axes: str | None, dataset: str | None) -> SerialStack:
    if source.is_file() and source.suffix.lower() not in (".h5", ".hdf", ".hdf5"):
        image = open_image(source, axes)
        if len(image.axes.replace("C", "")) < 3:
            raise InputError(f"{source}: one image ({image.axes}) and no ground truth; {_NO_TRUTH}")
    return open_stack(source, axes, dataset)


def _slices_of(found: Found, wishes: Wishes, stack: SerialStack) -> dict[str, Any]:
    """The section ``data`` of a stack, of which the last eighth is validated on."""
    count = len(stack)
    held = max(_LEAST_SLICES, count // 8)
    expect(count - held >= _LEAST_SLICES, stack.path, f"{count} slices", f"at least {2 * _LEAST_SLICES}")
    optional = {"axes": wishes.axes, "dataset": wishes.dataset}
    return {
        "kind": "labels",
        "root": found.root,
        "stack": found.low,
        **{name: value for name, value in optional.items() if value},
        "train_slices": f"0-{count - held - 1}",
        "validation_slices": f"{count - held}-{count - 1}",
    }
