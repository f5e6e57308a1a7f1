"""Model folders: the unit a user moves around."""

import logging
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from aeanet_tf.errors import InputError, expect, one_line, reading, short
from aeanet_tf.field_errors import from_validation
from aeanet_tf.files import read_fields, read_json, write_text
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.paths import named_path, nearest_path
from aeanet_tf.sections.triplet_options import TripletOptions

logger = logging.getLogger("aeanet_tf")

RUN_FILE = "run.json"
NORMALIZATION_FILE = "normalization.json"
# What CSBDeep has written into each ``config.json`` since its first release.
_OF_CARE = {"axes", "n_channel_in", "n_channel_out", "probabilistic", "unet_n_depth", "unet_kern_size"}
# By a spec's `model_kind`.
MODEL_CLASSES = {
    "unet": "AEANet",
    "fnet": "AEANet",
    "super_resolution": "AEANet",
    "unet_variant": "AEANet",
    "ce_net": "AEANet",
    "care": "CARENet",
    "own": "AEANet",
    "projection": "ProjectionAEANet",
    "ssan": "SliceInterpolationNet",
    "segmentation": "SegmentationAEANet",
}


def model_class(kind):
    """The class of the models of a kind: of a spec's ``model_kind``."""
    from aeanet_tf import models

    return getattr(models, MODEL_CLASSES[kind])


def is_care(fields):
    """Whether what stands in a ``config.json`` is of CSBDeep's own CARE, or of a network that extends it."""
    return isinstance(fields, dict) and fields.keys() >= _OF_CARE and not fields.keys() & {"network", "preset"}


def model_kind(folder):
    """The kind of the trained model in a folder, one of `MODEL_CLASSES`; nothing heavy is imported for it.

    Raises:
        InputError: no such folder, no configuration in it or one of another program, or no weights.
    """
    folder = named_path(folder)
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such model folder{nearest_path(folder)}")
        path = folder / "config.json"
        if not os.path.lexists(path):
            raise InputError(f"{folder}: the model folder has no {path.name}{_models_in(folder)}")
        fields = read_json(path)
        network = fields.get("network") if isinstance(fields, dict) else None
        if is_care(fields):
            network = {"kind": "care"}
        if not isinstance(network, dict) or "kind" not in network:
            raise InputError(f"{path}: not the configuration of an AEANet or a CARE (no network in it)")
        if not weight_files(folder):
            raise InputError(f"{folder}: the model folder has no weights (*.h5), expected those of a finished training")
    kind = "segmentation" if network.get("last_activation") == "softmax" else network["kind"]
    if not isinstance(kind, str) or kind not in MODEL_CLASSES:
        raise InputError(f"{path}: network.kind {short(kind)}, expected one of {', '.join(MODEL_CLASSES)}")
    return kind


def _models_in(folder, most=3):
    """For messages: the model folders in a folder that is none."""
    names = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if not names:
        return ""
    listed = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"; in it are the models {listed}, such as {folder / names[0]}"


def load_model(folder, weights="best"):
    """The trained model of a folder: one of ours, or one that CSBDeep's CARE or ProjectionCARE wrote (`CARENet`).

    This is where folders become models: whatever is wrong with what is in one, it is an `InputError` here.

    Args:
        folder: of the model.
        weights: ``"best"``, those of the lowest validation loss (the newest there are, where none are called so);
            ``"last"``, those at the end of the training; or the name of a file.

    Raises:
        InputError: as `model_kind` and `chosen_weights`, which is told before TensorFlow is loaded; or a model that
            cannot be loaded.
    """
    folder, kind = named_path(folder), model_kind(folder)
    file = None if weights == "best" else chosen_weights(folder, weights)
    _check_files(folder)
    try:
        # Resolved, because "." has no name.
        model = model_class(kind)(None, folder.resolve().name, str(folder.resolve().parent))
        if file is not None:
            print(f"Loading network weights from '{file.name}'.")
            model.load_weights(file.name)
        return model
    except (ValueError, OSError) as error:
        raise InputError(f"{folder}: the model cannot be loaded ({one_line(error, 500)})") from error


def _check_files(folder):
    """Refuse a configuration whose network has many more weights than the files of weights hold, before it is built."""
    from aeanet_tf.networks import CARESpec, as_spec
    from aeanet_tf.networks.size import kernel_weights

    path = folder / "config.json"
    try:
        fields = read_json(path)
        spec = CARESpec.of_configuration(fields) if is_care(fields) else as_spec(fields["network"])
        count = kernel_weights(spec)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    largest = max(file.stat().st_size for file in weight_files(folder))
    # Four bytes each; less where somebody has compressed them.
    if count > largest + 10**6:
        raise InputError(f"{path}: a network of {count:.3g} weights, expected what a file of {largest} bytes can hold")


def chosen_weights(folder, weights):
    """The newest of the weights in a model folder that are called ``weights``, such as ``"last"``.

    Raises:
        InputError: there are none of this name.
    """
    files = weight_files(folder)
    named = [path for path in files if weights in path.name]
    if not named:
        found = ", ".join(path.name for path in files) or "none"
        raise InputError(f"{folder}: found the weights {found}, expected some that are called {weights!r}")
    return named[-1]


def weight_files(folder):
    """The weights in a model folder, newest last, without the hidden file that a killed run was writing."""
    entries = Path(folder).iterdir() if os.path.isdir(folder) else ()
    files = [path for path in entries if path.suffix in (".h5", ".hdf5") and path.is_file()]
    return sorted((path for path in files if path.name[0] != "."), key=lambda path: path.stat().st_mtime)


def save_normalization(folder, section):
    """Keep the `NormalizationSection` to predict with, for a model that was not trained by `train_run`."""
    write_text(Path(folder) / NORMALIZATION_FILE, section.model_dump_json(indent=2) + "\n")


def prediction_normalization(folder):
    """The `NormalizationSection` to predict with: that of training, or CSBDeep's percentiles where unknown.

    Ready-made patches (``.npz``) are normalised by percentiles when they are made, as CSBDeep does. For an imported
    model it is the one given at import.

    Raises:
        InputError: a file in the folder that says it is not valid.
    """
    own = Path(folder) / NORMALIZATION_FILE
    if os.path.lexists(own):
        try:
            return NormalizationSection.model_validate(read_json(own))
        except ValidationError as error:
            raise from_validation(error, str(own), model=NormalizationSection) from None
    data = _data_section(folder)
    if data.get("kind") == "npz":
        return NormalizationSection()
    return _prepared(folder, data, "normalization", NormalizationSection)


def known_normalization(folder):
    """`prediction_normalization`, but ``None`` where it is unknown: of a model that was trained from Python."""
    known = any(os.path.lexists(Path(folder) / name) for name in (NORMALIZATION_FILE, RUN_FILE))
    return prediction_normalization(folder) if known else None


def triplet_preparation(folder):
    """The `TripletOptions` that a model of slices was trained with, the default where that is unknown.

    Raises:
        InputError: a file in the folder that says it is not valid.
    """
    return _prepared(folder, _data_section(folder), "triplets", TripletOptions)


def _prepared(folder, data, name, section):
    try:
        return TypeAdapter(section).validate_python({} if data.get(name) is None else data[name])
    except ValidationError as error:
        raise from_validation(error, f"{Path(folder) / RUN_FILE}: data.{name}", model=section) from None


def _data_section(folder):
    """The fields of the section ``data`` that a model was trained with; empty where they are unknown."""
    path = Path(folder) / RUN_FILE
    data = read_fields(path).get("data", {}) if os.path.lexists(path) else {}
    expect(isinstance(data, dict), f"{path}: data", short(data), "an object")
    return data
