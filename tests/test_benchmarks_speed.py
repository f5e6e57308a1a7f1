"""The speed benchmarks run from the command line, compare in turn what computes the same, and report it right."""

import importlib
import json
import platform
import sys

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from tests.interop.example_models import randomise
from tests.test_benchmarks import BENCHMARKS, rows_of

# Two resolutions instead of three: most of the time here goes into traces.
SMALL = {"first_filters": 4, "depth": 2, "encoding_blocks": [1, 0], "decoding_blocks": [1]}
REFERENCES = json.dumps({**SMALL, "attention": {"shared_references": 3}})


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a script of the folder, whose directory Python has on its path when it runs one."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def in_this_process(monkeypatch, benchmark):
    """Has a script's `call_apart` call the function here, which saves the seconds that TensorFlow takes to load."""

    def call(target, **arguments):
        module, function = target.split(":")
        return getattr(benchmark(module), function)(**json.loads(json.dumps(arguments)))

    return lambda script: monkeypatch.setattr(benchmark(script), "call_apart", call)


def check_ratios(programs, baseline):
    """Medians, and ratios to that of the baseline, are those of the times in the file."""
    for found in programs.values():
        assert found["median"] == pytest.approx(np.median(found["seconds"]))
        assert found["ratio"] == pytest.approx(found["median"] / programs[baseline]["median"])
        assert found["quartiles"] == pytest.approx(list(np.percentile(found["seconds"], (25, 75))))


def test_programs_alternate_after_their_warm_up(benchmark):
    timing, order = benchmark("timing"), []

    def measure(name, seconds):
        return lambda: order.append(name) or seconds

    times = timing.alternate({"a": measure("a", 0.5), "b": measure("b", 2.0)}, 4)
    assert "".join(order) == "aab" + "abababab"
    assert times == {"a": [0.5] * 4, "b": [2.0] * 4}
    assert timing.summary(times, "a")["b"]["ratio"] == timing.summary(times, "b")["a"]["ratio"] ** -1 == 4
    order.clear()
    timing.alternate({"a": measure("a", 1), "b": measure("b", 1)}, 9, seconds=0, warm_up=False)
    assert "".join(order) == "ab" * timing.FEWEST_ROUNDS


def test_drift_does_not_change_the_quartiles_of_ratios(benchmark):
    drift = np.array([1.0, 1.5, 2.0, 4.0])
    found = benchmark("timing").summary({"a": list(drift), "b": list(3 * drift)}, "a")["b"]
    assert found["ratio_quartiles"] == pytest.approx([3, 3])
    assert found["quartiles"] == pytest.approx(list(3 * np.percentile(drift, (25, 75))))


def test_short_functions_are_called_repeatedly(benchmark):
    calls, now = [], [0.0]

    def function():
        calls.append(now[0])
        now[0] += 0.01

    timing = benchmark("timing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "perf_counter", lambda: now[0])
        measure = timing.clocked(function, least=0.05)
        assert measure() == pytest.approx(0.01) and len(calls) == 1
        assert measure() == pytest.approx(0.01) and len(calls) in (6, 7)


ALLOCATIONS = """
import numpy as np
from peak_memory import extra_memory

def allocate(megabytes):
    def prepare(size):
        given = np.ones(500_000 * size)

        def run():
            # Two at a time: what is given, of 4 MB for each, is not to count.
            work = np.ones(125_000 * size)
            return work + given[: len(work)]

        return run

    return extra_memory(prepare, 1, megabytes // 2)
"""


def test_peak_memory_of_a_known_allocation(benchmark, monkeypatch, tmp_path):
    (tmp_path / "allocations.py").write_text(ALLOCATIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert benchmark("fresh").call_apart("allocations:allocate", megabytes=200) == pytest.approx(200e6, rel=0.1)


def test_peak_memory_of_an_attention_matrix(benchmark):
    case = {"program": "matrix", "positions": 5184, "channels": 2, "mode": "forward"}
    found = benchmark("fresh").call_apart("attention_programs:extra_bytes", **case)
    assert found == pytest.approx(2 * 5184**2 * 4, rel=0.1)


def test_a_failed_process_says_why(benchmark):
    with pytest.raises(RuntimeError, match=r"nosuchmodule:f failed with 1: (.|\n)*No module named 'nosuchmodule'"):
        benchmark("fresh").call_apart("nosuchmodule:f")


def test_attention_operator(benchmark, monkeypatch, tmp_path, capsys):
    script, output, asked = benchmark("attention_operator"), tmp_path / "attention.json", []
    # What it measures in other processes is tested above.
    monkeypatch.setattr(script, "call_apart", lambda target, **case: asked.append(case) or 64 * case["positions"])
    options = ["--lengths", "16", "36", "--channels", "4", "--peaks", "4", "--rounds", "2", "--memory", "5e-6"]
    script.main([*options, "--roofline", "--matrix", "8", "--array", "100", "--output", str(output)])
    found = json.loads(output.read_text())
    assert [(row["mode"], row["positions"]) for row in found["times"]] == [
        (mode, length) for mode in script.MODES for length in (16, 36)
    ]
    for row in found["times"]:
        check_ratios(row["programs"], "moments")
        # 2 x 36 x 36 numbers are more than 5 kB.
        assert list(row["programs"]) == ["moments", "direct", "matrix", "softmax"][: 4 if row["positions"] == 16 else 2]
    assert found["largest_difference"] < 1e-4
    assert (
        len(asked) == 2 * (4 + 2) and {"program": "direct", "positions": 36, "channels": 4, "mode": "forward"} in asked
    )
    assert found["memory"][0]["extra_bytes"]["matrix"] == 64 * 16 and found["memory"][0]["input_bytes"] == 4 * 4 * 16
    check_roofline(found, benchmark("roofline"))
    titles = [line[3:] for line in capsys.readouterr().out.splitlines() if line.startswith("## ")]
    assert titles[1:] == ["Time, forward (ms)", "Time, forward+backward (ms)", "Time a position", "Extra memory",
                          "Against the device"]  # fmt: skip


def check_roofline(found, roofline):
    """Rates times seconds give the operations and bytes that are counted, for the longest of each program."""
    programs = found["roofline"]["programs"]
    assert {(p["program"], p["positions"]) for p in programs} == {
        ("moments", 36), ("direct", 36), ("matrix", 16), ("softmax", 16)
    }  # fmt: skip
    direct = next(p for p in programs if (p["mode"], p["program"]) == ("forward", "direct"))
    seconds = found["times"][1]["programs"]["direct"]["median"]
    # Four projections, and two products of 2 channels within 2 heads.
    assert direct["flop_per_second"] * seconds == pytest.approx(36 * (4 * 2 * 4 * 4 + 2 * 2 * 2 * 2 * 2))
    assert direct["of_matrix_rate"] == pytest.approx(direct["flop_per_second"] / found["roofline"]["rates"]["float32"])
    assert roofline.cost("matrix", 36, 4, "forward+backward")[0] == 3 * (36 * 4 * 2 * 4 * 4 + 2 * 2 * 36 * 36 * 4)


def test_what_does_not_fit_is_left_out(benchmark, monkeypatch):
    script, programs, tables = (benchmark(name) for name in ("attention_operator", "attention_programs", "tables"))
    monkeypatch.setattr(programs, "available_memory", lambda: 0)
    row = script.time_row(script.parse(["--rounds", "1"]), 4, 16, "forward")
    assert row["programs"] == {}
    cells = script.times_table([row], programs.PROGRAMS).splitlines()[-1].strip("| ").split(" | ")
    assert cells == ["4", "16", *[tables.ABSENT] * 7]

    def exhausted():
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr(programs, "gpus", lambda: ["one"])
    assert programs.fits("direct", 16, 4, "forward", 0) and not programs.fits("softmax", 16, 4, "forward", 0)
    assert programs.starts(lambda: None, []) and not programs.starts(exhausted, [])


def test_sparse_attention(benchmark, in_this_process, tmp_path, capsys):
    script, output = benchmark("sparse_attention"), tmp_path / "sparse.json"
    in_this_process("sparse_attention")
    options = ["--sizes", "18", "8", "--dense-sizes", "8", "12", "--peaks", "8", "--channels", "8", "--heads", "2"]
    script.main([*options, "--rounds", "3", "--output", str(output)])
    found = json.loads(output.read_text())
    assert 0 <= found["difference"] < 1e-4
    assert [row["size"] for row in found["times"]] == [8, 12, 18]
    for row in found["times"]:
        check_ratios(row["programs"], "sparse")
        assert list(row["programs"]) == list(script.PROGRAMS[: 3 if row["size"] == 18 else 4])
    assert found["times"][0]["weights"]["dense"] == 2 * 8**4
    check_growth(found, "sparse", [8, 18])
    check_growth(found, "dense", [8, 12])
    (memory,) = found["memory"]
    assert memory["input_bytes"] == 4 * 8 * 8 * 8 and list(memory["programs"]) == list(script.PROGRAMS)
    assert all(0 <= one["extra_bytes"] < one["resident_bytes"] for one in memory["programs"].values())
    cells = rows_of(capsys.readouterr().out.split("\n\n## Growth")[0])
    assert [line[0] for line in cells[1:]] == ["8 x 8", "12 x 12", "18 x 18"] and cells[-1][4] == cells[-1][7] == "–"


def check_growth(found, program, sides):
    """The exponent is that of the medians at two sides."""
    first, last = (next(row for row in found["times"] if row["size"] == side) for side in sides)
    growth = next(one for one in found["growth"] if one["program"] == program)
    assert growth["sizes"] == sides
    for exponent, values in (
        (growth["exponent"], [row["programs"][program]["median"] for row in (first, last)]),
        (growth["weights_exponent"], [row["weights"][program] for row in (first, last)]),
    ):
        assert values[0] * (sides[1] / sides[0]) ** (2 * exponent) == pytest.approx(values[1])


def test_sparse_attention_is_not_switched_off(benchmark, monkeypatch):
    """By gammas of zero, with which it would give back its input; and it forms the weights that the paper counts."""
    script = benchmark("sparse_attention")
    x = script.features(8, 8)
    assert np.abs(script.make_function(script.SPARSE, 8, 8)(x) - x).max() > 0.01
    original = script.make_function
    monkeypatch.setattr(script, "make_function", lambda name, *a: original(name, *a) if name == "sparse" else abs)
    with pytest.raises(benchmark("agreement").DisagreementError, match=r"sparse, any size: result 0 is .* off sparse"):
        script.check(8, 8)
    assert script.steps(script.SPARSE, 512) == [(512 * 8) ** 2] * 3
    assert script.steps(script.GLOBAL, 512) == []


def test_dense_attention_that_does_not_fit_is_left_out(benchmark, monkeypatch):
    script = benchmark("sparse_attention")
    monkeypatch.setattr(script, "gpus", lambda: [])
    monkeypatch.setattr(script, "available_memory", lambda: 2e9)
    assert script.fits(script.SPARSE, 512, 64, 1) and not script.fits(script.DENSE, 512, 64, 1)
    monkeypatch.setattr(script, "gpus", lambda: ["one"])
    assert script.fits(script.DENSE, 512, 64, 1)


@pytest.mark.parametrize("mode", ["forward", "forward+backward"])
def test_another_attention_is_found_out(benchmark, monkeypatch, mode):
    programs = benchmark("attention_programs")
    programs.check_programs(16, 4, mode)
    monkeypatch.setattr(programs, "HEADS", 1)
    original = programs.GlobalAttention
    monkeypatch.setattr(programs, "GlobalAttention", lambda *a, num_heads, **k: original(*a, num_heads=2, **k))
    with pytest.raises(benchmark("agreement").DisagreementError, match=r"matrix: result 0 is .* off direct"):
        programs.check_programs(16, 4, mode)


def test_no_number_is_no_agreement(benchmark):
    agreement = benchmark("agreement")
    assert agreement.check_agreement({"a": [[1.0, 3.0]], "b": [[1.0, 3.002]]}, "a", 1e-2) == pytest.approx(1e-3)
    for other in ([1.0, np.nan], [1.0, 3.1], [1.0, 2.0, 3.0]):
        with pytest.raises(agreement.DisagreementError):
            agreement.check_agreement({"a": [[1.0, 3.0]], "b": [other]}, "a", 1e-2)


@pytest.mark.slow
def test_networks(benchmark, tmp_path, capsys):
    script, output = benchmark("networks"), tmp_path / "networks.json"
    sizes = ["--predict-size", "16", "24", "--step-size", "2", "16", "16"]
    network = ["--network", REFERENCES, "--xla"]
    script.main(["--presets", "aeanet-em", *sizes, *network, "--rounds", "2", "--output", str(output)])
    found = json.loads(output.read_text())
    assert [(row["task"], row["size"]) for row in found["rows"]] == [("predict", [16, 24]), ("step", [2, 16, 16])]
    for row in found["rows"]:
        check_ratios(row["programs"], "aeanet_tf")
        assert row["difference"] < 1e-4 and "plain, XLA" in row["programs"]
        assert row["parameters"]["aeanet_tf"] == row["parameters"]["plain"] != row["parameters"]["CARE"]
    header, line = rows_of(capsys.readouterr().out.strip())
    assert dict(zip(header, line, strict=True))["plain"] == f"{row['parameters']['plain']:,}"


def test_convolutions(benchmark, tmp_path, capsys, monkeypatch):
    script, output = benchmark("convolutions"), tmp_path / "convolutions.json"
    monkeypatch.setattr(script, "CASES", (((1, 2, 4, 4), 2, 3, 3, 2, False), ((1, 4, 4), 2, 3, 4, 2, True)))
    script.main(["--rounds", "1", "--output", str(output)])
    rows, lines = json.loads(output.read_text())["rows"], rows_of(capsys.readouterr().out.strip())[1:]
    assert [line[:3] for line in lines] == [
        ["kernel 3, stride 2", "1 x 2 x 4 x 4", "2 to 3"],
        ["transposed, kernel 4, stride 2", "1 x 4 x 4", "2 to 3"],
    ]
    for row in rows:
        assert row["difference"] < 1e-4
        check_ratios(row["gradients"], "aeanet_tf")


@pytest.mark.slow
def test_instruction_sets(benchmark, tmp_path, capsys):
    """Each in a process of its own, of which oneDNN was told what it may take."""
    script, output = benchmark("instruction_sets"), tmp_path / "sets.json"
    sizes = ["--predict-size", "16", "24", "--step-size", "2", "16", "16", "--network", REFERENCES]
    script.main(["--sets", "SSE41", "off", *sizes, "--rounds", "1", "--output", str(output)])
    sets = json.loads(output.read_text())["sets"]
    assert list(sets) == ["SSE41", "off"]
    assert "ONEDNN_MAX_CPU_ISA=SSE41" in sets["SSE41"]["hardware"]
    assert "TF_ENABLE_ONEDNN_OPTS=0" in sets["off"]["hardware"]
    lines = rows_of(capsys.readouterr().out.strip())[1:]
    assert [line[:2] for line in lines] == [[name, task] for name in sets for task in ("predict", "step")]
    row = sets["off"]["rows"][1]["programs"]
    assert lines[3][-1] == benchmark("tables").digits(row["aeanet_tf"]["median"] / row["plain"]["median"])


def test_sets_of_instructions_are_those_of_the_processor(benchmark, monkeypatch):
    script = benchmark("instruction_sets")
    monkeypatch.setattr(script, "instructions", lambda: {"sse4_1", "avx2"})
    assert script.available() == ["AVX2", "SSE41", "off"]
    monkeypatch.setattr(script, "instructions", set)
    assert script.available() == list(script.SETS)


def test_another_network_is_found_out(benchmark, monkeypatch):
    script, plain = benchmark("networks"), benchmark("plain_networks")
    monkeypatch.setattr(plain.PlainAttention, "_with_references", lambda self, x: x)
    sizes = ["--predict-size", "16", "16", "--step-size", "2", "16", "16"]
    with pytest.raises(benchmark("agreement").DisagreementError, match=r"plain: result 0 is .* off aeanet_tf"):
        script.main(["--presets", "aeanet-em", *sizes, "--network", REFERENCES])


@pytest.mark.parametrize("preset", ["aeanet-em", "aeanet-care", "gvtnet-em", "gvtnet-labelfree", "unet-care"])
def test_plain_networks_predict_and_learn_the_same(benchmark, preset):
    import keras

    from aeanet_tf.networks import as_spec, build_network

    spec = as_spec(preset).replace(first_filters=4)
    if spec.attention.shared_references:
        spec = spec.replace(attention__shared_references=3)
    if preset == "gvtnet-em":
        augmented = {"batch_aware": True, "shared_references": 3}
        spec = spec.replace(downsampling=("convolution", "attention_v2"), activation="relu", attention=augmented)
    # Where a kink of the loss lies within rounding, or steps are so large that the loss grows, later steps differ.
    keras.utils.set_random_seed(2)
    network = build_network(spec)
    randomise(network)
    plain = benchmark("plain_networks").plain_network(spec, network)
    rng, size = np.random.default_rng(0), spec.divisor[0] * 2
    x, y = rng.random((2, 4, *[size] * spec.dimension, 1), "float32")
    assert np.allclose(network(x), plain(x), atol=1e-4 * np.ptp(network(x)))
    losses = []
    for one in (network, plain):
        one.compile(keras.optimizers.SGD(0.02), "mse", run_eagerly=True)
        losses.append([float(one.train_on_batch(x, y)) for _ in range(3)])
    # The third step tells whether gradients and batch norm's statistics were the same.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0][0] != pytest.approx(losses[0][2], rel=1e-3)


def test_plain_networks_refuse_what_they_do_not_know(benchmark):
    from aeanet_tf.networks import presets

    for changes in (
        {"probabilistic": True},
        {"attention__normalization": "softmax"},
        {"attention__residual": "v1"},
        {"attention__value_filters": 8},
    ):
        with pytest.raises(InputError, match="network: expected"):
            benchmark("plain_networks").plain_network(presets["gvtnet-care"].replace(**changes))


@pytest.mark.slow
def test_scaling(benchmark, tmp_path, capsys):
    pytest.importorskip("distributed")
    script, output = benchmark("scaling"), tmp_path / "scaling.json"
    words = "--size 300 400 --channels 2 --max-memory 2GB --workers 0 1 2".split()
    script.main([*words, "--output", str(output), "--folder", str(tmp_path)])
    found = json.loads(output.read_text())
    assert found["stored"] == 4 * 2 * 300 * 400 and [run["workers"] for run in found["runs"]] == [0, 1, 2]
    for run in found["runs"][1:]:
        *parts, _ = run["parts"]
        assert [part["name"] for part in parts] == ["sweep 1"], "small enough for one piece"
        assert sum(part["between"] + part.get("span", 0) for part in run["parts"]) == pytest.approx(
            run["seconds"], abs=0.1
        )
        assert 3e8 < run["peak"] < 2e9
    lines = rows_of(capsys.readouterr().out.strip())
    assert lines[-1][0] == "chunks written (MB/s)" and sorted(tmp_path.iterdir()) == [output]


def test_parts_are_those_that_the_scheduler_tells(benchmark):
    def task(key, worker, start, stop):
        times = [{"action": "transfer", "start": 0, "stop": 1}, {"action": "compute", "start": start, "stop": stop}]
        return {"key": key, "worker": worker, "startstops": times}

    tasks = [task("job-ab-1-(0, 0)", "a", 30, 31), task("another", "a", 0, 50), task("_alone-1", "b", 11, 12)]
    tasks += [
        task("job-cd-0-(0, 0)", "a", 14, 19),
        task("job-cd-0-(0, 1)", "b", 15, 17),
        task("job-cd-0-(0, 2)", "b", 17, 18),
    ]
    statistics, first, second, end = benchmark("scaling").parts(tasks, 10, 33)
    assert (statistics["name"], statistics["between"], statistics["span"]) == ("statistics", 1, 1)
    assert first == {"name": "sweep 1", "tasks": 3, "between": 2, "span": 5, "busy": 8, "first": 5, "median": 2}
    assert (second["between"], second["span"], end) == (11, 1, {"name": "end", "between": 2})


@pytest.mark.slow
def test_overhead(benchmark, in_this_process, monkeypatch, tmp_path, capsys):
    script, output = benchmark("overhead"), tmp_path / "overhead.json"
    in_this_process("overhead_folder")
    in_this_process("overhead_cli")
    monkeypatch.setattr(benchmark("overhead_cli"), "wall", command_here)
    sizes = ["--image", "32", "--files", "2", "--file", "32", "--small", "16", "24", "--cold", "32", "--patch", "16"]
    network = ["--preset", "gvtnet-em", "--network", json.dumps({**SMALL, "batch_norm": False})]
    script.main([*sizes, "--batch", "2", "--steps", "2", *network, "--rounds", "1", "--output", str(output)])
    found = json.loads(output.read_text())
    baselines = {"image": "tf.function", "folder": "predict_files, one size", "cli": "aeanet predict"}
    for part, baseline in {**baselines, "training": "train_on_batch"}.items():
        check_ratios(found[part]["programs"], baseline)
    for side in ("16", "24"):
        check_ratios(found["small"]["sizes"][side], "one by one")
    cli = found["cli"]["programs"]
    rest = [cli[name]["median"] for name in ("aeanet predict", "import tensorflow", "network, first call")]
    assert found["cli"]["remainder"] == pytest.approx(rest[0] - rest[1] - rest[2])
    assert cli["network, warm"]["median"] <= cli["network, first call"]["median"]
    assert found["training"]["programs"]["AEANet.train, whole call"]["median"] > 0
    lines = rows_of(capsys.readouterr().out.split("\n\nEpochs")[0])
    assert float(lines[2][2]) == pytest.approx(2 / found["training"]["programs"]["AEANet.train"]["median"], rel=0.01)


def command_here(*arguments):
    """What `overhead_cli.wall` runs, in this process, where it is a command of the library; nothing else."""
    if arguments[0] == "-c":
        return 0.25
    from aeanet_tf.cli.main import main

    assert arguments[:2] == ("-m", "aeanet_tf.cli.main")
    if arguments[2:] != ("--help",):
        assert main(list(arguments[2:])) == 0
    return 1.0


def test_commands_run_in_a_process_of_their_own(benchmark):
    wall = benchmark("overhead_cli").wall
    assert wall("-c", "pass") > 0
    with pytest.raises(RuntimeError, match="failed with 3"):
        wall("-c", "raise SystemExit(3)")


def test_folders_hold_the_same_number_of_pixels(benchmark):
    many_sizes = benchmark("overhead_folder").many_sizes
    for count in (20, 5):
        sizes = many_sizes(count, 256)
        assert len(set(sizes)) == count and sum(y * x for y, x in sizes) == count * 256**2
    with pytest.raises(InputError, match="--file: 32, expected more than 80"):
        many_sizes(20, 32)


def test_another_prediction_is_found_out(benchmark):
    script = benchmark("overhead_image")
    image = np.random.default_rng(0).gamma(2, 50, (16, 16)).astype("float32")
    normalised = script.PercentileNormalizer().before(image, "YX")
    results = dict.fromkeys((script.BARE, "keras_model.predict", "AEANet.predict, normalised"), normalised)
    script.check({**results, "AEANet.predict": image}, image)
    with pytest.raises(benchmark("agreement").DisagreementError, match=r"AEANet\.predict: "):
        script.check({**results, "AEANet.predict": image + 1}, image)


def test_pipeline(benchmark, tmp_path, capsys):
    output = tmp_path / "pipeline.json"
    sizes = ["--image", "32", "--images", "2", "--patch", "16", "--volume", "4", "8", "8", "--volumes", "3"]
    arguments = ["--batch", "2", "--batches", "2", "--workers", "1", "2", "--rounds", "2", "--output", str(output)]
    benchmark("pipeline").main([*sizes, *arguments])
    rows = json.loads(output.read_text())["rows"]
    assert [row["augment"] for row in rows] == [False, True] * 3
    for row in rows:
        check_ratios(row["programs"], "NumPy")
        assert ("CSBDeep" in row["programs"]) == row["case"].startswith("3D")
        assert {"PatchSampler", "fit, workers=1", "fit, workers=2"} < set(row["programs"])
    table = rows_of(capsys.readouterr().out.split("\n\nIn brackets")[0])
    rate = rows[0]["patches"] / rows[0]["programs"]["NumPy"]["median"]
    assert float(table[1][3].split()[0].replace(",", "")) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("patch", [(8, 16), None])
def test_all_sources_give_patches_of_the_images(benchmark, patch):
    sources = benchmark("pipeline_sources")
    images = list(np.arange(2 * 16 * 16, dtype="uint16").reshape(2, 16, 16, 1))
    x, y = sources.NumpyPatches(images, patch, False, 5)[0]
    assert x.dtype == y.dtype == np.float32 and x.shape == (5, *(patch or (16, 16)), 1) and (x == y).all()
    for crop in x.astype(int):
        first = crop[0, 0, 0]
        assert (crop[..., 0] - first == np.arange(crop.shape[0])[:, None] * 16 + np.arange(crop.shape[1])).all()
    turned, same = sources.NumpyPatches([images[1]], None, True, 9)[0]
    assert (turned == same).all() and (np.sort(turned.reshape(9, -1)) == images[1].ravel()).all()
    assert len(set(turned[:, 0, 0, 0])) > 1


def test_hardware_facts_name_no_machine(benchmark):
    hardware = benchmark("hardware")
    found = hardware.facts()
    assert found["versions"].keys() >= {"tensorflow", "keras", "csbdeep"} and found["cores"] >= 1
    assert set(found["flags"]) == {"avx512f", "avx512_bf16", "amx_bf16"}
    assert platform.node() not in json.dumps(found)
    assert found["versions"]["keras"] in hardware.line(found)


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        ("attention_operator", "--rounds 0", "--rounds: 0, expected at least 1"),
        ("attention_operator", "--channels 3", "--channels, --peaks: 3, expected even numbers, for two heads"),
        ("sparse_attention", "--channels 12", "--channels: 12, expected a multiple of 8"),
        ("sparse_attention", "--dense-sizes 64 0", "--dense-sizes: 0, expected at least 1"),
        ("networks", "--network [", "--network: [, expected JSON of the form {...}"),
        ("instruction_sets", "--sets avx", "--sets: avx, expected some of AVX512_CORE, AVX2, SSE41, off"),
        ("networks", "--presets aeanet-em --predict-size 9 8", "--predict-size: 9 8, expected y x, the latter in "
         "multiples of 4 x 4"),
        ("overhead", "--image 20", "--image: 20, expected a multiple of 8"),
        ("overhead", "--preset gvtnet-care", "--preset: gvtnet-care, expected one for 2D images"),
        ("pipeline", "--image 16 --patch 32", "--patch: 32, expected at most 16, the size of the images"),
    ],
)  # fmt: skip
def test_bad_input_gives_one_line(benchmark, capsys, script, arguments, message):
    main = benchmark(script).main
    with pytest.raises(SystemExit) as error:
        benchmark("tables").run_script(lambda: main(arguments.split()))
    assert error.value.code == 2 and capsys.readouterr().err == f"error: {message}\n"


def test_digits(benchmark):
    digits = benchmark("tables").digits
    assert [digits(n) for n in (0.001234, 1.5, 12345.6, 99.96, 0, None)] == [
        "0.00123", "1.50", "12,346", "100.0", "0", "–"
    ]  # fmt: skip
    assert "tables" in sys.modules
