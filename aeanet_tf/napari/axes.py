"""What the dimensions of a layer are: guessed from it, checked against a model, and kept for the result."""

from typing import Any, NamedTuple

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.io.image import Image, check_axes, check_fits, with_axes

# Steps by these; T is in units of its own.
_LENGTHS = "ZYX"


def layer_shape(layer):
    """Shape of the data of a layer at full resolution, colours included."""
    return tuple(_full(layer).shape)


def layer_array(layer):
    """The data of a layer at full resolution, in memory."""
    return np.asarray(_full(layer))


def _full(layer):
    return layer.data[0] if layer.multiscale else layer.data


def guess_axes(layer, spatial="", channels=1):
    """Letters for the dimensions of a layer: its own labels where it has them, else what fits the model.

    Args:
        layer: of images or labels.
        spatial: the axes that a network takes, such as "ZYX"; "" for none.
        channels: that it takes.
    """
    colours = "C" if getattr(layer, "rgb", False) else ""
    shape = layer_shape(layer)[: layer.ndim]
    named = _from_labels(layer)
    return (named or _from_shape(shape, spatial, 1 if colours else channels)) + colours


def _from_labels(layer):
    letters = "".join(str(label)[:1].upper() for label in getattr(layer, "axis_labels", ()))
    known = len(letters) == layer.ndim == len(set(letters)) and {*"YX"} <= {*letters} <= {*"TZCYX"}
    return letters if known else ""


def _from_shape(shape, spatial, channels):
    """The last two are Y and X; before them the third axis of the model, its channels, then what else images have."""
    front = shape[:-2]
    third = spatial.replace("Y", "").replace("X", "") if spatial else "Z"
    place = front.index(channels) if channels > 1 and channels in front else None
    wanted = [*third, *("C" * (place is not None)), *"TZC"]
    chosen = list(dict.fromkeys(wanted))[: len(front)]
    letters = [letter for letter in "TZC" if letter in chosen]
    if "C" in chosen and place is not None:
        letters.remove("C")
        letters.insert(place, "C")
    return "".join(letters) + "YX"


def check_layer(facts, name, shape, axes):
    """Check that a model takes a layer, before anything is loaded.

    Args:
        facts: `ModelFacts` of the model.
        name: of the layer, for messages.
        shape: of its data.
        axes: one letter a dimension.

    Returns:
        What fits, in a few words.

    Raises:
        InputError: letters that are none, of another number, or axes or channels that the model does not take.
    """
    letters = check_axes(axes)
    expect(len(letters) == len(shape), "axes", f"{letters} for a shape of {tuple(shape)}", f"{len(shape)} letters")
    # Of the pixels nothing is needed.
    image = Image(np.broadcast_to(np.float32(0), shape), letters, path=name)
    check_fits(with_axes(image, facts.axes), facts.axes, facts.channels, frames=True)
    told = facts.line()
    for letter, kind in (("T", "frames"), ("Z", "planes")):
        number = shape[letters.index(letter)] if letter in letters and letter not in facts.axes else 1
        told += f"; {number} {kind} one by one" if number > 1 else ""
    return told


class ResultLayer(NamedTuple):
    """A layer to add: its data, the arguments of napari's ``add_...``, and its type, "image" or "labels"."""

    data: np.ndarray
    arguments: dict[str, Any]
    type: str


def result_layer(layer, axes, projected, result, model_name, segments):
    """The layer of a prediction, at the place of the layer that was predicted, with smaller pixels where it has more.

    Args:
        layer: that was predicted.
        axes: of its data.
        projected: the axis that the prediction lacks, or "".
        result: the prediction; channels that ``axes`` lack are its last axis.
        model_name: for the name of the new layer, ``<layer> <model>``.
        segments: whether it holds the values of classes.
    """
    rgb = getattr(layer, "rgb", False)
    source = axes.replace(projected, "") if projected else axes
    kept = source.replace("C", "") if segments else source
    if result.ndim == len(kept) + 1:
        # Channels to begin with, where sliders are.
        result, kept = np.moveaxis(result, -1, 0), "C" + kept
    if "C" in kept and not (rgb and result.shape[-1] == 3):
        result, kept = _without_single_channel(result, kept)
        rgb = False
    letters = kept.removesuffix("C") if rgb else kept
    arguments = {"name": f"{layer.name} {model_name}", **_place(layer, axes, letters, result.shape)}
    if segments:
        return ResultLayer(result, arguments, "labels")
    if rgb:
        return ResultLayer(_as_colours(result, _full(layer).dtype), {**arguments, "rgb": True}, "image")
    colormap = getattr(layer, "colormap", None)
    known = {} if colormap is None or getattr(layer, "rgb", False) else {"colormap": colormap.name}
    return ResultLayer(result, {**arguments, **known, "rgb": False}, "image")


def _without_single_channel(result, kept):
    place = kept.index("C")
    return (result.squeeze(place), kept.replace("C", "")) if result.shape[place] == 1 else (result, kept)


def _as_colours(result, dtype):
    """Colours as napari draws them: 0 to 255, as the layer's, or 0 to 1."""
    if dtype != np.uint8:
        return np.clip(result, 0, 1)
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _place(layer, axes, letters, shape):
    """Scale, translation, units and labels of the dimensions that a result of a shape has, of those of its layer."""
    own = {letter: index for index, letter in enumerate(axes[: layer.ndim])}
    before = dict(zip(axes, layer_shape(layer), strict=False))
    times = [n / before[a] if a in before and a in _LENGTHS else 1 for a, n in zip(letters, shape, strict=False)]

    def values(of, other):
        return [of[own[letter]] if letter in own else other for letter in letters]

    place = {
        "scale": [size / n for size, n in zip(values(layer.scale, 1.0), times, strict=True)],
        # That of the centre of the first pixel.
        "translate": [
            start - size * (1 - 1 / n) / 2
            for start, size, n in zip(values(layer.translate, 0.0), values(layer.scale, 1.0), times, strict=True)
        ],
        "units": values(layer.units, "pixel"),
        "axis_labels": values(layer.axis_labels, "c"),
    }
    if all(letter in own for letter in letters):
        dimensions = [own[letter] for letter in letters]
        place["affine"] = layer.affine.set_slice(dimensions).affine_matrix
        if len(dimensions) == layer.ndim:
            place.update(rotate=layer.rotate, shear=layer.shear)
    return place


def calibration(layer, axes):
    """Pixel size by axis, and unit, of a layer, as images are written with; empty and ``None`` where it has none.

    Layers of pixels, and of one micrometre in every direction, may just as well be uncalibrated: they have none.
    """
    sizes = {axis: float(step) for axis, step in zip(axes, layer.scale, strict=False) if axis in _LENGTHS}
    units = {str(unit) for axis, unit in zip(axes, layer.units, strict=False) if axis in _LENGTHS}
    if set(sizes.values()) == {1.0} or len(units) != 1 or units == {"pixel"}:
        return {}, None
    short = {"micrometer": "um", "nanometer": "nm", "millimeter": "mm"}
    unit = units.pop()
    return sizes, short.get(unit, unit)
