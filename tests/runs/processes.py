"""Commands in processes of their own, forked from one that has imported TensorFlow and not used it; and their ends."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import psutil

import aeanet_tf

ROOT = Path(aeanet_tf.__file__).parents[1]


class Processes:
    """Runs commands, each in a new process; a context manager."""

    def __enter__(self):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
        self._server = subprocess.Popen(
            [sys.executable, "-c", "from tests.runs.processes import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        assert self._server.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()

    def run(self, folder, arguments, **fault):
        """Run ``aeanet ARGUMENTS`` in a folder.

        Args:
            folder: to work in.
            arguments: of the command.
            fault: ``signal`` with ``seconds`` or ``operation``: what ends the process, after so long, or at its
                operation of that number on files of the folder; ``largest``: no file can have more bytes;
                ``memory``: bytes of address space that the process may take beyond what it has.

        Returns:
            The exit status, minus the number of a signal; and what was printed.
        """
        return self.together(folder, [arguments], **fault)[0]

    def together(self, folder, commands, **fault):
        """Run several commands in one folder at once: a list of what `run` gives."""
        job = {"folder": str(folder), "commands": commands, **fault}
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return [tuple(result) for result in json.loads(self._server.stdout.readline())]


def serve():
    """Fork a process for each command of the jobs that come in, a line each; answer when they have ended."""
    import csbdeep.models
    import keras
    import scipy.ndimage
    import skimage.restoration

    from aeanet_tf.models import AEANet, filters
    from aeanet_tf.runs import file_runs, predict_files, train

    assert all((csbdeep.models, keras, scipy, skimage, AEANet, filters, file_runs, predict_files, train))
    # What children print goes elsewhere.
    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        started = [_fork(job, arguments) for arguments in job["commands"]]
        if "seconds" in job:
            _kill_after(started[0][0], job["seconds"], job["signal"])
        print(json.dumps([_ended(*child) for child in started]), file=answers, flush=True)


def _fork(job, arguments):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        _child(job, arguments)
    os.close(writing)
    return pid, reading


def _kill_after(pid, seconds, number):
    end = time.monotonic() + seconds
    # Looked at without taking the status, so that the number stays the process's.
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > end:
            os.kill(pid, number)
            return
        time.sleep(0.002)


def _ended(pid, reading):
    """Exit status and output of a child, whose pipe ends with it."""
    with open(reading, encoding="utf-8", errors="replace") as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def _child(job, arguments):
    """What a forked process does; it does not return."""
    status = 99
    try:
        os.chdir(job["folder"])
        _arrange(job)
        import tensorflow as tf

        from aeanet_tf.cli.main import main

        # Two steps of a tiny network take less time than compiling them; memory is measured as it is used.
        tf.config.run_functions_eagerly("memory" not in job)
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _arrange(job):
    """Set up what ends a process, or makes its writing fail."""
    # Of a shell's background processes it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "largest" in job:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"], job["largest"]))
    if "memory" in job:
        import resource

        size = psutil.Process().memory_info().vms + job["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    if "operation" in job:
        done = []

        def watch(event, arguments):
            if event in _OPERATIONS and _is_within(arguments[0], job["folder"]):
                done.append(event)
                if len(done) == job["operation"]:
                    os.kill(os.getpid(), job["signal"])

        sys.addaudithook(watch)


_OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.listdir", "os.scandir"}


def _is_within(path, folder):
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    path = os.fsdecode(path)
    return not os.path.isabs(path) or path.startswith(folder)
