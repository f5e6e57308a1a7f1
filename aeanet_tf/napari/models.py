"""Model folders as the plugin sees them: what a model takes, without loading it, and which were used lately."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_config_path

from aeanet_tf.errors import InputError, expect, short
from aeanet_tf.files import read_json, write_text
from aeanet_tf.models.folder import model_kind
from aeanet_tf.paths import named_path

logger = logging.getLogger("aeanet_tf")

MOST_RECENT = 10


class ModelFacts(NamedTuple):
    """What the configuration in a model folder says; TensorFlow is not needed to read it.

    Attributes:
        folder: of the model, absolute.
        kind: of the network, see `aeanet_tf.models.folder.model_kind`.
        axes: that the network takes, such as "ZYXC".
        channels: of its input.
        projected: the axis that predictions lack, or "".
    """

    folder: Path
    kind: str
    axes: str
    channels: int
    projected: str

    @property
    def name(self):
        """Of the model: that of its folder."""
        return self.folder.name

    @property
    def spatial(self):
        """The axes without channels."""
        return self.axes.replace("C", "")

    def line(self):
        """What the model is, in a few words."""
        does = {"segmentation": "segments", "projection": "projects"}.get(self.kind, "restores")
        colours = "" if self.channels == 1 else f", {self.channels} channels"
        return f"{does} {self.spatial}{colours}"


def read_facts(folder):
    """The `ModelFacts` of a model folder.

    Raises:
        InputError: no trained model is there, or one that interpolates slices, which has no use for one layer.
    """
    expect(str(folder) not in ("", "."), "model", "no folder", "the folder of a trained model")
    folder = named_path(folder).expanduser().absolute()
    kind = model_kind(folder)
    if kind == "ssan":
        raise InputError(f"{folder}: holds a model that interpolates slices; use aeanet interpolate")
    path = folder / "config.json"
    fields = read_json(path)
    axes, channels = fields.get("axes"), fields.get("n_channel_in")
    expect(isinstance(axes, str) and {*"YX"} <= {*axes} <= {*"TZYXC"}, f"{path}: axes", short(axes), "letters of TZYXC")
    expect(type(channels) is int and channels > 0, f"{path}: n_channel_in", short(channels), "a number of channels")
    return ModelFacts(folder, kind, axes, channels, str(fields.get("proj_axis", "Z")) * (kind == "projection"))


def settings_file():
    """Where the plugin keeps its settings: in the user's folder of configurations, wherever the system has it."""
    return user_config_path("aeanet_tf", appauthor=False) / "napari.json"


def recent_models():
    """Folders of the models that were used lately and are still there, the last one first."""
    try:
        folders = read_json(settings_file())["recent_models"]
        return [Path(folder) for folder in folders if Path(folder, "config.json").is_file()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember_model(folder):
    """Put a folder first among the recent ones. A settings file that cannot be written is passed over."""
    folder = Path(folder).absolute()
    folders = [folder, *(other for other in recent_models() if other != folder)]
    try:
        settings = {"recent_models": [str(folder) for folder in folders[:MOST_RECENT]]}
        write_text(settings_file(), json.dumps(settings, indent=1) + "\n")
    except (OSError, InputError) as error:
        logger.info("recent models are not kept: %s", error)
