"""The benchmarks of prediction run from the command line, and give what a direct computation gives."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite

from aeanet_tf.errors import InputError
from tests.interop.example_models import make_model

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SIZE, TILE = 96, 32


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Arguments for a model and for three pairs in the layout of W2S; the model; the pairs."""
    folder, rng, pairs = tmp_path_factory.mktemp("benchmarks"), np.random.default_rng(0), []
    model = _attentive(make_model("em", folder, "em"))
    for side in ("low", "GT"):
        (folder / "test" / side).mkdir(parents=True)
    for i in range(3):
        y, x = np.mgrid[:SIZE, :SIZE] / (9 + i)
        # The last one differs, for the group to have another context than each image has.
        truth = 90 + 60 * np.sin(y) * np.cos(x) if i < 2 else np.where(rng.random(x.shape) < 0.02, 200, 20)
        truth = truth.astype("uint8")
        low = np.clip(truth / 2 + 10 + rng.normal(0, 0.3, truth.shape) * np.sqrt(truth), 0, 255).astype("uint8")
        pairs.append((low, truth))
        for side, image in zip(("low", "GT"), pairs[-1], strict=True):
            imwrite(folder / "test" / side / f"{i}.tif", image)
    return ["--model", str(folder / "em"), "--data", str(folder)], model, pairs


def _attentive(model):
    """Triple the attention's kernels, so that it matters what is attended to, and save that."""
    for variable in model.keras_model.weights:
        if "attention" in variable.path and variable.path.endswith("kernel"):
            variable.assign(3 * variable)
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a script of the folder, whose directory Python has on its path when it runs one."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def rows_of(text):
    """Cells of the last table that was printed, the header first."""
    lines = [line for line in text.split("\n\n")[-1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| ---")]


def psnr(truth, image):
    """CARE's, written out: truth to percentiles 0.1 and 99.9, image fitted to it by a straight line."""
    low, high = np.percentile(truth, (0.1, 99.9))
    truth = (truth.ravel() - low) / (high - low)
    fitted = np.polyval(np.polyfit(image.ravel().astype("float64"), truth, 1), image.ravel())
    return -10 * np.log10(np.mean((truth - fitted) ** 2))


def test_seams(sources, benchmark, tmp_path, capsys):
    arguments, model, ((low, truth), *_) = sources
    output = tmp_path / "seams.json"
    benchmark("seams").main([*arguments, "--every", "3", "--tiles", str(TILE), "--output", str(output)])
    (row,) = json.loads(output.read_text())
    overlap, exact = row[f"overlap {TILE}"], row[f"exact {TILE}"]
    assert exact["largest"] < 1e-5 < overlap["mean"] < overlap["largest"]
    whole = model.predict(low.astype("float32"), "YX")
    tiled = model.predict(low.astype("float32"), "YX", n_tiles=(3, 3), tiling="overlap")
    assert row["whole"]["psnr"] == pytest.approx(psnr(truth, whole), abs=1e-3)
    assert overlap["psnr"] == pytest.approx(psnr(truth, tiled), abs=1e-3)
    assert overlap["mean"] == pytest.approx(np.abs(tiled - whole).mean() / np.ptp(whole), rel=1e-4)
    table = rows_of(capsys.readouterr().out)
    assert [line[0] for line in table] == ["tile", "whole", str(TILE)]
    assert float(table[2][1]) == pytest.approx(overlap["mean"], rel=0.1)
    assert float(table[1][3]) == pytest.approx(row["whole"]["psnr"], abs=1e-3)


def test_a_step_between_tiles_is_found(benchmark):
    image = np.kron([[0.0, 1.0], [1.0, 2.0]], np.ones((8, 8)))
    image[:, 1] += 0.5
    border, elsewhere = benchmark("seams").steps(image, 8)
    assert (border, elsewhere) == (1, pytest.approx(0.5 * 2 * 16 / (2 * 14 * 16)))


def test_tiles_have_to_divide_the_image(sources, benchmark):
    for side in ("40", "96", "6"):
        with pytest.raises(InputError, match=f"--tiles: {side}, expected"):
            benchmark("seams").main([*sources[0], "--tiles", side])


def test_shared_context(sources, benchmark, tmp_path, capsys):
    arguments, model, pairs = sources
    output, figure = tmp_path / "context.json", tmp_path / "context.png"
    script = benchmark("shared_context")
    script.main([*arguments, "--frames", "3", "--output", str(output), "--figure", str(figure)])
    found = json.loads(output.read_text())
    own, group = (found["images"][context]["psnr"] for context in ("image", "group"))
    lows, truths = [low.astype("float32") for low, _ in pairs], [truth for _, truth in pairs]
    together = model.predict(lows, "YX", context="group")
    assert own == pytest.approx([psnr(t, model.predict(x, "YX")) for x, t in zip(lows, truths, strict=True)], abs=1e-3)
    assert group == pytest.approx([psnr(t, x) for x, t in zip(together, truths, strict=True)], abs=1e-3)
    assert not np.allclose(own, group, atol=3e-3)
    text = capsys.readouterr().out
    assert f"| {np.mean(own):.4f} | {np.mean(group):.4f} | {np.mean(group) - np.mean(own):+.4f} ± " in text

    scene, rng = script.fit_scene(lows[0], truths[0]), np.random.default_rng(0)
    scene.describe(rng)
    frames, signals = zip(*(scene.frame(1, rng) for _ in range(3)), strict=True)
    restored = [model.predict(frame, "YX") for frame in frames]
    means = np.array([image.mean() for image in restored])
    row = next(r for r in found["lapses"] if (r["lapse"], r["percentiles"], r["context"]) == FIRST)
    assert row["variation"] == pytest.approx(means.std(ddof=1) / means.mean(), rel=0.01)
    assert row["psnr"] == pytest.approx(np.mean([psnr(signals[0], image) for image in restored]), abs=1e-3)
    assert len(rows_of(text)) == 1 + 2 * 5 and figure.stat().st_size > 1000


FIRST = ("steady", "each frame's", "image")


def test_the_noise_is_found_again(benchmark):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 200, (256, 256))
    low = 0.5 * truth + 20 + rng.standard_normal(truth.shape) * np.sqrt(2 * (0.5 * truth + 20) + 30)
    scene = benchmark("shared_context").fit_scene(low, truth)
    assert np.allclose(scene.signal, 0.5 * truth + 20, atol=1)
    assert scene.gain == pytest.approx(2, rel=0.1)
    assert scene.gain * 70 + scene.offset == pytest.approx(170, rel=0.05)


def test_paired_differences(benchmark):
    mean, half, better = benchmark("shared_context").paired([1, 2, 3, 4], [2, 2, 5, 3])
    # Student's t of 3 degrees of freedom, 97.5 %: 3.182; standard deviation of 1, 0, 2, -1: 1.291.
    assert (mean, better) == (0.5, 2)
    assert half == pytest.approx(3.1824 * 1.29099 / 2, rel=1e-3)
