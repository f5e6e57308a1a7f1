"""Tiled prediction that equals the prediction of the whole image."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise, product

import numpy as np

from aeanet_tf.layers.moments import Moments
from aeanet_tf.networks.graph import cells
from aeanet_tf.prediction.kept import Journal


def run_job(job, workers=None, journal=None, progress=None):
    """Predict the frames of a job in tiles that share one attention context.

    A network with A attention operators takes A + 1 sweeps over the tiles: each of the first A gathers the context
    moments of one operator, every position counted once, given those before it; the last writes the output.
    Everything between the operators is local, so tiles with a halo of the receptive radius give what the whole image
    would, but for rounding. Memory is that of a tile and of the features kept in memory.

    Args:
        job: a `Job`.
        workers: a `Cluster`, which evaluates tiles in any order; ``None`` evaluates them in this process.
        journal: a `Journal`; what it has is not evaluated again.
        progress: called after each tile of each sweep with a line that says which, and the number of tiles of all
            sweeps that are left to do.
    """
    evaluate = overlapped if workers is None else workers.run
    journal = Journal() if journal is None else journal
    stages = job.stages.stages
    total = sum(len(job.tasks(s)) - len(journal.done(s, _channels(stage))) for s, stage in enumerate(stages))
    contexts = []
    for index, stage in enumerate(stages):
        done = journal.done(index, _channels(stage))
        todo = [task for task in job.tasks(index) if task not in done]
        if todo:
            for tensor, frame in product(stage.keeps, range(len(job.frames))):
                job.features.create(job.kept_name(tensor, frame), job.kept_shape(tensor, frame))
        # Closed, so that nothing is written any more where the journal or the caller fails.
        with closing(evaluate(job, index, todo, contexts)) as results:
            for task, moments in results:
                journal.enter(index, task, moments)
                if progress is not None:
                    progress(_line(job, index), total)
        if stage.operator is not None:
            contexts.append(merged(journal.moments(index, _channels(stage))))
        _drop_features(job, index)


def _channels(stage):
    return 0 if stage.operator is None else stage.target.shape[-1]


def _line(job, index):
    operator = job.stages.stages[index].operator
    return "output" if operator is None else f"attention {index + 1} of {len(job.stages.attention)} ({operator.name})"


def _drop_features(job, index):
    """Free the features that no later stage starts from."""
    later = [tensor for stage in job.stages.stages[index + 1 :] for tensor in stage.inputs]
    for tensor in job.stages.stages[index].inputs:
        if tensor is not job.stages.graph.image and not any(tensor is other for other in later):
            for frame in range(len(job.frames)):
                job.features.drop(job.kept_name(tensor, frame))


def merged(gathered):
    """Moments of all tiles together, added one by one in float64: how they were cut does not show in float32."""
    weight = mean = second = 0.0
    for moments in gathered:
        n = float(moments.weight[0])
        weight = weight + n
        mean = mean + n * np.asarray(moments.mean, "float64")
        second = second + n * np.asarray(moments.second, "float64")
    return Moments(np.asarray([weight], "float32"), *(np.float32(total / weight) for total in (mean, second)))


class ArrayTarget:
    """An array for the output of a network for an image of a size; a projection's lacks the first axis.

    Args:
        size: of the image.
        graph: the `NetworkGraph`.
    """

    def __init__(self, size, graph):
        strides = graph.strides(graph.output)
        spatial = map(cells, size[len(size) - len(strides) :], strides)
        self.array = np.empty((*spatial, graph.output.shape[-1]), "float32")

    def write(self, slices, values):
        """Write a piece."""
        self.array[slices] = values


def overlapped(job, stage, tasks, contexts):
    """Evaluate tiles in one stage, each of them read ahead, and written while the next is computed.

    The network runs in the thread of the caller. Another thread reads one tile at a time, and another one writes:
    beside the tile that is computed there are at most the input of the next and what the last one gave
    (`tile_bytes`). Both threads have ended when this has, for whatever reason; a single tile takes none. Tiles that are
    evaluated together (`Job.groups`) count as one.

    Args:
        job: a `Job`.
        stage: index of the stage.
        tasks: list of ``(frame, tile)`` indices.
        contexts: see `Job.compute`.

    Yields:
        ``(frame, tile), moments`` in the order of the tasks, each when all that it writes is written.

    Raises:
        Exception: what reading, computing or writing raised, as it was, after the tiles before have been yielded.
    """
    groups, wanted = job.groups(stage, tasks), set(tasks)

    def read(group):
        return [job.read(stage, *task) for task in group]

    def write(group, results):
        pairs = zip(group, results, strict=True)
        return [(task, job.write(stage, *task, result)) for task, result in pairs if task in wanted]

    if len(groups) < 2:
        for group in groups:
            yield from write(group, job.compute(stage, group, read(group), contexts))
        return
    with ThreadPoolExecutor(2, "aeanet tiles") as threads:
        reading, writing = threads.submit(read, groups[0]), []
        try:
            for group, following in pairwise([*groups, None]):
                inputs = reading.result()
                reading = following and threads.submit(read, following)
                results = job.compute(stage, group, inputs, contexts)
                inputs = None
                yield from _written(writing)
                writing.append(threads.submit(write, group, results))
                results = None
        except GeneratorExit:
            raise
        except BaseException:
            # Ctrl-C and a lack of memory, too: the tile before is not to be computed again.
            yield from _written(writing)
            raise
        yield from _written(writing)


def _written(writing):
    """Wait for what is being written, and yield its tasks and moments; nothing where nothing is."""
    while writing:
        yield from writing.pop().result()
