"""Calls a function in a Python process of its own: nothing loaded, traced or allocated by what ran before.

    python benchmarks/fresh.py MODULE:FUNCTION '{"argument": "value"}'

prints what the function gives as JSON, in the last line. Modules of this folder are found by their names.
"""

import json
import os
import subprocess
import sys
from importlib import import_module

from tables import quiet, run_script

from aeanet_tf.errors import InputError


def call_apart(target, environment=None, /, **arguments):
    """What ``target`` gives in a process of its own.

    Args:
        target: ``"module:function"``.
        environment: variables that it has beside those of this process.
        arguments: of the function, as JSON can hold them, which is also what it may give.

    Raises:
        InputError: the function raised one.
        RuntimeError: the process failed; with the end of what it wrote.
    """
    command = [sys.executable, __file__, target, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode == 2 and "error: " in done.stderr:
        raise InputError(done.stderr.rsplit("error: ", 1)[1].strip())
    if done.returncode:
        raise RuntimeError(f"{target} failed with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Call the function that the command line names."""
    target, arguments = sys.argv[1:]
    module, name = target.split(":")
    with quiet():
        found = getattr(import_module(module), name)(**json.loads(arguments))
    print(json.dumps(found))


if __name__ == "__main__":
    run_script(main)
