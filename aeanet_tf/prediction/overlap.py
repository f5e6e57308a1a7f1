"""Tiles evaluated one after the other, while the next ones are read and the last ones are written."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def overlapped(job, stage, tasks, contexts):
    """Evaluate tiles as `Job.evaluate` does, each of them read ahead, and written while the next is computed.

    The network runs in the thread of the caller. Another thread reads one tile at a time, and another one writes:
    beside the tile that is computed there are at most the input of the next and what the last one gave
    (`tile_bytes`). Both threads have ended when this has, for whatever reason; a single tile takes none. Tiles that are
    evaluated together (`Job.groups`) count as one.

    Args:
        job: a `Job`.
        stage: index of the stage.
        tasks: list of ``(frame, tile)`` indices.
        contexts: see `Job.evaluate`.

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
