"""Prediction of image files, piece by piece: read, restore, write with axes and pixel size kept."""

import logging
from contextlib import contextmanager
from pathlib import Path

from aeanet_tf.errors import InputError, SkippedError, UnfinishedError, bounded, expect
from aeanet_tf.files import folder_made
from aeanet_tf.io.channels import channel_paths, find_channel_images
from aeanet_tf.io.frame import frame_image
from aeanet_tf.io.image import check_fits, frame_axes
from aeanet_tf.io.series import find_series
from aeanet_tf.models.stored import StoredModel
from aeanet_tf.prediction.options import FileOptions, check_tile_count
from aeanet_tf.progress import progress_bar
from aeanet_tf.runs.chosen_channels import check_one_channel, check_takes_channels, open_chosen
from aeanet_tf.runs.outputs import check_replaceable, place_outputs
from aeanet_tf.runs.volumes import check_takes_volumes, check_volume, image_axes

logger = logging.getLogger("aeanet_tf")


def predict_files(
    model,
    inputs,
    output,
    normalization,
    options=None,
    client=None,
    *,
    stored=None,
    skip_bad=False,
    wait=False,
    overwrite=False,
    preview=False,
    **kwargs,
):
    """Restore every image of a folder or pattern: ImageJ-compatible tifs, OME-Zarr or NIfTI of the same names, float32
    unless the option ``dtype`` says otherwise; segmentation models write labels, uint8 or uint16.

    No image is in memory whole: pieces are read, restored and written. What is written has a hidden name until it is
    complete. A run that was stopped goes on with the first tile that is not finished when it is started again.

    All images are opened and checked before the first is restored, so that a bad one stops nothing halfway. A stack is
    restored plane by plane by a model of images, a time lapse frame by frame.

    Several models give the mean of their predictions, and ``<name>_disagreement``, their standard deviation. With the
    option ``channel_models`` there is one for each of the channels that ``channel`` names.

    With the options ``isotropic`` and ``upsample`` results have more planes, at a part of the distance, and a pixel
    size along Z that says so.

    Args:
        model: an `AEANet`, or an `Ensemble`, or a list of those of the channels; or a function that loads it, which is
            called when everything is checked that can be checked without.
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing; or for one image the file to write, whose name ends in .tif, .tiff,
            .zarr or, where the image is NIfTI, .nii or .nii.gz.
        normalization: a `NormalizationSection`; or a list of them, one for each of several models.
        options: `FileOptions`; its fields can also be given as keywords.
        client: a ``distributed.Client`` whose workers evaluate the tiles, or a function that makes it; ``None`` for
            this process.
        stored: the `StoredModel` of a function that loads it, the first of several: what does not fit it is refused
            before anything is loaded.
        skip_bad: restore the others where some images cannot be read or do not fit the model, also where damage shows
            only while one is read (but not with the context "group", whose images are one).
        wait: whether to wait where another process makes the same prediction in the same folder.
        overwrite: whether what another model, or nobody knows who, has made may be replaced.
        preview: whether a picture of input and prediction is drawn beside each, ``<name>_preview.png``; see
            `aeanet_tf.evaluation.preview`.

    Returns:
        The paths written, in the order of the inputs.

    Raises:
        InputError: an image that cannot be read or does not fit the model, options that do not fit it, a result that
            would replace that of another model, a disk that is full. Images before it are written where it could not
            be seen beforehand.
        SkippedError: with ``skip_bad``, when the others are written.
        BusyError: another process makes the same prediction in the same folder, and ``wait`` is not set.
    """
    options = FileOptions(**kwargs) if options is None else options
    several = isinstance(model, (list, tuple))
    expect(not several or options.channel_models, "model", "a list", "an Ensemble, or channel_models with channel")
    output, paths = Path(output), _images(inputs, options, skip_bad)
    if client is not None:
        # Workers may have been started elsewhere.
        output, paths = output.resolve(), [path.resolve() for path in paths]
    model = model() if stored is None and callable(model) else model
    known = stored or StoredModel.of(model)
    check_takes_channels(options, known)
    check_takes_volumes(options, known, _count(model, normalization))
    folder, targets = place_outputs(output, paths, options, known, _averaged(model, normalization, options))
    check_replaceable(targets, overwrite=overwrite)
    bad = _bad_images(paths, known, options, skip_bad)
    model, client = (value() if callable(value) else value for value in (model, client))
    # Not before: it takes TensorFlow.
    from aeanet_tf.runs.file_runs import prepare_run

    models = list(model) if isinstance(model, (list, tuple)) else list(getattr(model, "models", [model]))
    run = prepare_run(models, normalization, options, client, folder, paths)
    pairs = list(zip(paths, targets, strict=True))
    check_replaceable([files for path, files in pairs if path not in bad], run.state.made_by, overwrite)
    with folder_made(folder), run.state.locked(wait):
        try:
            groups = [pairs] if options.context == "group" else [[pair] for pair in pairs]
            _predict_groups(run, groups, bad, skip_bad and options.context != "group", preview)
        except UnfinishedError:
            # What is done stays, for when there is space.
            raise
        except (InputError, MemoryError):
            run.state.remove()
            raise
        run.state.remove()
    written = [target for path, files in pairs if path not in bad for target in files]
    logger.info("%d images written to %s", len(paths) - len(bad), folder)
    if bad:
        _report(bad, len(paths), written)
    return written


def _averaged(model, normalization, options):
    """Whether there are several models for the same."""
    return _count(model, normalization) > 1 and not options.channel_models


def _count(model, normalization):
    """Of models; one that is not loaded yet has its normalisation beside it."""
    return len(normalization if isinstance(normalization, (list, tuple)) else getattr(model, "models", [model]))


def _bad_images(paths, model, options, skip_bad):
    """Path -> what is wrong with it, of the images that cannot be opened or do not fit the `StoredModel`.

    Raises:
        InputError: there are some, and they are not to be skipped, or there are no others.
    """
    bad = {}
    for path in paths:
        try:
            check_image(path, model, options)
        except InputError as error:
            bad[path] = str(error)
    if bad and len(paths) == 1:
        raise InputError(bad[paths[0]])
    if bad and (not skip_bad or len(bad) == len(paths)):
        more = f"; {len(bad) - 1} more of the {len(paths)} images cannot be taken" if len(bad) > 1 else ""
        hint = "" if skip_bad else "; nothing was restored, --skip-bad (skip_bad) restores the others"
        raise InputError(f"{bounded(next(iter(bad.values())), 600)}{more}{hint}")
    return bad


def check_image(path, model, options, *, frames=True):
    """Open an image, and check that a model takes it; nothing is loaded for it.

    Args:
        path: of the image.
        model: a `StoredModel`.
        options: `FileOptions`.
        frames: whether there may be frames, see `check_fits`.

    Raises:
        InputError: it cannot be read, or does not fit the model, or lacks a channel that is chosen; another number of
            tiles than axes.
    """
    with _silent():
        image = open_chosen(path, options, image_axes(options, model.axes))
    check_tile_count(options.n_tiles, image.axes)
    if frames and not (options.channel or options.channels):
        check_one_channel(image, model)
    if options.keeps_channels and "C" in image.axes:
        image = frame_image(image, {"C": 0})
    if options.isotropic is not None:
        check_volume(image, model)
        return
    check_fits(image, model.axes, model.n_channel_in, frames)


@contextmanager
def _silent():
    """Keep what is logged of an image for when it is opened to be predicted."""
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record):
    return False


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


def _predict_groups(run, groups, bad, skip, preview):
    """Predict one group after the other; those that turn out bad are added to ``bad`` where they are to be skipped."""
    # A group keeps its number, under which an earlier run has noted it.
    for number, group in enumerate(progress_bar(groups, quiet=len(groups) == 1, leave=True, unit="image")):
        group = [pair for pair in group if pair[0] not in bad]
        if not group:
            continue
        results = [target for _, targets in group for target in targets]
        if run.state.finished(results):
            logger.info("%s: finished before the run was stopped", results[0])
            _preview(run, group, preview)
            continue
        try:
            images = [run.image(path, targets) for path, targets in group]
            for image in images:
                _say_planes(image)
            run.predict(number, images)
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
        _preview(run, group, preview)


def _say_planes(image):
    """Say so where a stack is restored by a model of images."""
    axes = image.model.config.axes
    if image.options.isotropic is None and "Z" in frame_axes(image.image.axes, axes):
        planes = image.image.array.shape[image.image.axes.index("Z")]
        logger.info("%s: %d planes along Z, each restored by itself: the model's axes are %s", image.path, planes, axes)


def _preview(run, group, wanted):
    if not wanted:
        return
    # Not before: it takes Matplotlib.
    from aeanet_tf.runs.previews import draw_preview

    for path, targets in group:
        with _silent():
            image = run.image(path, targets).image
        draw_preview(image, targets[0], run.segments)
