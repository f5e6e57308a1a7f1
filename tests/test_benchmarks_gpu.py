"""The benchmark for GPUs, on a processor: packed, run on JAX without TensorFlow, scored as the package scores."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tifffile import imwrite

from aeanet_tf.evaluation.protocols import get_protocol
from tests.test_benchmarks import BENCHMARKS, rows_of

ROOT, FOLDER = BENCHMARKS.parent, BENCHMARKS / "gpu"
SIZE = 48
COUNTS = {"train": 6, "val": 3, "test": 6}
NETWORKS = {"aeanet", "unet", "gvtnet"}
SMALL = "--first-filters 4 --depth 2 --batch 2 --patch 16 --sizes 48 64 --volume 4 8 8 --volume-batch 1 4 8 8"
SMALL = [*SMALL.split(), "--matrix", "64", "--array", "4096", "--features", "262144"]
# Compiling takes minutes otherwise, for networks of milliseconds.
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def python_with_jax():
    """An interpreter that has JAX: that of the environment without TensorFlow, or this one."""
    alone = ROOT / ".venv-jax" / "bin" / "python"
    if alone.exists():
        return alone
    return sys.executable if importlib.util.find_spec("jax") else None


needs_jax = pytest.mark.skipif(python_with_jax() is None, reason="needs JAX: make test-jax makes an environment")


@pytest.fixture
def script(monkeypatch):
    """Imports a module of the folder, and leaves none behind: their names are common ones."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


@pytest.fixture(scope="module")
def pairs():
    """Split -> list of ``(name, low, truth)``: waves, of which the low ones have another gain, offset and noise."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:SIZE, :SIZE]
    found = {}
    for split, count in COUNTS.items():
        found[split] = []
        for i in range(count):
            truth = (100 + 80 * np.sin(y / (4 + i % 3)) * np.cos(x / 5 + i)).astype("uint8")
            low = np.clip(0.6 * truth + 10 + rng.normal(0, 20, truth.shape), 0, 255).astype("uint8")
            found[split].append((f"fov{i // 3:03d}_c{i % 3}", low, truth))
    return found


@pytest.fixture(scope="module")
def packed(pairs, tmp_path_factory):
    """What prepare.py makes of images in the layout of W2S, and what it prints."""
    folder = tmp_path_factory.mktemp("gpu")
    for split, images in pairs.items():
        for side in ("low", "GT"):
            (folder / split / side).mkdir(parents=True)
        for name, low, truth in images:
            imwrite(folder / split / "low" / f"{name}.tif", low)
            imwrite(folder / split / "GT" / f"{name}.tif", truth)
    arguments = ["--data", folder, "--output", folder / "carried", "--packages"]
    command = [sys.executable, FOLDER / "prepare.py", *arguments]
    return folder / "carried" / "w2s.npz", subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run(packed, output, *arguments):
    """Run the benchmark on JAX; gives the results."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT), "XLA_FLAGS": FAST}
    command = [python_with_jax(), FOLDER / "benchmark.py", "--data", packed[0], "--output", output, *SMALL, *arguments]
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Strictly: NaN would be no JSON.
    return json.loads(output.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the file"))


def test_packed_images_are_those_of_the_folder(pairs, packed, script):
    splits = script("images").read_pairs(packed[0])
    assert {split: len(found.names) for split, found in splits.items()} == COUNTS
    for split, found in splits.items():
        for name, low, truth in pairs[split]:
            i = found.names.index(name)
            assert np.array_equal(found.low[i], low) and np.array_equal(found.truth[i], truth)
    assert splits["test"].channels == ["c0", "c1", "c2"] * 2
    assert "test: 6 pairs, fov000_c0 to fov001_c2" in packed[1]


def test_what_is_too_large_is_refused(packed):
    folder = packed[0].parents[1]
    arguments = ["--data", folder, "--output", folder / "refused", "--packages", "--train-images", "2", "--limit", "0"]
    done = subprocess.run([sys.executable, FOLDER / "prepare.py", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "--limit: 0 MiB, found more" in done.stderr
    assert "train: 2 pairs, fov000_c0 to fov000_c1" in done.stdout


def test_scores_are_those_of_the_care_protocol(script):
    scores, rng = script("scores"), np.random.default_rng(1)
    truth = rng.integers(0, 255, (40, 53), dtype="uint8")
    for image in (truth, rng.random(truth.shape), 7 - 0.1 * truth + rng.normal(0, 9, truth.shape).astype("float32")):
        found, expected = scores.care(truth, image), get_protocol("care")(truth, image)
        assert found["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)
        assert found["ssim"] == pytest.approx(expected["ssim"], abs=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 4.0])
def test_the_filter_is_scipys(script, sigma):
    image = np.random.default_rng(2).random((20, 31))
    np.testing.assert_allclose(script("scores").gaussian(image, sigma), gaussian_filter(image, sigma), atol=1e-12)


def test_targets_are_in_the_intensities_of_the_input(script):
    images, rng = script("images"), np.random.default_rng(3)
    truth = rng.integers(0, 255, (64, 64), dtype="uint8")
    low = np.clip(0.4 * truth + 30 + rng.normal(0, 15, truth.shape), 0, 255).astype("uint8")
    x, target = images.training_pair(low, truth)
    bottom, top = np.percentile(low, (2, 99.8))
    np.testing.assert_allclose(x, (low - bottom) / (top - bottom), rtol=1e-5, atol=1e-6)
    gain, offset = np.polyfit(truth.ravel().astype("float64"), low.ravel().astype("float64"), 1)
    np.testing.assert_allclose(target, (gain * truth + offset - bottom) / (top - bottom), rtol=1e-4, atol=1e-5)


@needs_jax
def test_work_is_counted():
    """Products by hand: a matrix product in a loop, convolutions that halve and double the size, and a gradient."""
    code = """
import jax, jax.numpy as jnp
from jax import lax
from counting import cost
def counted(function, *shapes):
    return cost(jax.make_jaxpr(function)(*(jnp.zeros(shape) for shape in shapes)))
def product(a, b):
    return lax.scan(lambda carry, _: (carry, jax.nn.relu(a @ b)), 0, None, length=3)[1]
names = ("NHWC", "HWIO", "NHWC")
down = lambda x, w: lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=names)
up = lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=names)
print(*counted(product, (5, 7), (7, 11)))
print(*counted(down, (2, 8, 8, 3), (3, 3, 3, 6)))
print(*counted(up, (2, 8, 8, 3), (4, 4, 3, 6)))
print(*counted(jax.grad(lambda w, x: down(x, w).sum()), (3, 3, 3, 6), (2, 8, 8, 3)))
"""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    done = subprocess.run([python_with_jax(), "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = [tuple(map(int, row.split())) for row in done.stdout.splitlines()]
    x, small, large, kernel = 2 * 8 * 8 * 3, 2 * 4 * 4 * 6, 2 * 16 * 16 * 6, 3 * 3 * 3 * 6
    assert found[0] == (3 * 2 * 5 * 7 * 11, 3 * 4 * (5 * 7 + 7 * 11 + 5 * 11))
    assert found[1] == (2 * small * 27, 4 * (x + kernel + small))
    # Of 4 x 4 values of the kernel a pixel of the result meets 2 x 2 pixels of the image.
    assert found[2] == (2 * large * 2 * 2 * 3, 4 * (x + 4 * 4 * 3 * 6 + large))
    # Of a sum, the convolution itself is not computed: the gradient of the kernel is one convolution of as much work.
    assert found[3][0] in (2 * small * 27, 2 * 2 * small * 27)


@needs_jax
def test_the_kernel_for_moments_and_the_networks_of_the_literature():
    code = """
import jax, numpy as np
from benchmark import literature
from moments import BLOCK, kernel_moments
x = np.random.default_rng(0).normal(1, 2, (1, 4 * BLOCK, 16)).astype("float32")
mean, second = kernel_moments(jax.numpy.asarray(x), interpret=True)
print(abs(mean - x[0].mean(0)).max(), abs(second - x[0].T @ x[0] / len(x[0])).max())
print(literature("rcan").filters, literature("rcan:published").filters, literature("rcan:filters=8:groups=1").groups)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    done = subprocess.run([python_with_jax(), "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors, sizes = done.stdout.splitlines()
    assert max(map(float, errors.split())) < 1e-4 and sizes == "16 64 1"


@needs_jax
@pytest.mark.slow
def test_the_benchmark(pairs, packed, script, tmp_path, capsys):
    found = run(packed, tmp_path / "gpu.json", *"--minutes 3 --seeds 0 --steps 30 --groups 1 --share 1".split())
    assert found["finished"] and found["left_out"] == [] and found["hardware"]["backend"] == "jax"
    assert [(r["network"], r["seed"], r["complete"]) for r in found["runs"]] == [
        (name, 0, True) for name in ("aeanet", "unet", "gvtnet")
    ]
    for entry in found["runs"]:
        assert [point["step"] for point in entry["curve"]] == list(range(3, 31, 3))
        assert entry["curve"][-1]["loss"] < entry["curve"][0]["loss"]
        assert all(np.isfinite([point["psnr"], point["seconds"]]).all() for point in entry["curve"])
        assert len(entry["test"]["images"]) == COUNTS["test"] and set(entry["test"]["channels"]) == {"c0", "c1", "c2"}
        for score in ("psnr", "ssim"):
            by_image = [row[score] for row in entry["test"]["images"]]
            assert np.isfinite(by_image).all() and entry["test"][score] == pytest.approx(np.mean(by_image))
    check_baselines(found["baselines"], pairs["test"])
    assert {(row["network"], row["precision"]) for row in found["timings"]} == {
        (network, precision) for network in NETWORKS for precision in ("float32", "bfloat16")
    }
    for row in found["timings"]:
        assert (row["task"], row["size"]) == ("predict", [1, 48, 48])
        assert min(row["operations"], row["bytes"]) > 0 and 0 < row["median"] < 10
        rate = found["rates"][row["precision"]]
        floor = max(row["operations"] / rate, row["bytes"] / found["rates"]["copy"])
        assert row["floor"] == pytest.approx(floor)
        assert row["of_matrix_rate"] == pytest.approx(row["operations"] / row["median"] / rate)
        assert (row["difference"]["largest"] == 0) == (row["precision"] == "float32")
        assert row["difference"]["mean"] < 0.02
    of = {(row["program"], row["channels"], row["dtype"]) for row in found["moments"]}
    assert {("package", count, dtype) for count in (32, 128, 512) for dtype in ("float32", "bfloat16")} <= of
    done = [row for row in found["moments"] if "failed" not in row]
    assert all(row["median"] > 0 and row["second_error"] < 1e-2 for row in done)
    assert {row["program"] for row in found["moments"] if "failed" in row} <= {"kernel"}
    script("report").main([str(tmp_path / "gpu.json")])
    text = capsys.readouterr().out
    aeanet = next(entry for entry in found["runs"] if entry["network"] == "aeanet")["test"]
    assert f"| AEANet | {aeanet['psnr']:.2f} / {aeanet['ssim']:.4f} |" in text
    assert len(rows_of(text.strip())) == 1 + 6


def check_baselines(found, tests):
    """The input's scores, and the filter's with the sigma that was chosen, are the protocol's."""
    sigma, care = found["sigma"], get_protocol("care")
    for name, restore in {"input": lambda x: x, "gaussian": lambda x: gaussian_filter(x * 1.0, sigma)}.items():
        for row, (image, low, truth) in zip(found[name]["images"], tests, strict=True):
            expected = care(truth, restore(low))
            assert row["name"] == image and row["channel"] == image[-2:]
            assert row["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)
            assert row["ssim"] == pytest.approx(expected["ssim"], abs=1e-5)
    assert found["gaussian"]["psnr"] > found["input"]["psnr"]


@needs_jax
def test_without_time_it_says_what_it_left_out(packed, script, tmp_path, capsys):
    found = run(packed, tmp_path / "gpu.json", "--minutes", "0.001", "--seeds", "0", "1")
    assert not found["finished"] and found["runs"] == found["timings"] == []
    assert [(row["section"], row.get("seed")) for row in found["left_out"]] == [
        *[("training", 0)] * 3,
        *[("timings", None)] * 6,
        *[("training", 1)] * 3,
    ]
    script("report").main([str(tmp_path / "gpu.json")])
    assert "Left out for the time: training of AEANet, seed 0; " in capsys.readouterr().out


@needs_jax
@pytest.mark.slow
def test_a_run_that_its_time_cuts_off_has_a_curve_and_no_scores(packed, tmp_path):
    arguments = "--minutes 0.7 --seeds 0 1 --steps 1000000 --networks unet --skip timings"
    found = run(packed, tmp_path / "gpu.json", *arguments.split())
    (entry,) = found["runs"]
    assert not entry["complete"] and "test" not in entry and 0 < entry["seconds"] < 42
    assert [row["seed"] for row in found["left_out"]] == [0, 1] and not found["finished"]


@needs_jax
@pytest.mark.slow
def test_everything_is_timed_and_time_decides_on_the_steps(packed, tmp_path):
    found = run(packed, tmp_path / "gpu.json", *"--minutes 10 --seeds 0 1 --seconds 2 --share 1".split())
    assert found["finished"] and len(found["runs"]) == 6
    for entry in found["runs"]:
        # As many steps as would take 2 seconds, by what a few took before; here other tests run meanwhile.
        assert entry["steps"] == max(1, round(2 / entry["seconds_a_step_before"]))
    tasks = [(row["task"], tuple(row["size"])) for row in found["timings"][::6]]
    assert tasks == [
        ("predict", (1, 48, 48)),
        ("step", (2, 16, 16)),
        ("predict", (1, 64, 64)),
        ("predict", (1, 4, 8, 8)),
        ("step", (1, 4, 8, 8)),
    ]
