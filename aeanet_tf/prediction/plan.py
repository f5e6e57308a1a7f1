"""How to predict within a given memory: in how many tiles, and which features are kept."""

import logging
from math import ceil, prod
from typing import NamedTuple

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.prediction.liveness import tile_bytes
from aeanet_tf.prediction.stages import Stages, attends, can_be_swept

logger = logging.getLogger("aeanet_tf")

# What it takes to write and read one number of a kept feature, in multiplications of the network's convolutions that
# take as long. Measured on two cores with files that the system's cache holds: about 1500 (aeanet-em at 2048 x 2048:
# keeping 56, 24 or no numbers a pixel took the same time); more, since disks are slower than the cache.
FILE_COST, MEMORY_COST = 2000, 500
# Small tiles are evaluated together. Measured on two cores (aeanet-em), 8 together take 0.61 (64 x 64), 0.77 (96 x 96)
# and 0.88 (128 x 128) of the time of 8 in turn; from there on it hardly falls, and memory grows.
MOST_TOGETHER, POSITIONS_TOGETHER = 8, 2**17
# What a sweep takes besides for several workers, in multiplications that take as long: about a second of a core, while
# each of them gets the job and traces the stage (`benchmarks/scaling.py`).
SWEEP_COST = 2e10
# Tiles for each of several workers, up to which it is looked whether more of them end sooner.
ROUNDS = 4
# Times the arithmetic of the image in one piece, from which on a user is told what would take less.
LONG = 20


class Plan(NamedTuple):
    """How images are predicted.

    Attributes:
        n_tiles: number of tiles along each spatial axis of the largest image.
        size: of the largest image.
        kept: density up to which features are kept, see `Stages`.
        tile_bytes: predicted peak memory of the evaluation of a tile, with those before and after it (`overlapped`).
        kept_bytes: what the kept features take at most at a time.
        memory: both together, without what is kept on disk.
        cost: multiplications in all, in units of those of the images in one piece.
        shared: whether the tiles share one attention context.
        batch: how many tiles are evaluated together, see `Job`.
        attends: whether the network has attention at all; without it tiles are exact as they are.
        duration: multiplications that one worker makes after the other, waiting for others included, in the same units.
    """

    n_tiles: tuple
    size: tuple
    kept: float
    tile_bytes: float
    kept_bytes: float
    memory: float
    cost: float
    shared: bool
    batch: int = 1
    attends: bool = True
    duration: float = 0.0

    def tiles_for(self, size, step):
        """Numbers of tiles, about as large, for another image of the group; no more than it has steps."""
        counts = zip(self.n_tiles, self.size, size, step, strict=True)
        # What is whole in the largest is whole in all: z of a stack to be projected cannot be cut.
        return [1 if n == 1 else max(1, min(ceil(n * own / largest), own // unit)) for n, largest, own, unit in counts]

    def line(self, on_disk):
        """What was decided, for the log."""
        tiles = " x ".join(map(str, self.n_tiles))
        if prod(self.n_tiles) == 1 and not self.shared:
            return f"in one piece, about {_size(self.tile_bytes)}"
        if not self.shared:
            whose = " with attention of their own" if self.attends else ""
            return f"{tiles} tiles{whose}, about {_size(self.tile_bytes)} each"
        if self.kept:
            features = f"features up to {self.kept:g} numbers a pixel are kept "
            features += f"{'on disk' if on_disk else 'in memory'} ({_size(self.kept_bytes)})"
        else:
            features = "features are evaluated anew in each sweep"
        return f"{tiles} tiles, about {_size(self.tile_bytes)} each; {features}; {self.cost:.2f} times the arithmetic"


class Budget(NamedTuple):
    """What a prediction may take.

    Attributes:
        memory: bytes for the evaluation of a tile and for features in memory; ``None`` for no limit.
        disk: bytes for features on disk; ``None`` keeps them in memory.
        workers: processes that evaluate tiles at the same time.
        images: how many images are evaluated at the same time, unless their tiles share a context, which are then
            evaluated image by image.
    """

    memory: float | None
    disk: float | None = None
    workers: int = 1
    images: int = 1


def make_plan(own, spec, sizes, budget, n_tiles=None, shared=True, group=False):
    """Choose the tiles and the features to keep: what takes the least arithmetic within the budget.

    The image in one piece is preferred where it fits. Otherwise tiles are cut along the longest side until the
    evaluation of one fits, by the model of `tile_bytes`. For several workers images are cut further, also such as fit
    in one piece, where that ends sooner and the result is that of the whole image.

    Args:
        own: `OwnAttention` of the network.
        spec: its spec.
        sizes: padded spatial sizes of the images, which are predicted together.
        budget: a `Budget`.
        n_tiles: given numbers of tiles along the axes; only what is kept is chosen then.
        shared: ``False`` for tiles that have attention of their own.
        group: whether the images share one context, which takes the sweeps for images in one piece, too.

    Returns:
        A `Plan`.

    Raises:
        InputError: the smallest tiles do not fit into the budget.
    """
    plan = _chosen(own, spec, sizes, budget, n_tiles, shared, group)
    if prod(plan.n_tiles) > 1:
        own.graph.tell_of_tiles()
    return plan


def _chosen(own, spec, sizes, budget, n_tiles, shared, group):
    whole_tiles, network = (1,) * spec.dimension, own.graph.network
    whole = _evaluate(own, spec, sizes, whole_tiles, budget, own)
    asked = shared and attends(network)
    shared = asked and can_be_swept(network) and not own.graph.unknown
    if own.graph.unknown or (attends(network) and not shared):
        # Tiles would change the result: they are as few as fit.
        budget = budget._replace(workers=1)
    in_one_piece = prod(n_tiles or whole_tiles) == 1 and not (group and shared)
    fits = in_one_piece and _fits(whole, budget)
    if in_one_piece and (n_tiles is not None or (fits and budget.workers == 1)):
        _warn_of_memory(whole, budget)
        return whole
    if asked and not shared:
        logger.warning("tiling: this network's attention cannot be shared, each tile has its own")
    nothing_kept = Stages(network) if shared else own
    ways = [nothing_kept, *(Stages(network, kept) for kept in (nothing_kept.densities() if shared else ()))]
    plans = [_tiled(stages, spec, sizes, n_tiles, budget, own) for stages in ways]
    fitting = [plan for plan in ([whole] if fits else []) + plans if _fits(plan, budget)]
    if not fitting and n_tiles is None:
        least, left = _size(min(plan.memory for plan in plans)), _size(max(0, budget.memory))
        raise InputError(f"max_memory: {left} are left for the network, the smallest tiles take {least}")
    if not fitting:
        # The tiles are given, and nothing kept takes the least memory.
        _warn_of_memory(plans[0], budget)
        return plans[0]
    # The fewest features that are worth it.
    chosen = _soonest(fitting)
    if chosen.cost > LONG:
        text = "tiling: exact tiles take %.0f times the arithmetic of one piece, as features do not fit into memory"
        logger.warning(f"{text}; aeanet predict keeps them on disk", chosen.cost)
    return chosen


def _soonest(plans):
    """The first of the plans that ends as soon as any, within 5 %."""
    enough = 1.05 * min(plan.duration for plan in plans)
    return next(plan for plan in plans if plan.duration <= enough)


def tile_reads(size, count, divisor, radius):
    """Lengths along one axis that tiles read, their halos included."""
    length = ceil(size / count)
    starts = np.arange(0, size, length)
    stops = np.minimum(starts + length, size)
    first = np.maximum(0, (starts - radius) // divisor * divisor)
    last = np.minimum(size, -(-(stops + radius) // divisor) * divisor)
    # Tiles may begin off the grid, and be longer by a step than their share.
    return np.minimum(size, last - first + (divisor if count > 1 else 0))


def most_tiles(network, spec, size):
    """The largest numbers of tiles for an image: one a step of the grid, 1 along an axis that the output lacks."""
    missing = spec.dimension - (len(network.outputs[0].shape) - 2)
    return [1] * missing + [n // step for n, step in zip(size[missing:], spec.divisor[missing:], strict=True)]


def longest_side(size, counts, most):
    """The axis along which tiles are longest and may be more; ``None`` where they are as many as there can be."""
    lengths = [n / count if count < limit else 0 for n, count, limit in zip(size, counts, most, strict=True)]
    return int(np.argmax(lengths)) if any(lengths) else None


def most_together(size, room=None):
    """How many tiles with attention of their own are worth evaluating together: 1 for all but small ones, and no more
    than there is ``room`` for."""
    worth = min(MOST_TOGETHER, POSITIONS_TOGETHER // prod(size))
    return max(1, worth if room is None else min(worth, int(room)))


def _tiled(stages, spec, sizes, n_tiles, budget, own):
    """The plan for given stages: with the given tiles, or with the fewest that fit, or the smallest; for several
    workers with those of all that fit that end soonest."""
    if n_tiles is not None:
        return _evaluate(stages, spec, sizes, n_tiles, budget, own)
    largest = max(sizes, key=prod)
    most = most_tiles(stages.graph.network, spec, largest)
    counts, fitting = [1] * spec.dimension, []
    enough = 1 if budget.workers == 1 else ROUNDS * budget.workers
    while True:
        plan = _evaluate(stages, spec, sizes, counts, budget, own)
        axis = longest_side(largest, counts, most)
        if _fits(plan, budget):
            fitting.append(plan)
        if fitting and (axis is None or prod(counts) >= enough):
            return _soonest(fitting)
        if axis is None:
            return plan
        # In larger steps where there are many already.
        counts[axis] = min(most[axis], counts[axis] + max(1, counts[axis] // 8))


def _evaluate(stages, spec, sizes, counts, budget, own):
    """The `Plan` for given stages and tiles."""
    largest, shared = max(sizes, key=prod), isinstance(stages, Stages)
    peak, cost, batch = 0.0, 0.0, 1
    for stage in stages.stages:
        # In one piece nothing is read beyond it, and how far a network sees may have to be measured.
        radius = (0,) * spec.dimension if prod(counts) == 1 else stage.radius
        reads = [tile_reads(*facts) for facts in zip(largest, counts, spec.divisor, radius, strict=True)]
        peak = max(peak, tile_bytes(stages.graph, stage, [int(r.max()) for r in reads], overlapped=True))
        if not shared:
            batch = most_together([int(r.max()) for r in reads], budget.memory and budget.memory / peak)
        cost += stage.cost * prod(float(r.sum()) / n for r, n in zip(reads, largest, strict=True))
        per_number = MEMORY_COST if budget.disk is None else FILE_COST
        cost += per_number * sum(stages.graph.density(t) for t in stage.keeps)
    kept = 4 * _live_numbers(stages, sizes)
    memory = batch * peak + (kept if budget.disk is None else 0)
    # A network may have no weights.
    cost /= own.stages[0].cost or 1
    # Tiles that share a context wait for each other at the end of each sweep, and images for the tiles of those before.
    tasks = prod(counts) * (len(sizes) if shared else max(len(sizes), budget.images))
    duration = cost * ceil(tasks / budget.workers) / tasks
    if budget.workers > 1:
        duration += SWEEP_COST * len(stages.stages) / (tasks / prod(counts) * prod(largest) * (own.stages[0].cost or 1))
    facts = (tuple(counts), tuple(largest), stages.kept, peak, kept, memory, cost, shared, batch)
    return Plan(*facts, attends(own.graph.network), duration)


def _live_numbers(stages, sizes):
    """The most numbers of kept features that are alive at a time."""
    most, alive = 0, []
    for index, stage in enumerate(stages.stages):
        alive += stage.keeps
        most = max(most, sum(_numbers(stages.graph, t, sizes) for t in alive))
        later = [id(t) for s in stages.stages[index + 1 :] for t in s.inputs]
        alive = [t for t in alive if id(t) in later]
    return most


def _numbers(graph, tensor, sizes):
    strides = graph.strides(tensor)
    return float(sum(prod(size[-len(strides) :]) for size in sizes) * tensor.shape[-1] / prod(strides))


def _warn_of_memory(plan, budget):
    if not _fits(plan, budget):
        message = "n_tiles: the tiles take about %s, and %s are left for them"
        logger.warning(message, _size(plan.memory), _size(budget.memory))


def _fits(plan, budget):
    fits_disk = budget.disk is None or plan.kept_bytes <= budget.disk
    return fits_disk and (budget.memory is None or plan.memory <= budget.memory)


def _size(count):
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
