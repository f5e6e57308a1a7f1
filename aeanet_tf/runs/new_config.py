"""A run configuration for data that someone wants to train on."""

from pathlib import Path

from aeanet_tf.datasets.pairs import check_npz, npz_header
from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.series import find_series
from aeanet_tf.runs.find_data import Found
from aeanet_tf.runs.pairs_proposal import of_pairs
from aeanet_tf.runs.proposal import NO_TRUTH, Ask, Proposal, Wishes, model_section, validation_line
from aeanet_tf.runs.stack_proposal import of_stack


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
    if found.kind == "stack" or wishes.task == "slices":
        return of_stack(found, wishes, ask)
    if found.kind == "pairs":
        return of_pairs(found, wishes, ask)
    paths = find_series(Path(found.root) / found.low, wishes.series)
    raise InputError(
        f"{Path(found.root) / found.low}: {len(paths)} images and no ground truth; {NO_TRUTH}. Where names tell them "
        "apart, --low '*_a.tif' --gt '*_b.tif'"
    )


def _of_patches(found: Found, wishes: Wishes) -> Proposal:
    path = Path(found.root) / found.low
    axes, shapes = npz_header(path, wishes.axes)
    check_npz(path, axes, shapes, 0.1)
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
        validation_line(x["S"], "patches"),
    ]
    data = {"kind": "npz", "root": found.root, "npz": found.low, **({"axes": wishes.axes} if wishes.axes else {})}
    model = model_section(plan, spatial, x["C"], y["C"])
    return Proposal(task, model, data, plan.section(patches=False), seen, input="IMAGES")
