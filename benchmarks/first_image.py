"""The parts of `aeanet predict` of one small image, in seconds and modules imported. Each run is a new process.

Where each part ends is noted by the process itself: functions of the library are wrapped before the command runs.
Processor time is that of all threads, so that other work on the machine hardly counts; the least of --rounds is
taken. By the clock it is the median: of an idle machine. `import tensorflow` is a process of its own, with all that
TensorFlow imports where nobody keeps it from it.
To measure another version of the library, set PYTHONPATH to where it is.

    python benchmarks/first_image.py [--side 512] [--preset aeanet-em] [--rounds 5]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from hardware import facts, line
from tables import markdown, run_script, section
from tifffile import imwrite

IMPORT, HELP = "import tensorflow, by itself", "aeanet --help"
# What a process does: names of parts, in their order, and where the time and the modules of each are added up.
CHILD = """
import json, os, sys, time

def state():
    return time.process_time(), time.time(), len(sys.modules)

last = state()
parts = {"interpreter": [last[0], last[1] - float(os.environ["BEGUN"]), last[2]]}
inside = []

def enter(name):
    global last
    now = state()
    part = parts.setdefault(inside[-1] if inside else "commands, checks", [0, 0, 0])
    for index, (before, after) in enumerate(zip(last, now)):
        part[index] += after - before
    last = now
    inside.append(name) if name else inside.pop()

def note(owner, name, part):
    wrapped = getattr(owner, name)
    def noted(*args, **kwargs):
        enter(part)
        try:
            return wrapped(*args, **kwargs)
        finally:
            enter(None)
    setattr(owner, name, noted)

from aeanet_tf import startup
note(startup, "load_backend", "TensorFlow, Keras")
from aeanet_tf.cli.main import main
from aeanet_tf.models import folder
load = folder.load_model
def load_model(*args, **kwargs):
    enter("imports of the model")
    try:
        from aeanet_tf.models import AEANet
        from aeanet_tf.prediction import stages
        enter("network, weights")
        try:
            model = load(*args, **kwargs)
        finally:
            enter(None)
        enter("imports of the prediction")
        from aeanet_tf.runs import file_runs
        enter(None)
    finally:
        enter(None)
    note(stages, "_compiled", "trace")
    note(stages.OwnAttention, "_run", "first evaluation")
    return model
folder.load_model = load_model
code = main()
enter("end")
heavy = "IPython", "csbdeep", "matplotlib", "pandas", "scipy.stats", "skimage", "sklearn"
print(json.dumps({"code": code, "parts": parts, "heavy": [name for name in heavy if name in sys.modules]}))
"""


def main(argv=None):
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, metavar="N", help="pixels along Y and X (default: 512)")
    parser.add_argument("--preset", default="aeanet-em", help="of the model (default: aeanet-em)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="processes of each (default: 5)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        _make_workplace(Path(folder), options)
        found = [_round(folder) for _ in range(options.rounds)]
    title = f"One image of {options.side} x {options.side}, {options.preset}, {options.rounds} rounds"
    heavy = f"Imported: {', '.join(found[0]['heavy']) or 'none of the heavy'}"
    section(title, line(facts()), parts_table([one["parts"] for one in found]), heavy)


def _make_workplace(folder, options):
    """A model that is not trained, saved by a process of its own, and an image."""
    code = (
        "from aeanet_tf.models import AEANet, AEANetConfig\n"
        f"model = AEANet(AEANetConfig('YX', preset={options.preset!r}), 'model', '.')\n"
        "model.keras_model.save_weights(str(model.logdir / 'weights_best.h5'))"
    )
    _run(folder, "-c", code)
    side = options.side
    imwrite(folder / "image.tif", np.random.default_rng(0).gamma(2, 50, (side, side)).astype("uint16"))


def _run(folder, *arguments):
    """What a Python process prints at last."""
    # The library is that of this process, from wherever it runs.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "BEGUN": str(time.time())}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"left with {done.returncode}: {done.stderr[-2000:]}")
    return (done.stdout.splitlines() or [""])[-1]


def _round(folder):
    """The parts of one prediction, and what its process had imported; with help and TensorFlow beside it."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        words = ["predict", "--model", "model", "--input", "image.tif", "--output", output, "--axes", "YX"]
        found = json.loads(_run(folder, "-c", CHILD, *words))
    if found["code"]:
        raise RuntimeError(f"aeanet predict left with {found['code']}")
    clock = "time.time() - float(os.environ['BEGUN'])"
    ending = f"import os, sys, time\nprint([time.process_time(), {clock}, len(sys.modules)])"
    found["parts"][IMPORT] = json.loads(_run(folder, "-c", f"import tensorflow\n{ending}"))
    helped = f"from aeanet_tf.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n{ending}"
    found["parts"][HELP] = json.loads(_run(folder, "-c", helped))
    return found


def parts_table(rounds):
    """Markdown table of the parts (name -> processor seconds, seconds by the clock, modules) of each round, their sum,
    and what is beside TensorFlow and network; the last by the clock with its least and its most."""
    rows = [[name, *_typical([one[name] for one in rounds])] for name in _own(rounds[0])]
    sums = [[sum(values) for values in zip(*_own(one).values(), strict=True)] for one in rounds]
    rows.append(["aeanet predict", *_typical(sums)])
    # Of what TensorFlow takes by itself nothing is counted as the library's.
    theirs = "TensorFlow, Keras", "trace", "first evaluation"
    beside = [
        [whole[i] - sum(one[name][i] for name in theirs) for i in (0, 1)]
        for one, whole in zip(rounds, sums, strict=True)
    ]
    least, clock, most = (f"{f(own[1] for own in beside):.2f}" for f in (min, median, max))
    name = "without TensorFlow, trace, evaluation"
    rows.append([name, _typical(beside)[0], f"{clock} ({least} to {most})", ""])
    rows += [[name, *_typical([one[name] for one in rounds])] for name in (IMPORT, HELP)]
    return markdown(["", "processor seconds, least", "seconds, median", "modules"], rows)


def _own(parts):
    return {name: part for name, part in parts.items() if name not in (IMPORT, HELP)}


def _typical(found):
    """Cells of a part: the least processor time, the median by the clock, and the modules where they are counted."""
    processor, clock, *modules = zip(*found, strict=True)
    return [f"{min(processor):.2f}", f"{median(clock):.2f}", *(f"{counts[0]:,}" for counts in modules)]


if __name__ == "__main__":
    run_script(main)
