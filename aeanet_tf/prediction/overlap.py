"""Tiles evaluated one after the other, while the next one is read and the last one is written."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def overlapped(job, stage, tasks, contexts):
    """Evaluate tiles as `Job.evaluate` does, each of them read ahead, and written while the next is computed.

    The network runs in the thread of the caller. Another thread reads one tile at a time, and another one writes:
    beside the tile that is computed there are at most the input of the next and what the last one gave
    (`tile_bytes`). Both threads have ended when this has, for whatever reason.

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
    with ThreadPoolExecutor(2, "aeanet tiles") as threads:
        reading, writing = threads.submit(job.read, stage, *tasks[0]), []
        try:
            for task, following in pairwise([*tasks, None]):
                inputs = reading.result()
                reading = following and threads.submit(job.read, stage, *following)
                found = job.compute(stage, *task, inputs, contexts)
                inputs = None
                yield from _written(writing)
                writing.append((task, threads.submit(job.write, stage, *task, found)))
                found = None
        except GeneratorExit:
            raise
        except BaseException:
            # Ctrl-C and a lack of memory, too: the tile before is not to be computed again.
            yield from _written(writing)
            raise
        yield from _written(writing)


def _written(writing):
    """Wait for what is being written, and yield its task and moments; nothing where nothing is."""
    while writing:
        task, future = writing.pop()
        yield task, future.result()
