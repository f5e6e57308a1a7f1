"""`aeanet predict` of one image from a cold start, and where the time goes. Every run is a process of its own.

The wall time of the command, of processes that only load what it has to load, and the time of the network for an image
of that size in a process of its own: the first call, tracing included, and the later ones. What is left of the command
when TensorFlow's import and the network's first call are taken off is the library's and its other packages'.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from fresh import call_apart
from overhead_folder import save_model, write_images
from tables import digits, markdown, ratio, spread
from timing import alternate, clocked, summary

PREDICT, IMPORT, FIRST, WARM = "aeanet predict", "import tensorflow", "network, first call", "network, warm"


def measure(config, side, rounds, seconds):
    """Times of everything that the module names, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        save_model(config, folder)
        write_images(folder / "images", [(side, side)])
        warm = []

        def first_call():
            found = call_apart("overhead_cli:network_times", model=str(folder / "model"), side=side)
            warm.append(found["warm"])
            return found["first"]

        measures = {
            PREDICT: lambda: _predict(folder),
            IMPORT: lambda: wall("-c", "import tensorflow"),
            "import of the library": lambda: wall("-c", "from aeanet_tf.models import AEANet"),
            FIRST: first_call,
            "aeanet --help": lambda: wall("-m", "aeanet_tf.cli.main", "--help"),
            "python": lambda: wall("-c", "pass"),
        }
        times = alternate(measures, rounds, seconds, warm_up=False)
    programs = summary({**times, WARM: warm}, PREDICT)
    rest = programs[PREDICT]["median"] - programs[IMPORT]["median"] - programs[FIRST]["median"]
    return {"size": [side, side], "programs": programs, "remainder": rest}


def wall(*arguments):
    """Seconds of a Python process, from start to end."""
    start = perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    seconds = perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed with {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def _predict(folder):
    with tempfile.TemporaryDirectory() as output:
        options = ["--model", folder / "model", "--input", folder / "images", "--output", output, "--axes", "YX"]
        return wall("-m", "aeanet_tf.cli.main", "predict", *map(str, options))


def network_times(model, side):
    """Seconds of the first call of the network, tracing included, and of a later one; for a process of its own."""
    from compiled import forward
    from keras import ops

    from aeanet_tf.models.folder import load_model

    network = load_model(model).keras_model
    x = ops.convert_to_tensor(np.random.default_rng(0).random((1, side, side, 1), "float32"))
    run = None

    def call():
        nonlocal run
        run = run or forward(network, (1, None, None, 1))
        return run(x)

    measure = clocked(call)
    first, *others = (measure() for _ in range(6))
    return {"first": first, "warm": float(np.median(others))}


def report(found):
    """Table, and what is left of the command's time."""
    lines = [[name, spread(one), ratio(one)] for name, one in found["programs"].items()]
    whole = found["programs"][PREDICT]["median"]
    size = " x ".join(map(str, found["size"]))
    text = (
        f"{size} pixels. `aeanet predict` without the import of TensorFlow and the first call of the network: "
        f"{digits(found['remainder'])} s, {found['remainder'] / whole:.0%} of it (medians)."
    )
    return [markdown(["", "s", "/ aeanet predict"], lines), text]
