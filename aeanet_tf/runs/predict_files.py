"""Prediction of image files, piece by piece: read, restore, write with axes and pixel size kept."""

import errno
import logging
import os
from pathlib import Path

from tqdm import tqdm

from aeanet_tf.errors import InputError, SkippedError, UnfinishedError, WriteError, bounded
from aeanet_tf.files import existing_folder, folder_made
from aeanet_tf.io.channels import channel_paths, find_channel_images
from aeanet_tf.io.image import NIFTI_SUFFIXES, ZARR_SUFFIX, image_stem, image_suffix
from aeanet_tf.io.series import find_series
from aeanet_tf.paths import check_path
from aeanet_tf.prediction.options import FileOptions

logger = logging.getLogger("aeanet_tf")


def predict_files(
    model, inputs, output, normalization, options=None, client=None, *, skip_bad=False, wait=False, **kwargs
):
    """Restore every image of a folder or pattern: ImageJ-compatible tifs, OME-Zarr or NIfTI of the same names, float32;
    segmentation models write labels, uint8 or uint16.

    No image is in memory whole: pieces are read, restored and written. What is written has a hidden name until it is
    complete. A run that was stopped goes on with the first tile that is not finished when it is started again.

    All images are opened and checked before the first of several is restored, so that a bad one stops nothing halfway.

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
        skip_bad: restore the others where some images cannot be read or do not fit the model, also where damage shows
            only while one is read (but not with the context "group", whose images are one).
        wait: whether to wait where another process makes the same prediction in the same folder.

    Returns:
        The paths written, in the order of the inputs.

    Raises:
        InputError: an image that cannot be read or does not fit the model, options that do not fit it, a disk that is
            full. Images before it are written where it could not be seen beforehand.
        SkippedError: with ``skip_bad``, when the others are written.
        BusyError: another process makes the same prediction in the same folder, and ``wait`` is not set.
    """
    options = FileOptions(**kwargs) if options is None else options
    output, paths = Path(output), _images(inputs, options, skip_bad)
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
    bad = _bad_images(run, pairs, skip_bad)
    with folder_made(output), run.state.locked(wait):
        try:
            groups = [pairs] if options.context == "group" else [[pair] for pair in pairs]
            _predict_groups(run, groups, bad, skip_bad and options.context != "group")
        except UnfinishedError:
            # What is done stays, for when there is space.
            raise
        except (InputError, MemoryError):
            run.state.remove()
            raise
        run.state.remove()
    written = [target for path, files in pairs if path not in bad for target in files]
    logger.info("%d images written to %s", len(paths) - len(bad), output)
    if bad:
        _report(bad, len(paths), written)
    return written


def _bad_images(run, pairs, skip_bad):
    """Path -> what is wrong with it, of the images that cannot be opened or do not fit the model.

    Raises:
        InputError: there are some, and they are not to be skipped, or there are no others.
    """
    bad = {}
    if len(pairs) == 1:
        # It is opened next.
        return bad
    for path, targets in pairs:
        if run.state.finished(targets):
            continue
        try:
            run.image(path, targets)
        except InputError as error:
            bad[path] = str(error)
    if bad and (not skip_bad or len(bad) == len(pairs)):
        more = f"; {len(bad) - 1} more of the {len(pairs)} images cannot be taken" if len(bad) > 1 else ""
        hint = "" if skip_bad else "; nothing was restored, --skip-bad (skip_bad) restores the others"
        raise InputError(f"{bounded(next(iter(bad.values())), 600)}{more}{hint}")
    return bad


def _report(bad, count, written):
    """Name the images that were left out, each in a line, and raise the error that sums them up."""
    for reason in bad.values():
        logger.error("left out: %s", reason)
    named = ", ".join(path.name for path in list(bad)[:10]) + (", ..." if len(bad) > 10 else "")
    message = f"{len(bad)} of {count} images were left out: {named}"
    raise SkippedError(message, bad, written) if written else InputError(f"{message}; {next(iter(bad.values()))}")


def _images(inputs, options, skip_bad):
    """The image files, or the first of each set of files for channels; all of the set are looked for."""
    channels, chosen = options.channels, (options.series, options.allow_missing)
    if not channels:
        return find_series(inputs, *chosen, options.slices, skip_bad)
    paths = find_channel_images(inputs, list(channels), *chosen)
    for path in paths:
        channel_paths(path, list(channels))
    return paths


def _predict_groups(run, groups, bad, skip):
    """Predict one group after the other; those that turn out bad are added to ``bad`` where they are to be skipped."""
    # A group keeps its number, under which an earlier run has noted it.
    for number, group in enumerate(tqdm(groups, disable=True if len(groups) == 1 else None, unit="image")):
        group = [pair for pair in group if pair[0] not in bad]
        if not group:
            continue
        results = [target for _, targets in group for target in targets]
        if run.state.finished(results):
            logger.info("%s: finished before the run was stopped", results[0])
            continue
        try:
            run.predict(number, [run.image(path, targets) for path, targets in group])
        except UnfinishedError:
            raise
        except InputError as error:
            if not skip:
                raise
            bad[group[0][0]] = str(error)
            run.state.forget(number)
            continue
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
            check_path(file)
            if file in taken:
                raise InputError(
                    f"{path}: {file} would also be written for {taken[file]}; rename one, or predict apart"
                )
            taken[file] = path
            if file.resolve() in inputs:
                raise InputError(f"{file.parent}: {file.name} would replace an input, choose another output folder")
