"""Reading and writing beside the network: in order, one of each at a time, and nothing left behind."""

import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.prediction.job import Frame
from aeanet_tf.prediction.sweeps import Here, run_job

TASKS = [(0, tile) for tile in range(6)]


class Work:
    """A job that notes what happens, and fails where it is told to."""

    def __init__(self, fails=None, error=None):
        self.fails, self.error = fails, error
        self.events, self.lock, self.alive = [], threading.Lock(), []
        self.begun = {(kind, tile): threading.Event() for kind in ("read", "write") for tile in range(7)}
        self.waits = True

    def _note(self, kind, tile, on):
        with self.lock:
            self.events.append((kind, tile, on))
        if on and (kind, tile) in self.begun:
            self.begun[kind, tile].set()
        if on and (kind, tile) == self.fails:
            raise self.error

    def _array(self):
        array = np.zeros(3)
        with self.lock:
            self.alive = [one for one in self.alive if one() is not None] + [weakref.ref(array)]
            assert len(self.alive) <= 4, "two inputs, what is being written, and what is computed"
        return array

    def read(self, stage, frame, tile):
        self._note("read", tile, True)
        array = self._array()
        self._note("read", tile, False)
        return [array]

    def groups(self, stage, tasks):
        return [[task] for task in tasks]

    def compute(self, stage, group, inputs, contexts):
        ((_, tile),) = group
        self._note("compute", tile, True)
        # The next is read and the last one written meanwhile.
        for kind, other in (("read", tile + 1), ("write", tile - 1)) if self.waits else ():
            assert other in (-1, 6) or self.begun[kind, other].wait(10)
        self._note("compute", tile, False)
        return [self._array()]

    def write(self, stage, frame, tile, result):
        self._note("write", tile, True)
        self._note("write", tile, False)
        return tile * 10


def tile_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("aeanet tiles")]


def test_tiles_are_read_ahead_written_behind_and_given_in_order():
    job, given = Work(), []
    for (_, tile), moments in Here().run(job, 0, TASKS, []):
        assert moments == 10 * tile and ("write", tile, False) in job.events
        assert ("read", tile + 3, True) not in job.events
        given.append(tile)
    assert given == list(range(6))
    for kind in ("read", "compute", "write"):
        found = [(tile, on) for one, tile, on in job.events if one == kind]
        assert found == [(tile, on) for tile in range(6) for on in (True, False)], "one at a time, in order"
    assert not tile_threads()


def test_one_tile_takes_no_threads():
    job = Work()
    job.waits = False
    threads = threading.active_count()
    for task, moments in Here().run(job, 0, TASKS[:1], []):
        assert (task, moments) == ((0, 0), 0) and threading.active_count() == threads
    assert len(job.events) == 6
    assert list(Here().run(job, 0, [], [])) == []


@pytest.mark.parametrize(
    ("fails", "error", "given"),
    [
        (("read", 0), InputError("the image holds NaN"), 0),
        (("read", 4), InputError("the image holds NaN"), 4),
        (("compute", 0), MemoryError(), 0),
        (("compute", 3), MemoryError(), 3),
        (("compute", 3), KeyboardInterrupt(), 3),
        (("write", 0), WriteError("the disk is full"), 0),
        (("write", 2), WriteError("the disk is full"), 2),
        (("write", 5), WriteError("the disk is full"), 5),
    ],
)
def test_errors_surface_as_they_are_after_the_tiles_before(fails, error, given):
    job, found = Work(fails, error), []
    job.waits = False
    with pytest.raises(type(error)) as caught:
        for task, _ in Here().run(job, 0, TASKS, []):
            found.append(task)
    assert caught.value is error and found == TASKS[:given]
    assert not tile_threads()
    assert ("write", given, False) not in job.events


@pytest.mark.parametrize("error", [WriteError("the disk is full"), KeyboardInterrupt()])
def test_nothing_is_written_after_the_journal_failed(error):
    size = (8, 40)
    frame = Frame(np.zeros((*size, 1)), None, None, None)
    job, entered = Work(), []
    job.waits = False
    job.stages = SimpleNamespace(stages=[SimpleNamespace(operator=None, keeps=[], inputs=[])])
    job.frames, job.tasks = [frame], lambda stage: TASKS

    def enter(stage, task, moments):
        if len(entered) == 2:
            raise error
        entered.append(task)

    with pytest.raises(type(error)) as caught:
        run_job(job, journal=SimpleNamespace(done=lambda *_: set(), enter=enter))
    # Also while the exception, and with it everything on the stack, is still held.
    assert caught.value is error and entered == TASKS[:2] and not tile_threads()
    events = list(job.events)
    assert ("write", 4, True) not in events
    assert job.events == events
