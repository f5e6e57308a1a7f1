"""The commands of README and the documents run, on small stand-ins for what they name, in the order they stand in."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import zarr

from aeanet_tf.cli.main import main
from aeanet_tf.io.tiff import write_image
from tests.datasets.published import write_iseg
from tests.documented import commands, documents
from tests.interop.example_models import make_model
from tests.models import EAGER, eager_tensorflow, small_settings

pytestmark = [EAGER, pytest.mark.slow]

# Models by the names that the documents give them.
MODELS = {
    **dict.fromkeys(("trial", "other", "my_model", "w2s", "seed1", "seed2", "seed3"), "em"),
    **dict.fromkeys(("volumes", "care"), "care"),
    "membranes": "labels-1",
    "isbi2012": "slices",
}
# Not run here, and where else they are.
ELSEWHERE = {
    "aeanet download": "needs a network; tests/datasets/test_download.py",
    "aeanet experiment": "tests/experiments",
    "aeanet quickstart": "tests/cli/test_quickstart.py",
    "--scheduler": "needs a cluster; tests/prediction/test_cluster.py",
    "import-tf1": "needs a checkpoint; tests/cli/test_import_tf1_cli.py",
    "results/models/": "models of an experiment",
    "models/paired_em": "data of the paper; tests/datasets/test_paired_em.py",
    "models/original": "needs a checkpoint",
    "models/$model": "needs a checkpoint",
    "models/tissue": "a 3D network of two channels; tests/cli/test_segmentation_cli.py",
    "w2s-longest": "goes on from a training of hours",
    "w2s-256": "goes on from a training of hours",
    "planaria --data": "tests/experiments",
    "flywing --data": "tests/experiments",
    "paired_em --data": "tests/experiments",
    "paired_em_ablations": "tests/experiments",
    "label_free/": "tests/experiments",
    "cremi_padded": "tests/experiments",
    "cremi_triplet": "tests/experiments",
}
SHORT = ("training.steps=1", "training.steps_per_epoch=1", "training.batch_size=2", "training.patch_size=[16,16]")


def runs(path):
    return [c for c in commands(path) if c.program == "aeanet" and not any(text in c.text for text in ELSEWHERE)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in set(MODELS.values()) - {"labels-1"}:
        make_model(kind, folder)
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch, models):
    """What the documents name: models, images, stacks, plates, data sets."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, kind in MODELS.items():
        if (models / kind).is_dir():
            shutil.copytree(models / kind, f"models/{name}")
    for name in ("image", "a", "b", "c", "images/a", "images/b", "plate_truth/plate_s0", "plate_truth/plate_s1"):
        write_image(f"{name}.tif", rng.uniform(0, 200, (48, 40)).astype("float32"), "YX", {"Y": 0.1, "X": 0.1}, "um")
    for name, axes in (("volume", "ZYX"), ("stack", "ZYX"), ("lapse", "TYX")):
        write_image(f"{name}.tif", rng.uniform(0, 200, (8, 24, 24)).astype("float32"), axes)
    zarr.save_array("volume.zarr", rng.uniform(0, 200, (48, 40)).astype("float32"))
    shutil.copytree("images", "in")
    for part in ("train", "val", "test"):
        for i in range(3):
            image = rng.uniform(0, 200, (48, 40)).astype("float32")
            for kind, noise in (("low", 20), ("GT", 0)):
                write_image(f"w2s/{part}/{kind}/{i}.tif", image + noise * rng.normal(size=image.shape).astype("float32"), "YX")
    with tifffile.TiffWriter("plate.ome.tif") as file:
        for _ in range(3):
            file.write(rng.integers(0, 200, (40, 48), dtype=np.uint16), metadata={"axes": "YX"})
    return tmp_path


@pytest.mark.parametrize("path", [p for p in documents() if runs(p)], ids=lambda p: p.stem)
def test_commands_run_in_their_order(path, workplace, capsys):
    for command in runs(path):
        with eager_tensorflow():
            words = [word.replace("/path/to/", "") for word in command.words]
            if command.words[0] == "train":
                words += [f"--set={field}" for field in SHORT]
            assert main(words) == 0, f"{command.text}\n{capsys.readouterr().err}"
        if command.output:
            (workplace / command.output).write_text(capsys.readouterr().out, encoding="utf-8")
