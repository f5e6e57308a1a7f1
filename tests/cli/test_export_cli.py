import json
import zipfile

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import load_model
from tests.interop.example_models import images, make_model, predictions, relative_error


@pytest.fixture
def folder(tmp_path):
    make_model("unet", tmp_path, "m")
    return tmp_path / "m"


def operations_of(path):
    from tensorflow.core.protobuf import saved_model_pb2

    with zipfile.ZipFile(path) as archive:
        saved = saved_model_pb2.SavedModel.FromString(archive.read("saved_model.pb"))
    return {node.op for node in saved.meta_graphs[0].graph_def.node}


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_fiji_zip_in_the_model_folder(folder):
    assert main(["export", "--model", str(folder), "--format", "fiji"]) == 0
    with zipfile.ZipFile(folder / "TF_SavedModel.zip") as archive:
        meta = json.loads(archive.read("meta.json"))
    assert meta["type"] == "AEANet" and meta["axes"] == "YXC"


def test_fiji_zip_for_the_older_runtime(tmp_path):
    make_model("em", tmp_path, "m")
    target = tmp_path / "out" / "old.zip"
    arguments = ["export", "--model", str(tmp_path / "m"), "--format", "fiji", "--target", "tf1.12"]
    assert main([*arguments, "--output", str(target)]) == 0
    assert "BatchMatMul" in operations_of(target) and "BatchMatMulV2" not in operations_of(target)


def test_savedmodel_and_keras_files(folder, tmp_path):
    import keras

    model = load_model(folder)
    (x,) = images(model, factors=((5, 3),))
    for format, name in (("savedmodel", "saved_model"), ("keras", "m.keras")):
        assert main(["export", "--model", str(folder), "--format", format]) == 0
        assert (folder / name).exists()
    loaded = keras.models.load_model(folder / "m.keras")
    assert relative_error(loaded(x[None])[0], predictions(model, [x])[0]) < 1e-5


def test_onnx_file(folder):
    pytest.importorskip("tf2onnx")
    assert main(["export", "--model", str(folder), "--format", "onnx"]) == 0
    assert (folder / "m.onnx").is_file()


def test_bioimageio_package_from_a_real_file(folder, tmp_path):
    """The image's axes may be in any order, and its file becomes the package's test input."""
    pytest.importorskip("bioimageio.core")
    rng = np.random.default_rng(0)
    write_image(tmp_path / "sample.tif", rng.integers(0, 4000, (100, 120)).astype("uint16"), "YX")
    target = tmp_path / "package.zip"
    arguments = ["export", "--model", str(folder), "--format", "bioimageio", "--output", str(target)]
    options = ["--author", "A. Person, An Institute", "--license", "CC-BY-4.0", "--description", "A test."]
    assert main([*arguments, *options, "--test-image", str(tmp_path / "sample.tif")]) == 0
    with zipfile.ZipFile(target) as archive:
        assert any(name.endswith("rdf.yaml") for name in archive.namelist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "fiji", "--target", "tf2.3"], "target: 'tf2.3' is unknown, expected one of tf1.12, tf1.15"),
        (["--format", "keras", "--target", "tf1.15"], "--target: belongs to --format fiji, found keras"),
        (["--format", "onnx", "--license", "MIT"], "--license: belongs to --format bioimageio, found onnx"),
        (["--format", "fiji", "--series", "1"], "--series: chooses the --test-image, found none"),
        (["--format", "bioimageio", "--license", "MIT"], "--author missing"),
        (["--format", "bioimageio"], "--author and --license missing"),
        (["--format", "keras", "--output", "m.h5"], "m.h5: ends with .h5, expected .keras"),
        (
            ["--format", "bioimageio", "--license", "MIT", "--author", "A", "--test-image", "none.tif"],
            "none.tif: no such",
        ),
    ],
)
def test_bad_options_are_one_line(folder, options, message, capsys):
    before = files(folder)
    assert main(["export", "--model", str(folder), *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("aeanet: error")]
    assert message in line
    assert files(folder) == before


def test_a_missing_model_folder(tmp_path, capsys):
    assert main(["export", "--model", str(tmp_path / "none"), "--format", "fiji"]) == 2
    assert "no such model folder" in capsys.readouterr().err
