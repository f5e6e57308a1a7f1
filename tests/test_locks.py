"""One process at a time, however it ends."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time

import pytest

import aeanet_tf.locks as locks
from aeanet_tf.errors import BusyError
from aeanet_tf.locks import locked

HOLD = """
import sys, time
from aeanet_tf.locks import locked
with locked(sys.argv[1], "is in use", "wait"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def hold(path, **kwargs):
    return locked(path, "is in use", "or take another", **kwargs)


def test_the_second_is_told_who_is_first(tmp_path, holder):
    with pytest.raises(BusyError) as error, hold(tmp_path / "lock"):
        pass
    text = str(error.value)
    assert text.startswith(f"{tmp_path}: is in use by process {holder.pid} on {platform.node()} (since ")
    assert text.endswith("; or take another") and "\n" not in text
    assert (tmp_path / "lock").exists(), "what the first holds is left alone"


@pytest.mark.parametrize("system", [True, False], ids=["locks of the system", "none there"])
def test_what_a_killed_process_held_is_free(tmp_path, holder, monkeypatch, caplog, system):
    if not system:
        monkeypatch.setattr(locks, "fcntl", None)
        with pytest.raises(BusyError, match=f"process {holder.pid}"), hold(tmp_path / "lock"):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    caplog.set_level("INFO", "aeanet_tf")
    with hold(tmp_path / "lock") as before:
        assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()
        assert before.process == holder.pid
    assert f"left by process {holder.pid}" in caplog.text
    assert not (tmp_path / "lock").exists()


def test_who_waits_goes_on_when_the_first_has_gone(tmp_path, holder, caplog):
    caplog.set_level("INFO", "aeanet_tf")
    threading.Timer(0.5, holder.kill).start()
    begun = time.monotonic()
    with hold(tmp_path / "lock", wait=True):
        assert time.monotonic() - begun > 0.4
    assert len([message for message in caplog.messages if message.endswith("; waiting")]) == 1


@pytest.mark.parametrize("system", [True, False])
def test_a_process_of_another_machine_is_never_taken_for_gone(tmp_path, monkeypatch, system):
    if not system:
        monkeypatch.setattr(locks, "fcntl", None)
    text = json.dumps({"process": 1, "host": "elsewhere", "begun": 0.0, "since": "2026-01-01 00:00:00"})
    (tmp_path / "lock").write_text(text)
    with pytest.raises(BusyError, match=r"process 1 on elsewhere .*, says lock; remove that file if"):
        hold(tmp_path / "lock").__enter__()
    assert (tmp_path / "lock").read_text() == text
    (tmp_path / "lock").unlink()
    with hold(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": 1}', "\x00" * 10])
def test_a_file_that_names_nobody_is_free(tmp_path, text):
    """Of a process that was killed when it had just made it."""
    (tmp_path / "lock").write_text(text)
    with hold(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_number_that_another_process_has_now_is_no_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    facts = {"process": os.getpid(), "host": platform.node(), "begun": 0.0, "since": "2026-01-01 00:00:00"}
    (tmp_path / "lock").write_text(json.dumps(facts))
    with hold(tmp_path / "lock"):
        pass


def test_a_thread_holds_it_twice_and_another_thread_does_not(tmp_path):
    found = []

    def other():
        try:
            with hold(tmp_path / "lock"):
                found.append("held")
        except BusyError as error:
            found.append(str(error))

    with hold(tmp_path / "lock"):
        with hold(tmp_path / "lock"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(found) == 1 and f"process {os.getpid()}" in found[0]
    with pytest.raises(RuntimeError), hold(tmp_path / "lock"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_many_take_turns(tmp_path):
    """What is taken over from the dead and handed on is never held by two."""
    program = """
import sys, os
from pathlib import Path
from aeanet_tf.locks import locked
import aeanet_tf.locks
aeanet_tf.locks.PAUSE = 0.0005
folder = Path(sys.argv[1])
for turn in range(60):
    with locked(folder / "lock", "is in use", "wait", wait=True):
        os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
        os.unlink(folder / "inside")
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_keeps_no_lock_alive(tmp_path):
    reading, writing = os.pipe()
    with hold(tmp_path / "lock"):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    try:
        with hold(tmp_path / "lock"):
            pass
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
