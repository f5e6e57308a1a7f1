"""How a stack of slices is trained on: alone, for slice interpolation, or with one of their labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.read import open_image
from aeanet_tf.runs.find_data import Found
from aeanet_tf.runs.proposal import NO_TRUTH, Ask, Proposal, Wishes, model_section, with_axes
from aeanet_tf.runs.survey import Survey, all_class_values
from aeanet_tf.runs.training_proposal import Plan
from aeanet_tf.sections.stack import SerialStack, open_stack

_LEAST_SLICES = 3
# Of the configuration isbi2012.
_LARGEST_SHIFT = 32


def add_classes(proposal: Proposal, plan: Plan, lows: Survey, truths: Sequence, axes: str | None) -> None:
    """Make a proposal one of segmentation, of the classes that the label images have.

    Args:
        proposal: its sections ``data`` and ``model`` are changed, and what was seen is added.
        plan: how it is trained.
        lows: the images.
        truths: paths of the label images.
        axes: of the images' files; labels have no channels.

    Raises:
        InputError: there is one label only, or there are more than a network has classes for.
    """
    values, read = all_class_values(truths, axes and axes.replace("C", ""))
    expect(len(values) > 1, truths[0], f"only the label {values[0]}", "labels of at least two classes")
    expect(len(values) <= 256, truths[0], f"{len(values)} different labels", "those of a few classes")
    proposal.data["kind"] = "labels"
    proposal.model = model_section(plan, lows.spatial, lows.channels, len(values))
    proposal.model |= {"n_channel_out": len(values), "labels": values}
    of = "" if read == len(truths) else f", in {read} of {len(truths)} label images"
    proposal.seen.append(f"classes: {', '.join(map(str, values))}{of}")


def of_label_stack(found: Found, wishes: Wishes, seen: list[str], truths: Sequence) -> Proposal:
    """A stack of slices and one of their labels: slices are segmented one by one."""
    root = Path(found.root)
    stack = open_stack(root / found.low, wishes.axes)
    plan = wishes.plan("segmentation", "YX", stack.shape)
    proposal = Proposal("segmentation", {}, _slices_of(found, wishes, stack), plan.section(), seen)
    looked = Survey(1, "YX", stack.shape, stack.shape, (), 1, (), {}, None)
    add_classes(proposal, plan, looked, truths, wishes.axes)
    proposal.data |= {"label_stack": found.gt, "normalization": plan.normalization}
    proposal.seen.append(f"validation: slices {proposal.data['validation_slices']}")
    proposal.notes.append("slices are segmented one by one; leave some out of both lists to test on")
    proposal.input = str(root / found.low)
    return proposal


def of_stack(found: Found, wishes: Wishes, ask: Ask) -> Proposal:
    """A stack of sections alone: slices are learned from their neighbours."""
    source = Path(found.root) / found.low
    expect(
        wishes.task in (None, "slices"), "--task", repr(wishes.task), f"'slices', {source} has no ground truth (--gt)"
    )
    stack = with_axes(lambda axes: _opened(source, axes, wishes.dataset), wishes, ask)
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
    notes = [f"the model makes a slice from its two neighbours; to denoise, {NO_TRUTH.split(';')[0]}"]
    return Proposal("slices", model, data, plan.section(), seen, notes, str(source), data["validation_slices"])


def _opened(source: Path, axes: str | None, dataset: str | None) -> SerialStack:
    if source.is_file() and source.suffix.lower() not in (".h5", ".hdf", ".hdf5"):
        image = open_image(source, axes)
        if len(image.axes.replace("C", "")) < 3:
            raise InputError(f"{source}: one image ({image.axes}) and no ground truth; {NO_TRUTH}")
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
