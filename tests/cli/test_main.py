"""The command answers at once, says what is wrong in one line, and keeps TensorFlow's chatter to itself."""

import contextlib
import json
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from aeanet_tf.cli import main as cli
from tests.models import contents, write_config

ROOT = Path(__file__).parents[2]
HEAVY = {"csbdeep", "difflib", "hashlib", "inspect", "keras", "logging", "matplotlib", "numpy", "pydantic", "skimage"}
HEAVY |= {"tensorflow", "tifffile"}


def python(*arguments, **kwargs):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **kwargs)


def test_help_answers_at_once():
    """Measured in processor time, which a busy machine does not stretch as it does the clock's."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = python("-m", "aeanet_tf.cli.main", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0 and done.stderr == ""
        for command in ("train", "predict", "evaluate", "patches", "quickstart"):
            assert f"\n    {command}" in done.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\nprint({HEAVY} & set(sys.modules), file=sys.stderr)"
    )
    assert python("-c", code).stderr.strip() == "set()"


MODEL, VOLUME, SLICES, NONE = (["--model", name] for name in ("model", "volume", "slices", "modle"))
INPUT = ["--input", "a.tif", "--output", "out"]
STACK = ["--input", "stack.tif", "--output", "out"]
BIOIMAGEIO = ["--format", "bioimageio", "--author", "A", "--license", "MIT"]
# What is missing or wrong, and what is said of it.
REFUSED = [
    (["train", "--config", "none.json"], "none.json: no such configuration file"),
    (["train", "--config", "cc.json"], "cc.json: no such configuration file"),
    (["train", "--config", "c.json", "--set", "training.step=5"], "unknown key"),
    (["train", "--config", "c.json", "--set", "training.steps=many"], "training.steps"),
    (["train", "--config", "c.json", "--data", "nowhere"], "nowhere"),
    (["train", "--config", "c.json", "--data", "unpaired"], "have no partner of the same name in unpaired/train/GT"),
    (["predict", *MODEL, "--input", "aa.tif", "--output", "out"], "no such file or folder; did you mean a.tif?"),
    (["predict", *MODEL, "--input", "in", "--output", "out"], "in: the folder is empty, expected images (tif, tiff,"),
    (["predict", *MODEL, "--input", "bad.tif", "--output", "out"], "bad.tif: not a readable TIFF"),
    (["predict", *NONE, *INPUT], "modle: no such model folder; did you mean model?"),
    (["predict", "--model", "empty", *INPUT], "empty: the model folder has no config.json"),
    (["predict", "--model", ".", *INPUT], "config.json; in it are the models damaged, model, other, ..., such as"),
    (["predict", "--model", "other", "model", *INPUT], "not the configuration of an AEANet"),
    (["predict", "--model", "damaged", *INPUT], "damaged: the model cannot be loaded (weights_best.h5 holds"),
    (["predict", *MODEL, *INPUT, "--weights", "last"], "expected some that are called 'last'"),
    (["predict", *MODEL, *INPUT, "--n-tiles", "0"], "n_tiles: [0], expected numbers of at least 1"),
    (["predict", *MODEL, *INPUT, "--n-tiles", "1", "1", "1"], "for each of the axes YX"),
    (["predict", *MODEL, *INPUT, "--max-memory", "lots"], "max_memory: 'lots'"),
    (["predict", *MODEL, *INPUT, "--axes", "YQ"], "axes: found 'YQ'"),
    (["predict", *MODEL, *INPUT, "--workers", "0"], "--workers: 0"),
    (["predict", *MODEL, *INPUT, "--percentiles", "9", "1"], "--percentiles: 9.0 1.0"),
    (["predict", *MODEL, *INPUT, "--scale"], "--scale: the model is not probabilistic"),
    (["predict", *MODEL, *INPUT, "--probabilities"], "--probabilities: the model does not segment"),
    (["predict", *MODEL, "--input", "colours.tif", "--output", "out"], "--channel N chooses one of 0, 1"),
    (["predict", *VOLUME, *INPUT], "a.tif: found axes YX, expected ZYX"),
    (["predict", *VOLUME, *STACK, "--axes", "TYX"], "if T are slices, say so with --axes ZYX"),
    (["predict", *SLICES, *INPUT], "slices: a model that interpolates slices; use aeanet interpolate"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "a.tif"], "a.tif would replace an input"),
    (["predict", *MODEL, "--input", "a.tif", "stack.tif", "--output", "b.tif"], "the file b.tif for 2 images"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "b.png"], "a file that ends in .tif, .tiff, .zarr or .nii.gz"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "b.nii.gz"], "NIfTI is written of volumes"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "b.tif", "--format", "zarr"], "expected one of both"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "bad.tif/out"], "bad.tif/out: cannot be written"),
    (["predict", *MODEL, "--input", "a.tif", "--output", "kept"], "kept/a.tif: is there and does not say which model"),
    (["interpolate", *SLICES, "--missing", "1", "--input", "none.tif", "--output", "out"], "none.tif"),
    (["interpolate", *SLICES, "--missing", "9", *STACK], "--missing"),
    (["interpolate", *SLICES, "--test", "0", *STACK], "--test: slice 0 is the first"),
    (["interpolate", *SLICES, "--missing", "1", *STACK, "--max-memory", "lots"], "max_memory: 'lots'"),
    (["interpolate", *NONE, "--missing", "1", *STACK], "modle: no such model folder"),
    (["interpolate", *MODEL, "--missing", "1", *STACK], "model: a model that restores images, expected one that"),
    (["export", *NONE, "--format", "onnx"], "modle: no such model folder"),
    (["export", "--model", "empty", "--format", "fiji"], "empty: the model folder has no config.json"),
    (["export", "--model", "damaged", "--format", "fiji"], "weights_best.h5 holds no weights"),
    (["export", *MODEL, "--format", "fiji", "--output", "bad.tif/a.zip"], "bad.tif/a.zip: cannot be written"),
    (["export", *MODEL, "--format", "fiji", "--output", "in.zip"], "--output: in.zip: found a folder"),
    (["export", *MODEL, *BIOIMAGEIO, "--test-image", "none.tif"], "none.tif"),
    (["export", *MODEL, *BIOIMAGEIO, "--test-image", "stack.tif"], "stack.tif: found axes ZYX, expected YX"),
    (["explain", *MODEL, "--input", "none.tif", "--output", "out"], "none.tif"),
    (["explain", *NONE, *INPUT], "modle: no such model folder"),
    (["explain", *VOLUME, *INPUT], "a.tif: found axes YX, expected ZYX"),
    (["evaluate", "--prediction", "nothing", "--gt", "in"], "nothing: no such file or folder"),
    (["patches", "--basepath", ".", "--source", "inn", "--target", "in", "--axes", "YX", "--patch-size", "8", "8"]
     + ["--output", "p.npz"], "inn: no such folder; did you mean in?"),
]  # fmt: skip


def _stored_model(folder, **fields):
    """A model as far as it is read before it is loaded."""
    folder.mkdir()
    config = {"axes": "YXC", "n_channel_in": 1, "n_channel_out": 1, "probabilistic": False, "network": {"kind": "unet"}}
    (folder / "config.json").write_text(json.dumps(config | fields))
    (folder / "weights_best.h5").write_bytes(b"\x89HDF\r\n\x1a\n")


def test_what_can_be_refused_is_refused_without_tensorflow(tmp_path, monkeypatch):
    """All in one process: what one of them imported, the next would show."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "c.json")
    for folder in ("in", "empty", "other", "kept", "in.zip"):
        (tmp_path / folder).mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    _stored_model(tmp_path / "model")
    _stored_model(tmp_path / "volume", axes="ZYXC")
    _stored_model(tmp_path / "slices", n_channel_in=2, network={"kind": "ssan"})
    _stored_model(tmp_path / "damaged")
    (tmp_path / "damaged" / "weights_best.h5").write_bytes(b"PK")
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + bytes(99))
    for folder in ("train/low", "train/GT"):
        (tmp_path / "unpaired" / folder).mkdir(parents=True)
    for name in ("a.tif", "kept/a.tif", "unpaired/train/low/a1.tif", "unpaired/train/GT/b7.tif"):
        tifffile.imwrite(name, np.zeros((16, 16), "uint8"))
    for name, axes in (("stack", "ZYX"), ("colours", "CYX")):
        tifffile.imwrite(f"{name}.tif", np.zeros((4, 16, 16), "uint8"), imagej=True, metadata={"axes": axes})
    before = contents(tmp_path)
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\n"
        f"for arguments in {[arguments for arguments, _ in REFUSED]}:\n"
        "    code = main(arguments)\n"
        "    heavy = {'tensorflow', 'keras', 'skimage', 'matplotlib'}\n"
        # Patches are cut by CSBDeep.
        "    heavy |= set() if arguments[0] == 'patches' else {'csbdeep', 'scipy'}\n"
        "    print(code, heavy & set(sys.modules), flush=True)"
    )
    done = python("-c", code)
    assert done.stdout.splitlines() == ["2 set()"] * len(REFUSED), done.stdout + done.stderr
    for line, (arguments, message) in zip(done.stderr.splitlines(), REFUSED, strict=True):
        assert line.startswith("aeanet: error: ") and message in line, (arguments, line)
    assert contents(tmp_path) == before and not (tmp_path / "out").exists()


def test_tensorflow_starts_without_chatter():
    done = python("-c", "import aeanet_tf.models; aeanet_tf.models.AEANet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_failing_import_says_is_not_swallowed():
    code = (
        "import os, sys, builtins\nreal = builtins.__import__\n"
        "def broken(name, *a, **k):\n"
        "    if name == 'keras':\n        os.write(2, b'the library says why'); raise ImportError('no keras')\n"
        "    return real(name, *a, **k)\n"
        "builtins.__import__ = broken\nfrom aeanet_tf.startup import load_backend\nload_backend()"
    )
    done = python("-c", code)
    assert done.returncode == 1 and "the library says why" in done.stderr and "no keras" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [(cli.InputError("a.tif: bad"), 2, "aeanet: error: a.tif: bad"), (KeyboardInterrupt(), 130, "aeanet: interrupted")],
)
def test_exit_codes(monkeypatch, capfd, error, code, line):
    def fail(args):
        raise error

    monkeypatch.setattr("aeanet_tf.cli.evaluate.run", fail)
    assert cli.main(["evaluate", "--prediction", "p", "--gt", "g"]) == code
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", line + "\n")


def test_a_defect_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ValueError("a bug, not bad input")

    monkeypatch.setattr("aeanet_tf.cli.evaluate.run", fail)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["evaluate", "--prediction", "p", "--gt", "g"])


@pytest.mark.parametrize("script", ["train", "predict"])
def test_scripts_are_twins_of_the_subcommands(script):
    done = python(ROOT / f"{script}.py", "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == python("-m", "aeanet_tf.cli.main", script, "--help").stdout


def test_scripts_exit_with_the_code_of_the_command(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(sys, "argv", ["predict.py", "--model", str(tmp_path / "m"), "--input", "i", "--output", "o"])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "predict.py"), run_name="__main__")
    assert exit.value.code == 2
    assert capfd.readouterr().err == f"aeanet: error: {tmp_path / 'm'}: no such model folder\n"


def test_an_interruption_that_was_swallowed_is_none_of_the_programs_errors(monkeypatch, capfd):
    """Keras catches everything in places, and goes on with what is wrong then."""

    def run(args):
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        raise ValueError("None values not supported")

    monkeypatch.setattr("aeanet_tf.cli.configs.run", run)
    # What runs in the background of a shell ignores it.
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert cli.main(["configs"]) == 130
        assert capfd.readouterr().err.splitlines()[-1] == "aeanet: interrupted"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)
