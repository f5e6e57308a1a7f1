"""Training options are compared with the default under one budget of time, once, and the table says what was found."""

import importlib
import json

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.experiments import step_times
from aeanet_tf.models.folder import load_model
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.runs.train import model_config
from tests.models import EAGER, eager_tensorflow, small_settings, write_pairs
from tests.test_benchmarks import BENCHMARKS, rows_of

SMALL = small_settings(
    "training.patch_size=[16,16]",
    "training.batch_size=2",
    "training.steps=2",
    "training.steps_per_epoch=1",
)


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a script of the folder, whose directory Python has on its path when it runs one."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for seed, (split, names) in enumerate((("train", "abc"), ("val", "de"))):
        write_pairs(folder / split / "low", folder / split / "GT", names, seed=seed)
    return folder


@pytest.mark.slow
@EAGER
def test_optimisation(data, benchmark, tmp_path, monkeypatch, capsys):
    script = benchmark("optimisation")
    for name in ("WARM", "TIMED", "ROUNDS"):
        monkeypatch.setattr(step_times, name, 1)
    arguments = ["--data", str(data), "--output", str(tmp_path), "--minutes", "1e-6", "--seeds", "2", *SMALL]
    with eager_tensorflow():
        script.main([*arguments, "--only", "batch-4"])
    text = capsys.readouterr().out
    rows = rows_of(text.strip())
    assert [row[0].partition(" (")[0] for row in rows[1:]] == ["input", "Gaussian", "default", "batch 4"]
    runs = json.loads((tmp_path / f"optimisation_{data.name}.json").read_text())["runs"]
    names = [f"{data.name}-{name}-seed{seed}" for seed in range(2) for name in ("default", "batch-4")]
    assert list(runs) == names and all(run["steps"] == 2 for run in runs.values())
    cases = script.validation_cases(script.Study(str(data), tmp_path).run_config("default"))
    model, psnr = load_model(tmp_path / "models" / names[-1]), []
    for case in cases:
        low, gt = case.read()
        psnr.append(get_protocol("care")(gt, model.predict(low, "YX", own_normalizer(model)))["psnr"])
    assert runs[names[-1]]["scores"]["psnr"] == pytest.approx(np.mean(psnr), rel=1e-5)
    default, other = (np.mean([runs[name]["scores"]["psnr"] for name in names[i::2]]) for i in (0, 1))
    assert rows[-1][3].startswith(f"{other:.2f} ± ") and rows[-1][-1] == "2" and rows[3][4] == "–"
    assert float(rows[-1][4].split(" ± ")[0]) == pytest.approx(other - default, abs=0.0051)

    def never(*args, **kwargs):
        raise AssertionError("done again")

    for owner, name in ((script, "train_run"), (script.Laboratory, "score"), (script, "filter_scores")):
        monkeypatch.setattr(owner, name, never)
    capsys.readouterr()
    # What earlier runs found is shown, too.
    script.main([*arguments, "--only", "default"])
    assert capsys.readouterr().out == text
    with pytest.raises(InputError, match=r"--minutes: found 2\.0, expected 1e-06 as in "):
        script.main([*arguments, "--minutes", "2"])


def test_variants_that_compute_the_same_share_one_time(benchmark, data, tmp_path, monkeypatch):
    variants = benchmark("optimisation_variants")
    asked = []

    def numbered(path, candidates):
        asked.extend(candidates)
        return {key: number for number, key in enumerate(candidates)}

    monkeypatch.setattr(variants, "seconds_per_step", numbered)
    study = variants.Study(str(data), tmp_path)
    seconds = study.seconds(study.variants())
    same = {name for name, value in seconds.items() if value == seconds["default"]}
    schedules = {"staircase", "no-warm-up", *(f"learning-rate-{rate}" for rate in ("0.001", "0.004", "0.008"))}
    assert same == {"default", "unmatched", "clipping-to-0.1", "clipping-to-1", *schedules}
    decays = {seconds[name] for name in seconds if name.startswith("weight-decay")}
    assert len(decays) == 1 and len(asked) == len(set(seconds.values())) == len(seconds) - 8 - 2


def test_variants_are_valid_and_differ_from_the_default(benchmark, data, tmp_path):
    variants = benchmark("optimisation_variants")
    for source, rate, batch in ((str(data), 0.002, 8), ("sample", 0.004, 4)):
        study = variants.Study(source, tmp_path)
        names = study.variants()
        # The default's own loss, learning rate and batch are no variants.
        own = {"mae", f"learning-rate-{rate}", f"batch-{batch}"}
        assert set(variants.VARIANTS) - set(names) == own and names[0] == "default"
        configs = {name: study.run_config(name, 3, 250) for name in names}
        for name, config in configs.items():
            spec = model_config(config).spec
            assert not np.mod(config.training.patch_size, spec.divisor).any()
            assert config.model.name == f"{study.label}-{name}-seed3" and config.training.seed == 3
            assert config.training.steps == 250 // config.training.validations * config.training.validations
        assert configs["staircase"].training.learning_rate_decay.steps == configs["default"].training.steps // 4
        assert configs["no-warm-up"].training.learning_rate_cosine.warmup == 0
        assert configs["no-clipping"].training.clip_norm is None
        assert configs["batch-norm"].model.preset == "aeanet-em"
        assert not configs["unmatched"].data.match_targets and configs["default"].data.match_targets
    assert study.variants(["mse"]) == ["default", "mse"]
    with pytest.raises(InputError, match="--only: found msee, expected some of default, "):
        study.variants(["msee"])


def test_images_of_the_sample_are_scored_by_channel(benchmark, tmp_path):
    script = benchmark("optimisation")
    config = script.Study("sample", tmp_path).run_config("default")
    cases = script.validation_cases(config)
    assert [case.name for case in cases] == ["c0", "c1", "c2"] and cases[0].read()[0] is cases[1].read()[0]
    low, gt = cases[2].read()
    assert low.shape == (248, 176, 3) and np.array_equal(cases[2].cut(low), low[..., 2]) and gt.shape == (248, 176)
    scores = script.filter_scores(script.Laboratory(tmp_path, tmp_path, None), cases)
    (_, (name, best)) = scores.items()
    assert name.startswith("Gaussian (sigma ") and best["psnr"] > scores["input"]["psnr"]


def test_seeds_that_diverged_are_counted_and_left_out(benchmark):
    script = benchmark("optimisation")
    found = {"default": (30.0, 31.0, 32.0), "mse": (31.0, None, 33.5)}
    runs = {
        f"{name}{seed}": {
            "variant": name,
            "seed": seed,
            "steps": 100,
            "seconds_per_step": 0.25,
            "scores": psnr and {"psnr": psnr, "ssim": psnr / 100},
        }
        for name, scores in found.items()
        for seed, psnr in enumerate(scores)
    }
    rows = rows_of(script.variants_table({"filters": {"input": {"psnr": 20.0, "ssim": 0.5}}, "runs": runs}))
    assert rows[1] == ["input", "–", "–", "20.00", "–", "0.5000", "–", "–"]
    # Student's t of 2 degrees of freedom, 97.5 %: 4.303, of 1: 12.71.
    assert rows[2][:5] == ["default", "100", "0.250", f"31.00 ± {4.3027 / 3**0.5:.2f}", "–"]
    assert rows[3][3:5] == [f"32.25 ± {12.7062 * 2.5 / 2:.2f}", f"+1.25 ± {12.7062 * 0.25:.2f}"]
    assert rows[3][-1] == "2, 1 diverged"


def test_mistakes(benchmark, data, tmp_path):
    script = benchmark("optimisation")
    arguments = ["--data", str(data), "--output", str(tmp_path)]
    for options, message in (
        (["--minutes", "0"], "--minutes: found 0, expected a number above 0"),
        (["--seeds", "0"], "--seeds: found 0, expected at least 1"),
        (["--set", "training.stepz=3"], "stepz: unknown key"),
        (["--set", 'data={"kind": "npz"}'], "data.kind: found 'npz', expected folders or sample"),
    ):
        with pytest.raises(InputError, match=message):
            script.main([*arguments, *options])
    (tmp_path / f"optimisation_{data.name}.json").write_text("[]")
    with pytest.raises(InputError, match="found something else, expected results of this benchmark"):
        script.main(arguments)


@EAGER
def test_starts(data, benchmark, tmp_path, capsys):
    script = benchmark("starts")
    small = [*SMALL[:-4], "--steps", "3", "--batch", "2", "--patch", "16", "--seeds", "2"]
    with eager_tensorflow():
        script.main(["--data", str(data), "--learning-rates", "0.001", *small, "--json", str(tmp_path / "starts.json")])
    rows = rows_of(capsys.readouterr().out.strip())
    assert [row[0] for row in rows[1:]] == list(script.STARTS) and all(row[1].endswith(" of 2") for row in rows[1:])
    losses = json.loads((tmp_path / "starts.json").read_text())["losses"]
    first = {name: by_rate["0.001"][0][0] for name, by_rate in losses.items()}
    # The same seed gives the same weights but for what attention starts with.
    assert len(set(first.values())) == 3
    assert script.is_thrown_off([1.0] * 10 + [6, 0.5]) and script.is_thrown_off([float("nan"), 1])
    assert not script.is_thrown_off([1.0] * 10 + [4, 0.5])
