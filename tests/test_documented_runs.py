"""The commands of README and the documents run, on small stand-ins for what they name, in the order they stand in."""

import shutil

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from aeanet_tf.cli.main import main, make_parser
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.runs.config import load_run_config
from tests.datasets.published import write_iseg
from tests.documented import commands, documents
from tests.interop.example_models import make_model
from tests.models import EAGER, NETWORK, eager_tensorflow

pytestmark = EAGER

# Models by the names that the documents give them.
MODELS = {
    **dict.fromkeys(("trial", "other", "my_model", "my_care", "w2s", "seed1", "seed2", "seed3", "dapi", "gfp"), "em"),
    **dict.fromkeys(("volumes", "care"), "care"),
    **dict.fromkeys(("laplace1", "laplace2"), "laplace"),
    "membranes": "membranes",
    "isbi2012": "slices",
}
# Not run here, and where else they are, or why not.
ELSEWHERE = {
    "aeanet download": "needs a network; tests/datasets/test_download.py",
    "aeanet experiment": "tests/experiments",
    "quickstart": "tests/cli/test_quickstart.py",
    "--scheduler": "needs a cluster; tests/prediction/test_cluster.py",
    "import-tf1": "needs a checkpoint; tests/cli/test_import_tf1_cli.py",
    "models/original": "needs a checkpoint",
    "models/$model": "needs a checkpoint",
    "out/$model": "needs a checkpoint",
    "results/models/": "models of an experiment",
    "w2s-longest": "goes on from a training of hours",
    "w2s-adversarial": "a training of minutes; tests/models/test_adversarial.py",
    "w2s-256": "goes on from a training of hours",
    "models/w2s-1200": "scores that a training of minutes makes",
    "planaria --data": "tests/experiments",
    "flywing --data Projection_Flywing": "tests/experiments",
    "paired_em": "tests/experiments",
    "Paired_EM": "tests/experiments",
    "label_free/": "tests/experiments",
    "prediction out --gt labels": "predictions of data of a paper",
    "cremi_": "tests/experiments",
    "mine.json --data /path/to/data": "data of a paper",
    "isbi2012-aea": "a second training of the same",
    "model.preset=sepconv": "tests/models/test_slice_interpolation.py",
    "model.preset=flow-interpolation": "tests/models/test_slice_interpolation.py",
    "models/tissue": "made from a text of the document; tests/cli/test_segmentation_cli.py",
    "few-": "pictures of a data set of a paper",
    "--config n2v": "tests/runs/test_noisy_data.py, tests/models/test_noisy_targets.py",
    "--config n2n": "tests/runs/test_noisy_data.py, tests/models/test_noisy_targets.py",
    "models/n2v": "of a training of minutes",
    "models/n2n": "of a training of minutes",
    "out-n2v": "predictions of a training of minutes",
    "out-n2n": "predictions of a training of minutes",
    "--prediction careamics": "predictions of another program",
    "run.json": "goes on with a training of the user's; tests/runs/test_continued.py",
    "tissue.json": "made from a text of the document; tests/cli/test_segmentation_cli.py",
}
# Training for a step or two, on patches that the stand-ins hold.
SHORT = ("training.steps_per_epoch=1", "training.batch_size=2")
PATCH = {"YX": [32, 32], "ZYX": [8, 32, 32]}


def runs(path):
    return [c for c in commands(path) if c.program == "aeanet" and not any(text in c.text for text in ELSEWHERE)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("care", "slices"):
        make_model(kind, folder)
    model = AEANet(AEANetConfig("YX", preset="aeanet-em", unet_n_first=8), "em", str(folder))
    model.keras_model.save_weights(str(folder / "em" / "weights_best.h5"))
    model = AEANet(AEANetConfig("YX", probabilistic=True, unet_n_first=8), "laplace", str(folder))
    model.keras_model.save_weights(str(folder / "laplace" / "weights_best.h5"))
    config = SegmentationAEANetConfig("YX", preset="aeanet-em", n_channel_out=2, labels=[0, 255], network=NETWORK)
    model = SegmentationAEANet(config, "membranes", str(folder))
    model.keras_model.save_weights(str(folder / "membranes" / "weights_best.h5"))
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch, models):
    """What the documents name: models, images, stacks, plates, data sets."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, kind in MODELS.items():
        shutil.copytree(models / kind, f"models/{name}")
    scene = rng.uniform(0, 200, (30, 64, 56)).astype("float32")
    for name in ("image", "a", "b", "c", "plate_truth/plate_s0", "plate_truth/plate_s1", "plate_truth/plate_s2"):
        write_image(f"{name}.tif", scene[0], "YX", {"Y": 0.1, "X": 0.1}, "um")
    for folder in ("images", "noisy", "clean", "cells/noisy", "cells/clean", "others"):
        for i in range(3):
            write_image(f"{folder}/{'abc'[i]}.tif", scene[i] + ("clean" in folder), "YX", {"Y": 0.1, "X": 0.1}, "um")
    for root in ("w2s/train", "w2s/val", "w2s/test"):
        _write_pairs(root, scene[:3], "YX", rng)
    for root in ("mine/train", "mine/test"):
        _write_pairs(root, gaussian_filter(rng.uniform(0, 200, (3, 160, 160)), (0, 2, 2)).astype("float32"), "YX", rng)
    for root in ("volumes/train", "volumes/val", "volumes/test", "wings/train", "wings/test"):
        volumes = rng.uniform(0, 200, (2, 16, 64, 64)).astype("float32")
        _write_pairs(root, volumes, "ZYX", rng, flat=root.startswith("wings"))
    write_image("volumes.tif", scene[:8].reshape(2, 4, 64, 56), "TZYX")
    for name, axes in (("volume", "ZYX"), ("stack", "ZYX"), ("lapse", "TYX")):
        write_image(f"{name}.tif", scene[:8], axes)
    (tmp_path / "plate").mkdir()
    names = {"axes": "CYX", "Labels": ["DAPI", "GFP", "RFP"]}
    tifffile.imwrite("plate/a.tif", scene[:3], imagej=True, metadata=names)
    shutil.copytree("w2s", "W2S")
    for root in ("isbi2012", "sections", "folder"):
        count = 100 if root == "folder" else 30
        slices = gaussian_filter(rng.uniform(-1, 1, (count, 64, 64)), (3, 2, 2))
        slices = np.clip(128 + 50 * slices / slices.std(), 0, 255).astype("uint8")
        write_image(f"{root}/{'stack' if root == 'folder' else 'slices'}.tif", slices, "ZYX")
        write_image(f"{root}/membranes.tif", 255 * (slices > 100).astype("uint8"), "ZYX")
    shutil.copy("sections/slices.tif", "damaged.tif")
    for i in "abc":
        write_image(f"truth/{i}.tif", 255 * (scene[0] > 100).astype("uint8"), "YX")
    for name in ("plate.ome.zarr", "volume.zarr"):
        _write_zarr(name, scene[0])
    with tifffile.TiffWriter("plate.ome.tif") as file:
        for _ in range(3):
            file.write(scene[0].astype("uint16"), metadata={"axes": "YX"})
    write_iseg("iSeg-2017-Training", subjects=(1,))
    return tmp_path


def _write_pairs(root, images, axes, rng, flat=False):
    for number, image in enumerate(images):
        noisy = (image + 20 * rng.normal(size=image.shape)).astype("float32")
        write_image(f"{root}/low/{number}.tif", noisy, axes)
        truth = image.max(axis=0) if flat else image
        write_image(f"{root}/GT/{number}.tif", truth, axes[1:] if flat else axes)


def _write_zarr(name, image):
    group = zarr.open_group(name, mode="w", zarr_format=2)
    group.create_array("0", shape=image.shape, chunks=(24, 20), dtype=image.dtype)[:] = image
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def _shortened(words):
    """A training of a few steps, and the name of its model."""
    words = ["training.steps=2" if word.startswith("training.steps=") else word for word in words]
    args = make_parser().parse_args(words)
    config = load_run_config(args.config, args.set)
    fields = [*SHORT]
    if "training.steps=2" not in words:
        fields.append("training.steps=2")
    if config.training.patch_size is not None:
        # Of coarse volumes patches that are not square, lest they are turned.
        size = [24, 32] if config.data.kind == "isotropic" else PATCH[config.model.axes.removesuffix("C")]
        fields.append(f"training.patch_size={size}")
    if config.data.kind == "slices":
        fields += ["data.triplets.window=64", "data.triplets.max_shift=8"]
    return [*words, *(f"--set={field}" for field in fields)], config.model.name


# README's are those of the first hour, too.
PATHS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem != "start"))
    for path in documents()
    if runs(path)
]


@pytest.mark.parametrize("path", PATHS)
def test_commands_run_in_their_order(path, workplace, capsys):
    stand_ins = set(MODELS)
    for command in runs(path):
        words = [word.replace("/path/to/", "") for word in command.words]
        if words[0] == "train":
            words, name = _shortened(words)
            # What the document trains takes the place of its stand-in.
            if name in stand_ins:
                shutil.rmtree(f"models/{name}")
                stand_ins.remove(name)
        with eager_tensorflow():
            assert main(words) == 0, f"{command.text}\n{capsys.readouterr().err}"
        out = capsys.readouterr().out
        if command.output:
            (workplace / command.output).write_text(out, encoding="utf-8")
