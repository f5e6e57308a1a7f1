"""Projection of stacks onto the sheet that runs through them, without a network: images, and heights of the surface."""

import logging
from itertools import product
from pathlib import Path

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.evaluation.surface import SMOOTHNESS, THICKNESS, along_surface, surface_height
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series
from aeanet_tf.io.tiff import write_image

logger = logging.getLogger("aeanet_tf")


def project_files(
    inputs,
    output,
    axes=None,
    *,
    smoothness=SMOOTHNESS,
    thickness=THICKNESS,
    channel=0,
    series=None,
    allow_missing=False,
):
    """Project every stack of a folder or pattern, see `aeanet_tf.evaluation.surface`.

    Written are ImageJ-compatible TIFFs in float32, pixel sizes kept: ``<name>.tif``, the stack without Z, and
    ``height/<name>.tif``, the height of the surface in planes counted from 0. The surface is found in one channel and
    taken for all; each time point has its own. A stack has to fit into memory.

    Args:
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing.
        axes: of the files, such as "ZYX" or "CZYX"; None takes those they state.
        smoothness: see `surface_height`.
        thickness: of the sheet in planes, see `along_surface`.
        channel: in which the surface is found, from 0.
        series, allow_missing: of each file, as for `aeanet_tf.io.series.find_series`.

    Returns:
        The paths of the projections, in the order of the inputs.

    Raises:
        InputError: a file that cannot be read, has no Z or no such channel, two files of one name, a result that would
            replace its input, or a parameter out of its range. Nothing is written of that file; those before it stay.
    """
    paths, output = find_series(inputs, series, allow_missing), Path(output)
    targets = [output / f"{image_stem(path)}.tif" for path in paths]
    sources = {ImagePath.of(path).path.resolve() for path in paths}
    for path, target in zip(paths, targets, strict=True):
        expect(targets.count(target) == 1, path, "another file of that name", "one name for each")
        for written in (target, _height_path(target)):
            expect(written.resolve() not in sources, "output", f"{written}, one of the inputs", "another folder")
    for path, target in zip(paths, targets, strict=True):
        image = read_image(path, axes)
        projection, heights, kept = _project(image, smoothness, thickness, channel)
        pixel_size = {axis: step for axis, step in image.pixel_size.items() if axis in kept}
        write_image(_height_path(target), heights, kept.replace("C", ""), pixel_size, image.unit)
        write_image(target, projection, kept, pixel_size, image.unit)
        logger.info("%s: planes %s to %s", target, f"{heights.min():.1f}", f"{heights.max():.1f}")
    return targets


def _height_path(target):
    # Not beside it: the folder of the projections is one of images to train on or to score.
    return target.parent / "height" / target.name


def _project(image, smoothness, thickness, channel):
    """The projection, the heights, and the axes of the former: of T, C, Y, X those that are there."""
    expect({"Z", "Y", "X"} <= set(image.axes), image.path, f"axes {image.axes}", "a stack, with Z, Y and X")
    sizes = dict(zip(image.axes, image.array.shape, strict=True))
    array = image.array.transpose([image.axes.index(axis) for axis in "TCZYX" if axis in sizes])
    array = array.reshape([sizes.get(axis, 1) for axis in "TCZYX"])
    frames, channels = array.shape[:2]
    expect(0 <= channel < channels, "channel", channel, f"0 to {channels - 1} of {image.path}")
    heights = np.stack([surface_height(frame[channel], smoothness) for frame in array])
    projection = np.empty((frames, channels, *array.shape[-2:]), np.float32)
    for frame, number in product(range(frames), range(channels)):
        projection[frame, number] = along_surface(array[frame, number], heights[frame], thickness)
    # As the file has them, but for Z.
    kept = "".join(axis for axis in "TCYX" if axis in sizes)
    flat = kept.replace("C", "")
    shapes = [[sizes[axis] for axis in axes] for axes in (kept, flat)]
    return projection.reshape(shapes[0]), heights.reshape(shapes[1]), kept
