"""Tiles of images, and what is to be predicted of them and how, in one object that every worker gets."""

from itertools import groupby, pairwise, product
from typing import Any, NamedTuple

from aeanet_tf.networks import as_spec
from aeanet_tf.networks.graph import cells
from aeanet_tf.prediction.stages import PackedStages


class Tile(NamedTuple):
    """A tile, one entry a spatial axis.

    Attributes:
        read: ``(start, stop)`` in the image, halo included.
        inner: ``(start, stop)`` in what was read: without the halo. The inner parts of all tiles cover the image once.
    """

    read: tuple[tuple[int, int], ...]
    inner: tuple[tuple[int, int], ...]

    @property
    def source(self):
        """Slices of the image to read."""
        return tuple(slice(*bounds) for bounds in self.read)

    @property
    def target(self):
        """Slices of the image that the inner part covers."""
        return tuple(slice(r[0] + i[0], r[0] + i[1]) for r, i in zip(self.read, self.inner, strict=True))


def cut_evenly(size, n_tiles, step):
    """Edges of tiles that begin on multiples of a step: for each axis the first, those between tiles, and the last.

    Args:
        size: of the image.
        n_tiles: number of tiles along each axis; they differ by at most one step, the last may be smaller.
        step: one number an axis; an axis has no fewer steps than tiles.
    """
    edges = []
    for n, count, unit in zip(size, n_tiles, step, strict=True):
        blocks = -(-n // unit)
        edges.append([*(unit * (i * blocks // count) for i in range(count)), n])
    return edges


def tiles(size, edges, divisor, radius):
    """The tiles between edges, each with the halo that it has to read.

    A tile reads at least the receptive radius around its inner part, from the next multiple of the divisor, so that
    strided layers meet the same positions as in the whole image; and nothing at the borders of the image, where
    ``same`` padding has to act as in the whole image.

    Args:
        size: of the image, in multiples of ``divisor``.
        edges: of the inner parts, ascending, one list an axis; they need not reach the borders of the image.
        divisor, radius: of the network, one number an axis.

    Returns:
        List of `Tile`, the last axis fastest.
    """
    axes = [_along(*facts) for facts in zip(size, edges, divisor, radius, strict=True)]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*axes)]


def _along(size, edges, step, radius):
    parts = []
    for start, stop in pairwise(edges):
        first, last = max(0, (start - radius) // step * step), min(size, -(-(stop + radius) // step) * step)
        parts.append(((first, last), (start - first, stop - first)))
    return parts


class Frame(NamedTuple):
    """One image of a job.

    Attributes:
        source: ``source[slices]`` gives ``(*spatial, channels)`` of the normalised, padded image, whose shape it has.
        target: ``target.write(slices, values)`` takes the network's output; slices as for the source, without z for a
            projection, in positions of the output where it is larger than the image.
        edges: of the tiles of the stages that gather moments, on the network's grid, one list an axis.
        output_edges: of the tiles of the last stage; any positions.
    """

    source: Any
    target: Any
    edges: list
    output_edges: list


class Job:
    """Frames that share one attention context, the network's stages, and where features are kept.

    It can be pickled where sources, targets and features can: the network goes as a `PackedStages`.

    Args:
        stages: `Stages` or `OwnAttention`.
        spec: of their network.
        frames: list of `Frame`.
        features: `Features`.
        batch: how many tiles are evaluated together; more than 1 for `OwnAttention` only.
    """

    def __init__(self, stages, spec, frames, features, batch=1):
        self.stages, self.spec, self.frames, self.features, self.batch = stages, spec, frames, features, batch
        self._tiles = {}

    def __getstate__(self):
        return {**vars(self), "stages": PackedStages(self.stages, self.spec), "spec": None, "_tiles": {}}

    def __setstate__(self, state):
        vars(self).update(state)
        self.spec, self.stages = as_spec(self.stages.spec), self.stages.stages()

    def tiles(self, stage, frame):
        """The list of `Tile` of a frame in a stage."""
        if (stage, frame) not in self._tiles:
            source, _, edges, output_edges = self.frames[frame]
            this = self.stages.stages[stage]
            edges = output_edges if this.operator is None else edges
            self._tiles[stage, frame] = tiles(source.shape[:-1], edges, self.spec.divisor, this.radius)
        return self._tiles[stage, frame]

    def tasks(self, stage):
        """All ``(frame, tile)`` indices of a stage."""
        return [(f, t) for f in range(len(self.frames)) for t in range(len(self.tiles(stage, f)))]

    def groups(self, stage, tasks):
        """Lists of tasks that are evaluated together: up to `batch` of those in a row whose tiles are alike.

        They are counted from the first task of the stage, done or not, and hold the done ones, too: the last bits
        depend on how many are evaluated together and in which place, and a run that is taken up again gives the same.
        """
        if self.batch == 1:
            return [[task] for task in tasks]
        rows = [list(row) for _, row in groupby(self.tasks(stage), lambda task: self._form(stage, *task))]
        groups = [row[i : i + self.batch] for row in rows for i in range(0, len(row), self.batch)]
        return [group for group in groups if not set(tasks).isdisjoint(group)]

    def _form(self, stage, frame, tile):
        part = self.tiles(stage, frame)[tile]
        return [stop - start for start, stop in part.read], part.inner

    def kept_shape(self, tensor, frame):
        """Shape of kept features of a frame."""
        strides = self.stages.graph.strides(tensor)
        size = self.frames[frame].source.shape[:-1][-len(strides) :]
        return (*map(cells, size, strides), tensor.shape[-1])

    def kept_name(self, tensor, frame):
        """Under which `Features` has kept features of a frame."""
        index = next(i for i, other in enumerate(self.stages.features) if other is tensor)
        return f"features{index}-frame{frame}"

    def read(self, stage, frame, tile):
        """The arrays that a stage starts from, over a tile."""
        part, source = self.tiles(stage, frame)[tile], self.frames[frame].source
        return [
            source[part.source]
            if tensor is self.stages.graph.image
            else self.features.read(*self._kept(tensor, frame, part.source))
            for tensor in self.stages.stages[stage].inputs
        ]

    def compute(self, stage, group, inputs, contexts):
        """What `Stages.run` gives for each of a group of tasks (`groups`), from what `read` gave for each.

        Args:
            stage, group, inputs: see there.
            contexts: the `Moments` of the operators before, each merged over the frames.
        """
        frame, tile = group[0]
        inner = self.tiles(stage, frame)[tile].inner
        if self.batch == 1:
            return [self.stages.run(stage, inputs[0], inner, contexts)]
        return self.stages.run_alike(inputs, inner)

    def write(self, stage, frame, tile, result):
        """Write what `Stages.run` gave for a tile: features to keep, the output in the last stage.

        Returns:
            The `Moments` of the tile, ``None`` in the last stage.
        """
        this, part, (output, kept) = self.stages.stages[stage], self.tiles(stage, frame)[tile], result
        for tensor, values in zip(this.keeps, kept, strict=True):
            self.features.write(*self._kept(tensor, frame, part.target), values)
        if this.operator is not None:
            return output
        self.frames[frame].target.write(self._of_tensor(this.target, part.target), output)
        return None

    def _kept(self, tensor, frame, slices):
        """Name and shape of kept features, and the piece of them for slices of the image."""
        own = self._of_tensor(tensor, slices)
        return self.kept_name(tensor, frame), self.kept_shape(tensor, frame), (*own, slice(0, tensor.shape[-1]))

    def _of_tensor(self, tensor, slices):
        """Slices of the image as those of a tensor, which may lack the image's first axes: a projection's does."""
        strides = self.stages.graph.strides(tensor)
        pairs = zip(slices[-len(strides) :], strides, strict=True)
        return tuple(slice(cells(part.start, stride), cells(part.stop, stride)) for part, stride in pairs)
