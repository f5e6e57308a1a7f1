"""Tiles evaluated by the workers of a dask.distributed cluster, on this machine or others."""

import ctypes
import logging
import os
import pickle
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4
from weakref import WeakKeyDictionary

from aeanet_tf.errors import InputError, UnfinishedError, one_line
from aeanet_tf.files import replacing
from aeanet_tf.prediction.machine import available_bytes, resident_bytes

logger = logging.getLogger("aeanet_tf")

# Seconds to wait for a scheduler.
PATIENCE = 20
# Parts that each worker gets of what all of them go through: those that are faster take more. Of tiles more, for less
# to be waited for in the end, and to be done again where a worker is lost.
PARTS, TILE_PARTS = 4, 16
# Bytes that a worker keeps of what is freed.
KEPT = 2**26


class Cluster:
    """Evaluates the tiles of a job on a cluster; the counterpart of `overlapped`.

    The job and the contexts are files in a folder that all workers see, as they see the images; tiles and features
    are written in place, moments come back. A worker that is lost costs the tiles it was at, which others take over.

    Args:
        client: a ``distributed.Client``.
        folder: for the files, shared with the workers.
    """

    def __init__(self, client, folder):
        self.client, self.folder = client, Path(folder)

    def run(self, job, stage, tasks, contexts):
        """Yield ``(frame, tile), moments`` for each of the tasks, when it is finished.

        Where there are many tiles for each worker it gets several in a row at a time: scheduling takes milliseconds
        for each part, so that a thousand workers would wait for it. A worker reads a tile while it computes the one
        before (`overlapped`).

        Raises:
            UnfinishedError: the workers that were given a tile died of it, or the scheduler is lost.
        """
        from distributed import as_completed

        if not tasks:
            return
        path = self._send((job, contexts))
        parts = self._parts(tasks, TILE_PARTS)
        submit = partial(self.client.submit, _evaluate, str(path), stage, pure=False)
        futures = {submit(part, key=f"{path.stem}-{stage}-{part[0]}") for part in parts}
        try:
            for future in as_completed(list(futures), loop=self.client.loop):
                futures.discard(future)
                yield from _result(future)
        finally:
            # What is left when a tile has failed, or the run is stopped.
            with suppress(Exception):
                self.client.cancel(list(futures))
            path.unlink(missing_ok=True)

    def each(self, function, items):
        """Yield ``count, function(part)`` for parts of the items, in their order; the parts cover all items.

        Args:
            function: of a list of items; it can be pickled, and so can what it gives.
            items: a list.

        Raises:
            UnfinishedError: as `run`.
        """
        parts = self._parts(items, PARTS)
        futures = [self.client.submit(_alone, function, part, pure=False) for part in parts]
        try:
            for index, part in enumerate(parts):
                yield len(part), _result(futures[index])
                # The worker forgets what it gave.
                futures[index] = None
        finally:
            with suppress(Exception):
                self.client.cancel([future for future in futures if future is not None])

    def _parts(self, items, share):
        """Lists of items in a row, at least ``share`` for each worker unless there are fewer items."""
        count = max(1, len(items) // (share * max(1, len(self.client.nthreads()))))
        return [items[start : start + count] for start in range(0, len(items), count)]

    def _send(self, content):
        # A name of its own: workers remember what they have loaded, a scheduler what it has done.
        path = (self.folder / f"job-{uuid4().hex}.pickle").resolve()
        with replacing(path) as temporary, open(temporary, "wb") as file:
            pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
        return path


def _result(future):
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise UnfinishedError(
            f"workers: {error.allowed_failures + 1} of them died on the same tile, out of memory perhaps; "
            "try more tiles or fewer workers"
        ) from None
    except (CancelledError, OSError) as error:
        if future.status not in ("cancelled", "lost"):
            raise
        raise UnfinishedError(f"scheduler: the connection is lost ({one_line(error)}); what is done is kept") from None


def _alone(function, *args):
    with _one_at_a_time:
        return function(*args)


def _evaluate(path, stage, tasks):
    # Workers may have several threads: the memory that a plan allows for is that of one tile.
    with _one_at_a_time:
        job, contexts = _load(path)
        # Only now: it imports the backend.
        from aeanet_tf.prediction.sweeps import overlapped

        try:
            return list(overlapped(job, stage, tasks, contexts))
        except Exception as error:
            # TensorFlow's own exceptions cannot be sent to another process.
            if type(error).__name__ == "ResourceExhaustedError":
                raise MemoryError from None
            raise


_one_at_a_time = Lock()


@lru_cache(maxsize=1)
def _load(path):
    _begin()
    with open(path, "rb") as file:
        return pickle.load(file)


def _begin():
    from aeanet_tf.startup import load_backend

    load_backend()
    _keep_freed_memory()


def _keep_freed_memory():
    """Have the C library keep memory that arrays have freed, as it comes to do by itself in any other process.

    dask starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``: every array of every tile is then new memory, which the
    system fills with zeros first. Small networks took twice the time (``benchmarks/scaling.py``). Only glibc has this.
    """
    # `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of malloc.h, and the most that glibc raises them to.
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, KEPT)
        mallopt(-3, KEPT // 2)


class WorkerMemory(NamedTuple):
    """Memory of the workers, with the backend loaded.

    Attributes:
        available: bytes that each of them may take besides: those of a machine are shared by its workers.
        held: bytes that one holds, at most, and keeps of what is freed.
    """

    available: float
    held: float


def worker_memory(client):
    """The `WorkerMemory` of a ``distributed.Client``, as it is when first asked for: evaluations leave memory in
    TensorFlow's pool, which is used again."""
    if client not in _known_memory:
        # To others where a worker has gone in the meantime.
        submit = partial(client.submit, _loaded_bytes, allow_other_workers=True, pure=False)
        held = max(map(_result, [submit(workers=[address]) for address in client.nthreads()]))
        available = client.run(available_bytes)
        hosts = Counter(urlsplit(address).hostname for address in available)
        share = min(n / hosts[urlsplit(address).hostname] for address, n in available.items())
        _known_memory[client] = WorkerMemory(share, held + KEPT)
    return _known_memory[client]


_known_memory = WeakKeyDictionary()


def _loaded_bytes():
    with _one_at_a_time:
        _begin()
        return resident_bytes()


@contextmanager
def connected(scheduler=None, workers=None):
    """A ``distributed.Client`` of a running cluster, or of one with as many workers as asked for on this machine.

    It is not the default of the process: what else uses dask there goes on as before.

    Args:
        scheduler: address of a running scheduler, such as ``tcp://host:8786``.
        workers: number of worker processes to start; they share the processor's cores.

    Raises:
        InputError: dask.distributed is not installed, no scheduler answers, or it has no workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        missing = 'workers: dask.distributed is missing, install it with pip install "aeanet-tf[distributed]"'
        raise InputError(missing) from None
    # Its remarks on starting and stopping; only now, as its import sets the level.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if scheduler is None:
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        options = {"TF_NUM_INTRAOP_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                env=options,
                silence_logs=50,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    # Addresses of unknown or incomplete form raise whatever they lead to.
    except Exception as error:
        raise InputError(f"scheduler: no answer from {scheduler} ({one_line(error)})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except Exception:
            raise InputError(f"scheduler: no workers at {scheduler}, expected one at least") from None
        logger.info("%d workers at %s", len(client.nthreads()), scheduler)
        yield client
