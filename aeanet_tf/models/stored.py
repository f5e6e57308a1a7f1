"""What a model folder says of its model, read without TensorFlow: enough to refuse what the model does not take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeanet_tf.errors import InputError, expect, reading, short
from aeanet_tf.files import read_json
from aeanet_tf.models.folder import chosen_weights, model_kind, weight_files
from aeanet_tf.paths import named_path

# What a file of weights begins with.
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class StoredModel:
    """A trained model in its folder, which is not loaded.

    Attributes:
        folder: of the model.
        kind: as `aeanet_tf.models.folder.model_kind` gives it.
        axes: of the network's input, such as "ZYXC".
        n_channel_in, n_channel_out: channels of input and output.
        probabilistic: whether it predicts a scale, too.
        projected: the axis that its predictions lack, such as "Z"; "" for none.
        upscale: pixels of a prediction along each axis to one of the image.
    """

    folder: Path
    kind: str
    axes: str
    n_channel_in: int
    n_channel_out: int
    probabilistic: bool
    projected: str
    upscale: int = 1

    @classmethod
    def of(cls, model: Any) -> "StoredModel":
        """The same of a model in memory, an `AEANet`, or the first of an `Ensemble` or of a list."""
        model = (model if isinstance(model, (list, tuple)) else getattr(model, "models", [model]))[0]
        config, projected = model.config, set(model.config.axes) - set(model.axes_out)
        channels = config.n_channel_in, config.n_channel_out
        folder = Path(model.name if model.basedir is None else model.logdir)
        facts = config.probabilistic, "".join(projected), model.spec.upscale
        return cls(folder, model.spec.model_kind, config.axes, *channels, *facts)

    @property
    def segments(self) -> bool:
        """Whether predictions are labels of classes."""
        return self.kind == "segmentation"

    @property
    def interpolates(self) -> bool:
        """Whether it makes slices between two."""
        return self.kind == "ssan"

    @property
    def axes_out(self) -> str:
        """Of the network's output."""
        return self.axes.replace(self.projected, "") if self.projected else self.axes


def stored_model(folder: str | Path, weights: str = "best") -> StoredModel:
    """What the folder of a trained model says; nothing heavy is imported for it.

    Args:
        folder: of the model.
        weights: which are to be loaded, as for `aeanet_tf.models.folder.load_model`.

    Raises:
        InputError: as `model_kind`; a configuration whose axes or channels are none, or a file of weights that is none.
    """
    folder, kind = named_path(folder), model_kind(folder)
    path = folder / "config.json"
    fields = read_json(path)
    axes = fields.get("axes")
    known = isinstance(axes, str) and {"Y", "X"} <= set(axes) <= set("TZYXC") and len(set(axes)) == len(axes)
    expect(known, f"{path}: axes", short(axes), "those of images, such as YXC")
    channels = []
    for name in ("n_channel_in", "n_channel_out"):
        number = fields.get(name, 1)
        fits = isinstance(number, int) and not isinstance(number, bool) and number > 0
        expect(fits, f"{path}: {name}", short(number), "a number of channels")
        channels.append(number)
    _check_weights(folder, weights)
    projected = fields.get("proj_axis", "Z" if kind == "projection" else "")
    probabilistic = fields.get("probabilistic") is True
    known = isinstance(projected, str) and projected in axes
    network = fields.get("network")
    upscale = network.get("upscale", 1) if isinstance(network, dict) else 1
    return StoredModel(folder, kind, axes, *channels, probabilistic, projected if known else "", upscale)


def _check_weights(folder, weights):
    """Refuse a file that is none of weights; of those that are called ``weights``, or the newest, the one to load."""
    if weights == "best":
        files = weight_files(folder)
        path = ([file for file in files if "best" in file.name] or files)[-1]
    else:
        path = chosen_weights(folder, weights)
    with reading(path), open(path, "rb") as file:
        begin = file.read(len(_HDF5))
    if begin != _HDF5:
        raise InputError(f"{folder}: the model cannot be loaded ({path.name} holds no weights, it is no HDF5 file)")
