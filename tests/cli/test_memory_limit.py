"""A volume larger than the memory that the process may take, from command line to OME-Zarr, killed on the way."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr

from aeanet_tf.io.write import ImageTarget
from aeanet_tf.models import AEANet, AEANetConfig

SIZE = (160, 2200, 2200)
# Of writable memory. Of address space, libraries and threads reserve gigabytes, more with each core.
LIMIT = 2_000_000_000
# Small, since the test is about what lies around it.
NETWORK = {"first_filters": 2, "depth": 2, "encoding_blocks": [0, 0], "decoding_blocks": [0], "bottom": ["attention"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits writable memory as Linux does"),
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limit")
    config = AEANetConfig("ZYX", preset="gvtnet-care", network=NETWORK, train_seed=0)
    model = AEANet(config, "model", str(folder))
    model.keras_model.save_weights(str(folder / "model" / "weights_best.h5"))
    assert 4 * np.prod(SIZE) > LIMIT
    target = ImageTarget.create(folder / "a.zarr", SIZE, "ZYX", {"Z": 1, "Y": 0.2, "X": 0.2}, "um", (8, 550, 550))
    rng = np.random.default_rng(0)
    for z in range(0, SIZE[0], 8):
        block = rng.gamma(2, 50, (8, *SIZE[1:])).astype("float32") + np.linspace(0, 200, SIZE[2], dtype="float32")
        target.write((slice(z, z + 8), slice(0, SIZE[1]), slice(0, SIZE[2])), block)
    target.finish()
    return folder


def command(folder, output, limit):
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit})); " if limit else ""
    code = limited + "import sys; from aeanet_tf.cli.main import main; sys.exit(main())"
    arguments = ["predict", "--model", folder / "model", "--input", folder / "a.zarr", "--output", folder / output]
    return [sys.executable, "-c", code, *map(str, arguments), "--n-tiles", "1", "24", "24"]


def entered(folder):
    """Bytes that the journals of a run hold."""
    return sum(path.stat().st_size for path in folder.rglob("*.records"))


def test_a_volume_larger_than_the_limit_goes_in_and_out_and_goes_on_after_a_kill(workplace):
    run = subprocess.Popen(command(workplace, "out", LIMIT), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    # Killed in the second of two sweeps.
    while not any(path.name == "stage1.records" for path in (workplace / "out").rglob("*.records")):
        assert run.poll() is None and time.monotonic() < deadline, run.stderr.read()
        time.sleep(0.2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    done = entered(workplace / "out")
    assert done and not (workplace / "out" / "a.zarr").exists()
    again = subprocess.run(command(workplace, "out", LIMIT), stderr=subprocess.PIPE, text=True, timeout=900)
    assert again.returncode == 0, again.stderr
    assert "going on with what an earlier run has finished" in again.stderr
    assert [path.name for path in (workplace / "out").iterdir()] == ["a.zarr"]
    subprocess.run(command(workplace, "straight", None), check=True, timeout=900)
    found, straight = (
        zarr.open_array(str(workplace / name / "a.zarr" / "0"), mode="r") for name in ("out", "straight")
    )
    assert found.shape == SIZE
    for z in range(0, SIZE[0], 10):
        np.testing.assert_array_equal(found[z : z + 10], straight[z : z + 10])
