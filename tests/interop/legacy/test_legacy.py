"""The exported zips in the runtimes of Fiji's plugin, each in an environment that `make test-all` sets up."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.interop.fiji import export_fiji, meta
from aeanet_tf.interop.runtimes import operations
from aeanet_tf.interop.tf1_checkpoint import import_checkpoint
from aeanet_tf.io.read import read_image
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.folder import load_model, prediction_normalization
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import train_run
from tests.golden.original import GOLDEN, load, needs_golden
from tests.interop.care_folders import CARE_FOLDERS, mapped_back, stored
from tests.interop.example_models import EXAMPLES, images, make_model, predictions, randomise, relative_error
from tests.networks.literature import SMALL

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[3]
W2S = ROOT.parent / "shared" / "data" / "w2s"
VERSIONS = {"tf1.15": "1.15.5", "tf1.12": "1.12.3"}

pytestmark = pytest.mark.slow


def python(target):
    environment = ROOT / f".venv-{target}"
    if not (environment / "installed").is_file():
        pytest.skip(f"TensorFlow {VERSIONS[target]} is not set up (.venv-{target}; make legacy)")
    return str(environment / "bin" / "python")


def run_legacy(target, script, *arguments):
    command = [python(target), str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def run_zip(target, path, inputs):
    """The report of the runtime, and its outputs for a list of inputs without batch axis."""
    source, result = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
    np.savez(source, **{f"image{i}": x[None] for i, x in enumerate(inputs)})
    report = run_legacy(target, "run_zip.py", path, source, result)
    with np.load(result) as file:
        return report, [file[f"image{i}"][0] for i in range(len(inputs))]


@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_runtime_agrees_with_python(kind, target, tmp_path):
    python(target)
    model = make_model(kind)
    inputs = images(model)
    report, found = run_zip(target, export_fiji(model, tmp_path / "m.zip", target), inputs)
    for y, expected in zip(found, predictions(model, inputs), strict=True):
        assert relative_error(y, expected) < 1e-5
    assert report["tensorflow"] == VERSIONS[target]
    assert report["tags"] == ["serve"]
    assert report["meta"] == meta(model)
    free = [-1] * (1 + len(model.spec.divisor))
    assert report["inputs"] == {"input": {"shape": [*free, model.config.n_channel_in], "dtype": "float32"}}
    (output,) = report["outputs"].values()
    assert list(report["outputs"]) == ["output"]
    assert output["shape"] == [*[-1] * (found[0].ndim), model.keras_model.output.shape[-1]]


@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize("axes", ["YX", "ZYX"])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_from_the_literature_agrees_with_python(name, axes, target, tmp_path):
    python(target)
    model = AEANet(AEANetConfig(axes, preset=name, network=SMALL[name], train_seed=0), name, None)
    randomise(model.keras_model)
    inputs = images(model)[:1]
    _, found = run_zip(target, export_fiji(model, tmp_path / "m.zip", target), inputs)
    for y, expected in zip(found, predictions(model, inputs), strict=True):
        assert relative_error(y, expected) < 1e-5


@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize("name", CARE_FOLDERS)
def test_what_csbdeep_trained_comes_back_to_tensorflow_1(name, target, tmp_path):
    """Its folder exported here gives in the runtime what CSBDeep's own ``predict`` gave."""
    python(target)
    model = load_model(CARE_FOLDERS[name])
    x, expected, back = stored(model)
    _, (found,) = run_zip(target, export_fiji(model, tmp_path / "m.zip", target), [x])
    assert relative_error(mapped_back(model, found, back), expected) < 1e-5


@pytest.mark.parametrize("target", VERSIONS)
def test_the_written_list_is_the_runtimes(target):
    """Every operation, attribute and value of the list, from the runtime's own registry."""
    listed = operations()[target]
    assert run_legacy(target, "list_operations.py", ",".join(listed)) == listed


@needs_golden
@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [("gvtnet_care", "model.ckpt-pretrained"), ("gvtnet_flywing", "model.ckpt-pretrained")],
)
def test_a_checkpoint_of_the_originals_comes_back_to_tensorflow_1(name, checkpoint, target, tmp_path):
    """Imported, exported, and run where it came from: the original program's output again."""
    python(target)
    model = load_model(import_checkpoint(GOLDEN / name / checkpoint, tmp_path / "m"))
    golden = load(name)
    _, (found,) = run_zip(target, export_fiji(model, tmp_path / "m.zip", target), golden["input"][:1])
    assert relative_error(found[..., :1], golden["prediction"][0]) < 1e-4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained for a minute on W2S, in its folder."""
    if not W2S.is_dir():
        pytest.skip("the W2S images are not on this machine")
    folder = tmp_path_factory.mktemp("w2s")
    changes = {
        "data.root": str(W2S),
        "model.basedir": str(folder),
        "model.name": "w2s",
        "model.network": {"first_filters": 8},
        "training.steps": 60,
        "training.steps_per_epoch": 30,
        "training.batch_size": 4,
        "training.patch_size": [64, 64],
        "training.learning_rate": 0.004,
    }
    config = load_run_config("w2s", [f"{key}={json.dumps(v)}" for key, v in changes.items()])
    train_run(config)
    return folder / "w2s"


def test_psnr_of_a_trained_model_is_the_same_in_tensorflow_1(trained, tmp_path):
    """W2S, a test image, the CARE protocol: Python's prediction and the zip's differ by less than 0.01 dB."""
    model = load_model(trained)
    low = sorted((W2S / "test" / "low").glob("*.tif"))[0]
    image, gt = (read_image(W2S / "test" / part / low.name).array.astype("float32") for part in ("low", "GT"))
    normalizer = make_normalizer(prediction_normalization(trained))
    restored = model.predict(image, "YX", normalizer)
    _, (found,) = run_zip("tf1.15", model.export_TF(tmp_path / "w2s.zip"), [normalizer.before(image, "YX")[..., None]])
    in_tf1, _ = normalizer.after(found[..., 0], None, "YX")
    before, in_python, legacy = (get_protocol("care")(gt, x)["psnr"] for x in (image, restored, in_tf1))
    assert in_python > before + 1  # Trained, if briefly.
    assert abs(in_python - legacy) < 0.01
