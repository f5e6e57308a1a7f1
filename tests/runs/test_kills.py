"""Commands killed at any moment, on a full disk, two at once: what comes out in the end is what it would have been."""

import json
import os
import shutil
import signal
import time
from collections import Counter

import h5py
import numpy as np
import pytest

from aeanet_tf.io.read import read_image
from aeanet_tf.models.folder import model_kind
from tests.models import weights, write_config, write_pairs
from tests.runs.processes import Processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

TRAIN = ["train", "--config", "run.json"]
PREDICT = ["predict", "--model", "whole/m", "--input", "data/train/low", "--output", "out", "--n-tiles", "2", "2"]
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
# What stopped processes end with; a signal as it is where nothing handles it.
STOPPED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130}


@pytest.fixture(scope="module")
def processes():
    with Processes() as running:
        yield running


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """A folder with data, a model trained from them without any disturbance, and its predictions."""
    folder = tmp_path_factory.mktemp("whole")
    write_pairs(folder / "data" / "train" / "low", folder / "data" / "train" / "GT")
    write_config(folder / "run.json")
    seconds = []
    for arguments in ([*TRAIN, "--set", "model.basedir=whole"], PREDICT):
        begun = time.monotonic()
        status, text = processes.run(folder, arguments)
        assert status == 0, text
        seconds.append(time.monotonic() - begun)
    (folder / "seconds.json").write_text(json.dumps(seconds))
    return folder


@pytest.fixture
def workplace(whole, tmp_path):
    for name in ("data", "whole"):
        shutil.copytree(whole / name, tmp_path / name)
    shutil.copy(whole / "run.json", tmp_path)
    return tmp_path


def check_model(whole, folder):
    """The model folder has the same weights, to the bit, and the same files, none hidden."""
    expected, found = whole / "whole" / "m", folder / "models" / "m"
    assert {p.name for p in found.iterdir()} == {p.name for p in expected.iterdir()}
    for name in ("weights_best.h5", "weights_last.h5"):
        one, other = weights(expected / name), weights(found / name)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{name} {key}")
    assert (found / "history.csv").read_text() == (expected / "history.csv").read_text()


def check_images(whole, folder):
    """The output folder has the same images, to the bit, and nothing hidden."""
    assert {p.name for p in (folder / "out").iterdir()} == {"a.tif", "b.tif", "c.tif"}
    for name in "abc":
        one, other = (read_image(place / "out" / f"{name}.tif").array for place in (whole, folder))
        np.testing.assert_array_equal(one, other)


def check_loads(folder):
    """Weights under their final names are whole, whenever a training was stopped; so are the images."""
    for path in (folder / "models").glob("m/[!.]*.h5"):
        assert model_kind(path.parent) == "unet"
        with h5py.File(path) as file:
            assert file
    for path in (folder / "out").glob("*.tif"):
        assert read_image(path).array.shape == (24, 20)


def stop_and_go_on(processes, whole, folder, arguments, faults):
    """Stop a command by one fault after the other, each in a new process, until it is done; the ends they came to."""
    ends, before = Counter(), {}
    for fault in [*faults, {}]:
        status, text = processes.run(folder, arguments, **fault)
        assert "Traceback" not in text, text
        check_loads(folder)
        # Killed when it had ended, but for its exit code.
        ended = status == 2 and text.endswith("another model.name keeps it\n") and "seconds" in before
        if status == 0 or ended:
            ends["done"] += 1
            break
        before = fault
        if "largest" in fault:
            assert status == 2 and "cannot be written" in text.splitlines()[-1], text
            ends["full disk"] += 1
        else:
            assert status in STOPPED, (fault, status, text)
            ends[signal.Signals(fault["signal"]).name] += 1
    assert ends["done"] == 1, ends
    check = check_model if arguments == TRAIN else check_images
    check(whole, folder)
    return ends


def random_faults(rng, count, operations, seconds, largest):
    """Faults at random moments: half of them kills at operations on files, a third after some time, the rest full
    disks."""
    faults = []
    for _ in range(count):
        number = int(SIGNALS[rng.integers(3)])
        kind = rng.integers(6)
        if kind == 0:
            faults.append({"largest": int(rng.integers(100, largest))})
        elif kind < 4:
            faults.append({"signal": number, "operation": int(rng.integers(1, operations))})
        else:
            faults.append({"signal": number, "seconds": float(rng.uniform(0.05, 0.9) * seconds)})
    return faults


@pytest.mark.parametrize("command", ["train", "predict"])
def test_stopped_and_gone_on(processes, whole, workplace, command):
    """A handful, with one of each kind."""
    faults = [
        {"signal": int(signal.SIGKILL), "operation": 60},
        {"signal": int(signal.SIGINT), "operation": 75},
        {"largest": 5000},
        {"signal": int(signal.SIGTERM), "operation": 90},
    ]
    ends = stop_and_go_on(processes, whole, workplace, TRAIN if command == "train" else PREDICT, faults)
    assert sum(ends.values()) > 2, ends


def test_two_at_once(processes, whole, workplace):
    """Of two commands in one folder one is told who is first; where it waits, both come to the same."""
    for arguments, check in ((TRAIN, check_model), (PREDICT, check_images)):
        ended = sorted(processes.together(workplace, [arguments] * 2))
        assert ended[0][0] == 0, ended
        # Whoever comes when the other has ended trains nothing, or predicts it again.
        assert ended[1][0] in (0, 2), ended
        line = ended[1][1].splitlines()[-1]
        # Who has a folder says so a moment after taking it.
        told = (" by process ", " by another process", "holds a trained model")
        assert ended[1][0] == 0 or any(text in line for text in told), line
        check(whole, workplace)
    shutil.rmtree(workplace / "out")
    assert [status for status, _ in processes.together(workplace, [[*PREDICT, "--wait"]] * 2)] == [0, 0]
    check_images(whole, workplace)


@pytest.mark.slow
def test_a_hundred_kills(processes, whole, workplace):
    """At random moments of a fixed seed; AEANET_KILLS is the number of faults. The figures are printed."""
    count, rng = int(os.environ.get("AEANET_KILLS", "100")), np.random.default_rng(0)
    training, prediction = json.loads((whole / "seconds.json").read_text())
    ends = {"train": Counter(), "predict": Counter()}
    while sum(sum(found.values()) - found["done"] for found in ends.values()) < count:
        for name, arguments, operations, seconds, largest in (
            ("train", TRAIN, 140, training, 60_000),
            ("predict", PREDICT, 170, prediction, 5_000),
        ):
            faults = random_faults(rng, 4, operations, seconds, largest)
            ends[name] += stop_and_go_on(processes, whole, workplace, arguments, faults)
            shutil.rmtree(workplace / ("models" if name == "train" else "out"))
            print(json.dumps(ends), flush=True)
