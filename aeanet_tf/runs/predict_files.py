"""Prediction of image files, piece by piece: read, restore, write with axes and pixel size kept."""

import errno
import logging
import os
from pathlib import Path

from tqdm import tqdm

from aeanet_tf.errors import InputError, UnfinishedError, WriteError
from aeanet_tf.files import existing_folder, folder_made
from aeanet_tf.io.channels import channel_paths, find_channel_images
from aeanet_tf.io.image import NIFTI_SUFFIXES, ZARR_SUFFIX, image_stem, image_suffix
from aeanet_tf.io.series import find_series
from aeanet_tf.prediction.options import FileOptions

logger = logging.getLogger("aeanet_tf")


def predict_files(model, inputs, output, normalization, options=None, client=None, **kwargs):
    """Restore every image of a folder or pattern: ImageJ-compatible tifs, OME-Zarr or NIfTI of the same names, float32;
    segmentation models write labels, uint8 or uint16.

    No image is in memory whole: pieces are read, restored and written. What is written has a hidden name until it is
    complete. A run that was stopped goes on with the first tile that is not finished when it is started again.

    Several models give the mean of their predictions, and ``<name>_disagreement``, their standard deviation.

    Args:
        model: an `AEANet`, or an `Ensemble`; or a function that loads it, which is called when everything is checked
            that can be checked without.
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing.
        normalization: a `NormalizationSection`; or a list of them, one for each model of an ensemble.
        options: `FileOptions`; its fields can also be given as keywords.
        client: a ``distributed.Client`` whose workers evaluate the tiles, or a function that makes it; ``None`` for
            this process.

    Returns:
        The paths written, in the order of the inputs.

    Raises:
        InputError: an image that cannot be read or does not fit the model, options that do not fit it, a disk that is
            full. Images before it are written.
    """
    options = FileOptions(**kwargs) if options is None else options
    output, paths = Path(output), _images(inputs, options)
    _check_folder(output)
    model, client = (value() if callable(value) else value for value in (model, client))
    # Not before: it takes TensorFlow.
    from aeanet_tf.runs.file_runs import prepare_run

    if client is not None:
        # Workers may have been started elsewhere.
        output, paths = output.resolve(), [path.resolve() for path in paths]
    models = list(getattr(model, "models", [model]))
    volumes = "Z" in models[0].config.axes and "Z" in models[0].axes_out
    targets = [_targets(output, path, options, volumes, len(models) > 1) for path in paths]
    _check_targets(paths, targets)
    run = prepare_run(models, normalization, options, client, output, paths)
    pairs = list(zip(paths, targets, strict=True))
    with folder_made(output):
        try:
            _predict_groups(run, [pairs] if options.context == "group" else [[pair] for pair in pairs])
        except UnfinishedError:
            # What is done stays, for when there is space.
            raise
        except (InputError, MemoryError):
            run.state.remove()
            raise
    run.state.remove()
    written = [target for files in targets for target in files]
    logger.info("%d images written to %s", len(paths), output)
    return written


def _images(inputs, options):
    """The image files, or the first of each set of files for channels; all of the set are looked for."""
    channels, chosen = options.channels, (options.series, options.allow_missing)
    if not channels:
        return find_series(inputs, *chosen, options.slices)
    paths = find_channel_images(inputs, list(channels), *chosen)
    for path in paths:
        channel_paths(path, list(channels))
    return paths


def _predict_groups(run, groups):
    for number, group in enumerate(tqdm(groups, disable=True if len(groups) == 1 else None, unit="image")):
        results = [target for _, targets in group for target in targets]
        if run.state.finished(results):
            logger.info("%s: finished before the run was stopped", results[0])
            continue
        run.predict(number, [run.image(path, targets) for path, targets in group])
        if len(groups) > 1:
            run.state.enter_finished(results)


def _targets(output, path, options, volumes, several=False):
    """Where the prediction of a file goes, its scale or probabilities where they are wanted, and the disagreement of
    several models. NIfTI holds volumes only."""
    suffix = image_suffix(path)
    kept = suffix if suffix in (ZARR_SUFFIX, *(NIFTI_SUFFIXES if volumes else ())) else ".tif"
    suffix = kept if options.file_format is None else f".{options.file_format}"
    ends = [""] + ["_scale"] * options.scale + ["_probabilities"] * options.probabilities
    ends += ["_disagreement"] * several
    return [output / f"{image_stem(path)}{end}{suffix}" for end in ends]


def _check_folder(output):
    """Refuse a folder that cannot be made or written, before images are read for hours."""
    there = existing_folder(output)
    reason = None if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    reason = reason if there.is_dir() else errno.ENOTDIR
    if reason:
        raise WriteError(f"{output}: cannot be written ({os.strerror(reason)})")


def _check_targets(paths, targets):
    """Refuse to write one file twice, or over an input."""
    inputs = {Path(path).resolve() for path in paths}
    taken = {}
    for path, files in zip(paths, targets, strict=True):
        for file in files:
            if file in taken:
                raise InputError(
                    f"{path}: {file} would also be written for {taken[file]}; rename one, or predict apart"
                )
            taken[file] = path
            if file.resolve() in inputs:
                raise InputError(f"{file.parent}: {file.name} would replace an input, choose another output folder")
