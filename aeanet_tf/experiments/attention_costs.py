"""Table 2 of the SSAN paper: what the attention of slice interpolation costs."""

from functools import partial

import keras
import numpy as np

from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments import published
from aeanet_tf.experiments.step_times import median_seconds
from aeanet_tf.layers import AEABlock, AttentionAwareLayer, attention_factors

SIDE, CHANNELS = 512, 64
KINDS = {"Self-attention, dense": "dense", "SSA, one level": "interlaced", "AAL, two levels": "sparse"}
AEA = "AEA block"
COLUMNS = {
    "memory": ("largest matrices (GiB)", 3),
    "flops": ("GFLOPs", 2),
    "parameters": ("parameters (millions)", 4),
    "time": ("time (ms)", 0),
}
# Beyond these no layer is run: GiB of one step's matrices, which exist several times.
_LARGEST = 2
_REPEATS, _TRIAL_SIDE = 3, 64
_PLACES = {"short": 0, "long-short": 1, "long-long": 2}


def costs_table(budget):
    """The table of `SIDE` x `SIDE` features of `CHANNELS` channels, with times of this machine.

    Args:
        budget: a tiny one times smaller features.
    """
    side = SIDE if budget.images is None else _TRIAL_SIDE
    layers = {label: AttentionAwareLayer(kind=kind) for label, kind in KINDS.items()} | {AEA: AEABlock(CHANNELS)}
    rows = {label: {} for label in (*published.SSAN_TABLE2, AEA)}
    for label, layer in layers.items():
        layer.build((None, None, None, CHANNELS))
        counted = counted_costs(layer, SIDE) if label in KINDS else {}
        counted["parameters"] = sum(int(np.prod(w.shape)) for w in layer.trainable_weights if w.name != "gamma") / 1e6
        if counted.get("memory", 0) < _LARGEST:
            counted["time"] = 1000 * seconds(layer, side)
        rows[label] = {COLUMNS[key][0]: Cell(value) for key, value in counted.items()}
    for label, figures in published.SSAN_TABLE2.items():
        for key, value in figures.items():
            title = COLUMNS[key][0]
            rows[label][title] = rows[label].get(title, Cell())._replace(published=value)
    caption = (
        f"Table 2: attention to features of {SIDE} x {SIDE} x {CHANNELS}. Matrices: the weights of one step in float32 "
        "(published: all memory). GFLOPs: a multiplication and an addition are two, projections and products with the "
        f"weights. Time: the median of {_REPEATS} evaluations, {side} x {side} positions, on this machine (published: "
        "a P40 GPU). Dense attention is counted, not run."
    )
    return caption, dict(COLUMNS.values()), rows


def counted_costs(layer, side):
    """Of a built `AttentionAwareLayer` on ``side`` x ``side`` positions: GiB of the largest matrices, and GFLOPs.

    Padding counts. Of each unit: the projections to keys, queries and values and back, and at each position, for each
    of its group, a product over the channels of keys and one over those of values.
    """
    factors = attention_factors(side, layer.kind)
    positions = int(np.prod(factors)) ** 2
    matrices, products = [], 0
    for step, unit in layer.units.items():
        group = factors[_PLACES[step]] ** 2
        channels = [int(np.prod(projection.kernel.shape)) for projection in (unit.f, unit.g, unit.h, unit.v)]
        matrices.append(4 * positions * group)
        products += positions * (sum(channels) + group * (unit.f.filters + unit.h.filters))
    return {"memory": max(matrices) / 2**30, "flops": 2 * products / 1e9}


def seconds(layer, side):
    """Median seconds of a compiled evaluation on ``side`` x ``side`` positions."""
    x = np.random.default_rng(0).normal(size=(1, side, side, CHANNELS)).astype("float32")
    features = keras.Input(x.shape[1:])
    model = keras.Model(features, layer(features))
    evaluate = partial(model.predict_on_batch, x)
    # The first traces it.
    evaluate()
    return median_seconds(evaluate, _REPEATS)
