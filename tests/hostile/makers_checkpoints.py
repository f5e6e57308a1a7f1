"""TensorFlow 1 checkpoints as they should not be: cut, flipped, mixed, misnamed.

A case is ``(name, make, expected)``; ``make(folder)`` gives the words of a command.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

SEED = 30
PREFIX = "model.ckpt-7"
SAVE = """
import sys
from pathlib import Path
import numpy as np
from aeanet_tf.networks import presets
from tests.interop.tf1 import network, with_slots, write_checkpoint
spec = presets["aeanet-em"].replace(first_filters=4)
variables = with_slots(network(spec)[1])
folder = Path(sys.argv[1])
write_checkpoint(folder / "good" / "model.ckpt-7", variables)
kernel = "first_convolution/kernel"
write_checkpoint(folder / "nan" / "model.ckpt-7", {**variables, kernel: np.full_like(variables[kernel], np.nan)})
write_checkpoint(folder / "shape" / "model.ckpt-7", {**variables, kernel: np.zeros((5, 5, 1, 4), "float32")})
write_checkpoint(folder / "text" / "model.ckpt-7", {**variables, kernel: np.array(["a", "b"])})
write_checkpoint(folder / "fewer" / "model.ckpt-7", {k: v for k, v in variables.items() if "out_conv" not in k})
write_checkpoint(folder / "more" / "model.ckpt-7", {**variables, "extra/kernel": np.zeros(3, "float32")})
write_checkpoint(folder / "foreign" / "model.ckpt-7", {"dense/kernel": np.zeros((3, 3), "float32")})
"""


@functools.cache
def checkpoints():
    """A folder of small checkpoints, written in a process of its own, since TensorFlow cannot be forked once used."""
    folder = Path(tempfile.mkdtemp(prefix="aeanet-checkpoints-"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    subprocess.run([sys.executable, "-c", SAVE, str(folder)], check=True, capture_output=True, env=environment)
    return folder


def words(folder, place="c", prefix=PREFIX, more=()):
    path = folder / place / prefix if prefix else folder / place
    return ["import-tf1", "--checkpoint", str(path), "--output", str(folder / "out" / "m"), *more]


def copied(folder, kind="good", place="c", prefix=PREFIX, more=()):
    shutil.copytree(checkpoints() / kind, folder / place)
    return words(folder, place, prefix, more)


def _file(folder, end):
    (path,) = (folder / "c").glob(f"{PREFIX}.{end}*")
    return path


def changed(folder, end, change):
    """One of the two files with other content; ``None`` removes it."""
    given = copied(folder)
    path = _file(folder, end)
    data = change(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    return given


def flipped(folder, end, number):
    rng = np.random.default_rng(SEED + number)

    def change(data):
        where = int(rng.integers(len(data)))
        return data[:where] + bytes([data[where] ^ 1 << int(rng.integers(8))]) + data[where + 1 :]

    return changed(folder, end, change)


def _as_folder(folder, end):
    given = changed(folder, end, lambda data: None)
    (folder / "c" / f"{PREFIX}.{end}").mkdir()
    return given


def _of_another(folder):
    given = copied(folder)
    shutil.copy(checkpoints() / "foreign" / f"{PREFIX}.index", _file(folder, "index"))
    return given


def _named(folder, text):
    given = copied(folder, prefix="")
    (folder / "c" / "checkpoint").write_bytes(text)
    return given


def _in_use(folder):
    (folder / "used").mkdir()
    (folder / "used" / "notes.txt").write_text("mine")
    return copied(folder, more=("--output", str(folder / "used")))


CASES = [
    ("good", copied, "right"),
    ("its index", partial(copied, prefix=f"{PREFIX}.index"), "right"),
    ("its folder", partial(copied, prefix=""), "right"),
    ("in a folder [1]", partial(copied, place="run [1] *"), "right"),
    ("in a folder of two lines", partial(copied, place="two\nlines"), "right"),
    ("missing", words, "refused"),
    ("a name of 300 letters", partial(words, prefix="p" * 300), "refused"),
    ("a name with NUL", partial(words, prefix="a\0b"), "refused"),
    ("no index", partial(changed, end="index", change=lambda data: None), "refused"),
    ("no data", partial(changed, end="data", change=lambda data: None), "refused"),
    ("index empty", partial(changed, end="index", change=lambda data: b""), "refused"),
    ("index noise", partial(changed, end="index", change=lambda data: np.random.default_rng(0).bytes(500)), "refused"),
    ("index cut", partial(changed, end="index", change=lambda data: data[: len(data) // 2]), "refused"),
    ("index a folder", partial(_as_folder, end="index"), "refused"),
    ("index of another", _of_another, "refused"),
    ("data empty", partial(changed, end="data", change=lambda data: b""), "refused"),
    ("data cut", partial(changed, end="data", change=lambda data: data[:-1]), "refused"),
    ("data zeros", partial(changed, end="data", change=lambda data: bytes(len(data))), "refused"),
    *((f"bit {n} of the data flipped", partial(flipped, end="data", number=n), "refused") for n in range(4)),
    *((f"bit {n} of the index flipped", partial(flipped, end="index", number=n), "either") for n in range(4, 10)),
    ("variables of another shape", partial(copied, kind="shape"), "refused"),
    ("texts for a variable", partial(copied, kind="text"), "refused"),
    ("a variable less", partial(copied, kind="fewer"), "refused"),
    ("a variable more", partial(copied, kind="more"), "refused"),
    ("variables of another program", partial(copied, kind="foreign"), "refused"),
    ("variables that are NaN", partial(copied, kind="nan"), "either"),
    ("a state that names another", partial(_named, text=b'model_checkpoint_path: "nowhere"'), "right"),
    ("a state that is noise", partial(_named, text=bytes(range(256))), "right"),
    ("--set of 3 heads", partial(copied, more=("--set", "attention.num_heads=3")), "refused"),
    ("--set of 20,000 filters", partial(copied, more=("--set", "first_filters=20000")), "refused"),
    ("--set without a value", partial(copied, more=("--set", "skip")), "refused"),
    ("--axes TX", partial(copied, more=("--axes", "TX")), "refused"),
    ("--preset unknown", partial(copied, more=("--preset", "aeanet-me")), "refused"),
    ("--normalization of one number", partial(copied, more=("--normalization", "range", "5")), "refused"),
    ("output in use", _in_use, "refused"),
]
