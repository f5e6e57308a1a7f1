"""The command answers at once, says what is wrong in one line, and keeps TensorFlow's chatter to itself."""

import resource
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from aeanet_tf.cli import main as cli
from tests.models import write_config

ROOT = Path(__file__).parents[2]
HEAVY = {"tensorflow", "keras", "csbdeep", "numpy", "pydantic", "tifffile", "matplotlib", "skimage"}


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


@pytest.mark.parametrize(
    ("override", "message"), [([], "{file}: no such configuration file"), (["--set", "training.step=5"], "unknown key")]
)
def test_a_wrong_configuration_is_told_without_tensorflow(tmp_path, override, message):
    file = tmp_path / "none.json" if not override else write_config(tmp_path / "c.json")
    code = (
        "import sys\nfrom aeanet_tf.cli.main import main\n"
        f"code = main({['train', '--config', str(file), *override]})\n"
        "print(code, {'tensorflow', 'keras', 'csbdeep', 'numpy'} & set(sys.modules))"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "2 set()"
    assert done.stderr.startswith("aeanet: error: ") and len(done.stderr.splitlines()) == 1
    assert message.format(file=file) in done.stderr


@pytest.mark.parametrize(
    "code", ["import aeanet_tf.models; aeanet_tf.models.AEANet", "import aeanet_tf.layers", "import aeanet_tf.networks"]
)
def test_tensorflow_starts_without_chatter(code):
    done = python("-c", code)
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
    monkeypatch.setattr(sys, "argv", ["predict.py", "--model", "m", "--input", str(tmp_path), "--output", "o"])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "predict.py"), run_name="__main__")
    assert exit.value.code == 2
    assert capfd.readouterr().err == f"aeanet: error: {tmp_path}: the folder is empty, expected images " \
        "(tif, tiff, png, bmp, jpg, jpeg, nii, nii.gz, hdr, zarr)\n"  # fmt: skip
