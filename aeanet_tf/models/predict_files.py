"""Prediction of image files: read, restore, write with axes and pixel size kept."""

import logging
from pathlib import Path

from tqdm import tqdm

from aeanet_tf.data.images import check_fits, find_images, image_stem, read_image, write_image
from aeanet_tf.errors import InputError
from aeanet_tf.models.normalizers import make_normalizer

logger = logging.getLogger("aeanet_tf")


def predict_files(model, inputs, output, normalization, axes=None, n_tiles=None, scale=False, tiling="exact"):
    """Restore every image of a folder or pattern and write ImageJ-compatible float32 tifs of the same names.

    Args:
        model: an `AEANet`.
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing.
        normalization: a `NormalizationSection`.
        axes: of the files; by default those that they name.
        n_tiles: number of tiles along each axis of the images, as in CSBDeep; ``None`` predicts them whole.
        scale: also write the scale of a probabilistic model, as ``<name>_scale.tif``.
        tiling: ``"exact"``, ``"overlap"`` or ``"whole"``, see `AEANet.predict`.

    Returns:
        The paths written.

    Raises:
        InputError: an image that cannot be read or does not fit the model. Images before it are written.
    """
    output = Path(output)
    paths = find_images(inputs)
    if scale and not model.config.probabilistic:
        raise InputError("--scale: the model is not probabilistic, it predicts no scale")
    targets = [output / f"{image_stem(path)}.tif" for path in paths]
    _check_targets(paths, targets, scale)
    written = []
    for path, target in zip(tqdm(paths, disable=None, unit="image"), targets, strict=True):
        image = read_image(path, axes)
        _check(model, image, n_tiles)
        mean, deviation = _restore(model, image, normalization, n_tiles, tiling)
        out_axes = "".join(a for a in image.axes if a == "C" or a in model._axes_out)
        if mean.ndim > len(out_axes):
            out_axes += "C"
        results = {target: mean} | ({_scale_file(target): deviation} if scale else {})
        for name, array in results.items():
            write_image(name, array, out_axes, {a: s for a, s in image.pixel_size.items() if a in out_axes}, image.unit)
            written.append(name)
    logger.info("%d images written to %s", len(written), output)
    return written


def _scale_file(target):
    return target.with_name(f"{target.stem}_scale.tif")


def _check_targets(paths, targets, scale):
    """Refuse to write one file twice, or over an input."""
    inputs = {path.resolve() for path in paths}
    taken = {}
    for path, target in zip(paths, targets, strict=True):
        for file in (target, *([_scale_file(target)] if scale else [])):
            if file in taken:
                raise InputError(
                    f"{path}: {file} would also be written for {taken[file]}; rename one, or predict apart"
                )
            taken[file] = path
            if file.resolve() in inputs:
                raise InputError(f"{file.parent}: {file.name} would replace an input, choose another output folder")


def _restore(model, image, normalization, n_tiles, tiling):
    normalizer = make_normalizer(normalization)
    if model.config.probabilistic:
        prediction = model.predict_probabilistic(image.array, image.axes, normalizer, n_tiles=n_tiles, tiling=tiling)
        return prediction.mean(), prediction.scale()
    return model.predict(image.array, image.axes, normalizer, n_tiles=n_tiles, tiling=tiling), None


def _check(model, image, n_tiles):
    check_fits(image, model.config.axes, model.config.n_channel_in)
    if n_tiles is not None and len(n_tiles) != len(image.axes):
        raise InputError(f"--n-tiles: {len(n_tiles)} numbers, expected one for each of the axes {image.axes}")
    for axis, n in zip(image.axes, n_tiles or (), strict=False):
        if n > 1 and (axis == "C" or axis not in model._axes_out):
            raise InputError(f"--n-tiles: {n} along {axis} of {image.axes}, expected 1: the network needs it whole")
