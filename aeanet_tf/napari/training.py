"""Training for the plugin: a run configuration from layers or folders, and the training that a window watches."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import Image, check_axes
from aeanet_tf.io.read import find_images, open_image, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import weight_files
from aeanet_tf.napari.backend import load_beside_opengl
from aeanet_tf.napari.watch import Progress, remarks
from aeanet_tf.paths import check_name
from aeanet_tf.runs.config import as_run_config, load_run
from aeanet_tf.runs.length import equal_epochs

logger = logging.getLogger("aeanet_tf")

# From the literature (docs/networks.md): those that segment, too, and those that do not.
_U_NETS = ("attention-unet", "unet-plusplus", "dilated-unet", "ce-net", "rsgu-net")
_LITERATURE = ("rcan", "edsr", "vdsr")
PRESETS = {
    "restoration": (
        "aeanet-care",
        "aeanet-care-fast",
        "gvtnet-care",
        "unet-care",
        "aeanet-em",
        "aeanet-labelfree",
        *_LITERATURE,
        *_U_NETS,
    ),
    "projection": ("aeanet-flywing", "gvtnet-flywing", "unet-flywing"),
    "segmentation": ("aeanet-em", "aeanet-mri", "unet-em", *_U_NETS),
}
"""What a model is to do -> the presets to choose from, the first by default."""

MOST_CLASSES = 32
"""Values in label images that may still be classes; more are objects that were numbered."""

# Points that a curve has at least, where there are steps enough.
_VALIDATIONS = 20
# Of one pair of images the rest is trained on.
_VALIDATED = 0.25
_SPLIT = 0.1


class TrainingForm(NamedTuple):
    """What a user says of a training.

    Attributes:
        name, basedir: of the model, and the folder that its folder is made in.
        task: one of `PRESETS`.
        preset: of the network.
        axes: that the network takes, without channels: "YX" or "ZYX".
        steps: of the training.
        patch_size: one number an axis.
        batch_size: patches of a step; ``None`` for the default of configurations.
        first_filters: channels at full resolution; ``None`` for the preset's.
        match_targets: whether truths are given the intensities of their inputs (docs/training.md); not of classes.
    """

    name: str
    basedir: str
    task: str = "restoration"
    preset: str = "aeanet-care"
    axes: str = "YX"
    steps: int = 1000
    patch_size: tuple[int, ...] = (64, 64)
    batch_size: int | None = None
    first_filters: int | None = None
    match_targets: bool = False

    @property
    def folder(self):
        """Of the model."""
        return Path(self.basedir).expanduser().absolute() / check_name(self.name, "name of the model")


class TrainingLayer(NamedTuple):
    """A layer to train on: its array, axes, and what `aeanet_tf.napari.axes.calibration` says of it."""

    array: np.ndarray
    axes: str
    calibration: tuple = ({}, None)


class _Data(NamedTuple):
    """The section ``data`` of a configuration, and what the model follows from it."""

    section: dict[str, Any]
    channels: tuple[int, int]
    labels: list[int] | None = None


def config_of_folders(form, low, gt):
    """The `RunConfig` of a training on two folders of images, matched by name.

    Args:
        form: a `TrainingForm`.
        low, gt: the folders.

    Raises:
        InputError: a folder without images, or a field that is wrong.
    """
    for name, folder in (("low", low), ("GT", gt)):
        expect(str(folder) not in ("", "."), name, "no folder", "a folder of images")
    low, gt = Path(low).expanduser().absolute(), Path(gt).expanduser().absolute()
    inputs, truths = find_images(low), find_images(gt)
    labels = _classes(read_image(path).array for path in truths) if form.task == "segmentation" else None
    channels = tuple(_channels(open_image(paths[0])) for paths in (inputs, truths))
    split = max(_SPLIT, 1 / len(inputs)) if len(inputs) > 1 else _SPLIT
    section = {"low": str(low), "GT": str(gt), "validation_split": split}
    return _config(form, _Data(section, channels, labels))


def config_of_layers(form, low, gt):
    """The `RunConfig` of a training on two layers, whose images are written beside the folder of the model.

    Frames along T, which the network lacks, are pairs of images, of which a tenth is held out for validation, one at
    least. Of a single pair a quarter is held out: the end of the longer of Y and X.

    Args:
        form: a `TrainingForm`.
        low, gt: `TrainingLayer`; the latter without Z where it is the projection.

    Raises:
        InputError: layers that do not fit each other or the network, or a field that is wrong. Nothing is written.
    """
    projected = "Z" if form.task == "projection" else ""
    low, gt = (_checked(*pair) for pair in ((low, "low"), (gt, "GT")))
    _check_pair(low, gt, form.axes, projected)
    labels = _classes([gt.array]) if form.task == "segmentation" else None
    sizes = [dict(zip(layer.axes, layer.array.shape, strict=True)).get("C", 1) for layer in (low, gt)]
    pairs = [_frames(layer, form.axes) for layer in (low, gt)]
    root, count = form.folder.with_name(f"{form.name}_images"), len(pairs[0])
    section = {"root": str(root), "low": "low", "GT": "GT"}
    if count > 1:
        section["validation_split"] = max(_SPLIT, 1 / count)
    else:
        section |= {"validation_low": "validation_low", "validation_GT": "validation_GT"}
    config = _config(form, _Data(section, tuple(sizes), labels))
    parts = {"low": pairs[0], "GT": pairs[1]}
    if count == 1:
        along = max("YX", key=lambda axis: low.array.shape[low.axes.index(axis)])
        for name, frames in list(parts.items()):
            parts[name], parts[f"validation_{name}"] = ([part] for part in _cut(frames[0], along))
    for name, frames in parts.items():
        _write(root / name, frames)
    return config


def _checked(layer, name):
    letters = check_axes(layer.axes)
    shape = tuple(layer.array.shape)
    expect(len(letters) == len(shape), f"axes of {name}", f"{letters} for a shape of {shape}", f"{len(shape)} letters")
    return layer._replace(axes=letters)


def _check_pair(low, gt, axes, projected):
    sizes, others = (dict(zip(layer.axes, layer.array.shape, strict=True)) for layer in (low, gt))
    fits = {*axes} <= {*sizes} <= {*axes, *"TC"}
    expect(fits, "axes of low", low.axes, f"{axes}, as the network, and T for more pairs")
    expected = {letter: n for letter, n in sizes.items() if letter not in f"C{projected}"}
    found = {letter: n for letter, n in others.items() if letter != "C"}
    where = f" ({''.join(expected)}), the size of low"
    expect(found == expected, "GT", f"{gt.array.shape} ({gt.axes})", f"{tuple(expected.values())}{where}")


def _frames(layer, axes):
    """The images of a layer: one, or those along T."""
    if "T" not in layer.axes or "T" in axes:
        return [layer]
    frames, left = np.moveaxis(layer.array, layer.axes.index("T"), 0), layer.axes.replace("T", "")
    return [layer._replace(array=frame, axes=left) for frame in frames]


def _cut(layer, along):
    """A layer in two along an axis: to train on, and to validate on."""
    place = layer.axes.index(along)
    at = round(layer.array.shape[place] * (1 - _VALIDATED))
    return [layer._replace(array=part) for part in np.split(layer.array, [at], place)]


def _write(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("image_*.tif"):
        old.unlink()
    for number, frame in enumerate(frames):
        sizes, unit = frame.calibration
        known = {axis: size for axis, size in sizes.items() if axis in frame.axes}
        write_image(folder / f"image_{number:04d}.tif", frame.array, frame.axes, known, unit)


def _channels(image: Image):
    return image.array.shape[image.axes.index("C")] if "C" in image.axes else 1


def _classes(arrays):
    """The values of the classes in label images."""
    values = sorted(set().union(*(np.unique(array).tolist() for array in arrays)))
    expected = f"2 to {MOST_CLASSES} classes, 0 for the background, 1 for what is looked for, and so on"
    expect(2 <= len(values) <= MOST_CLASSES, "labels", f"{len(values)} different values", expected)
    return values


def _config(form, data):
    folder = form.folder
    segments = form.task == "segmentation"
    model = {
        "name": form.name,
        "basedir": str(folder.parent),
        "preset": form.preset,
        "axes": form.axes,
        "n_channel_in": data.channels[0],
        "n_channel_out": len(data.labels) if segments else data.channels[1],
    }
    training = {"steps": form.steps, "patch_size": list(form.patch_size)}
    training["steps_per_epoch"] = equal_epochs(form.steps, min(400, max(10, form.steps // _VALIDATIONS)))
    if segments:
        model["labels"] = data.labels
        training["loss"] = "cross_entropy_dice"
    if form.batch_size:
        training["batch_size"] = form.batch_size
    if form.first_filters:
        of = {"first_filters": form.first_filters}
        # TensorFlow is not loaded for a form that is only looked at.
        from aeanet_tf.networks import presets

        width = presets[form.preset].width
        projects = form.task == "projection"
        model["network"] = (
            {"filters": form.first_filters, "restoration": of} if projects else {width: form.first_filters}
        )
    section = {"kind": "labels" if segments else "folders", **data.section}
    section["match_targets"] = form.match_targets and not segments
    return as_run_config({"model": model, "data": section, "training": training}, "training")


def unfinished(folder):
    """The `RunConfig` of a training that was stopped in a model folder and can go on; ``None`` where there is none."""
    return load_run(folder) if (Path(folder) / "resume" / "state.json").is_file() else None


def check_free(folder):
    """Refuse the folder of a trained model, before its images are written anew.

    Raises:
        InputError: a trained model is there.
    """
    if weight_files(folder):
        raise InputError(f"name: {folder} holds a trained model; another name keeps it, 'begin anew' replaces it")


def train(config, watch, overwrite=False):
    """Train the model of a `RunConfig`, as `aeanet_tf.runs.train.train_run`, until it is finished or stopped.

    A training that is asked to stop ends its pass over the data with the next step, and is validated. The model with
    the lowest validation loss is in its folder, and so is what the same configuration goes on with.

    Args:
        config: the `RunConfig`.
        watch: a `Watch`, which is told of steps and, as `aeanet_tf.napari.live.Learned`, of validations.
        overwrite: whether a model of the same name is replaced.

    Returns:
        The folder of the model.

    Raises:
        InputError, DivergedError: see `train_run`.
        Stopped: the watch was asked to stop.
    """
    with remarks(watch):
        watch.tell(Progress("loading TensorFlow and the images"))
        load_beside_opengl()
        watch.check()
        from aeanet_tf.napari.live import LiveTraining
        from aeanet_tf.runs.train import train_run
        from aeanet_tf.training.watching import watched

        with watched(lambda *parts: [LiveTraining(*parts, watch)]):
            model = train_run(config, overwrite, verbose=0)
    return model.logdir.absolute()
