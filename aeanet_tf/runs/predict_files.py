"""Prediction of image files, piece by piece: read, restore, write with axes and pixel size kept."""

import errno
import json
import logging
import os
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from aeanet_tf.errors import InputError, UnfinishedError, WriteError
from aeanet_tf.files import folder_made
from aeanet_tf.io.channels import channel_paths, find_channel_images, open_channels
from aeanet_tf.io.image import NIFTI_SUFFIXES, ZARR_SUFFIX, image_stem, image_suffix
from aeanet_tf.io.read import find_images, open_image
from aeanet_tf.models.ensemble import Ensemble, check_units
from aeanet_tf.models.ensemble_prediction import model_orientations
from aeanet_tf.models.hardware import RESERVE, memory_budget, remembering_pool
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.predict_arrays import Patches, check_tiling, follow, halved, tiles_by_axis
from aeanet_tf.networks import check_precision
from aeanet_tf.prediction import run_job
from aeanet_tf.prediction.cluster import Cluster, worker_memory
from aeanet_tf.prediction.job import Job
from aeanet_tf.prediction.kept import Features, Journal
from aeanet_tf.prediction.memory import parse_bytes
from aeanet_tf.prediction.plan import Budget, make_plan
from aeanet_tf.runs.ensemble_files import EnsembleRun
from aeanet_tf.runs.image_file import ImageRun, discarding
from aeanet_tf.runs.patch_files import predict_in_patches
from aeanet_tf.runs.unfinished import RunState, file_facts, network_digest

logger = logging.getLogger("aeanet_tf")


@dataclass(frozen=True)
class PredictOptions:
    """How files are predicted.

    Attributes:
        axes: of the files; by default those that they name.
        n_tiles: number of tiles along each axis of the images; ``None`` for as many as the memory asks for.
        tiling, context: see `AEANet.predict`; the images of the call are a group. For a segmentation model also
            ``"patches"``; ``None`` is its default, and ``"exact"`` for others.
        patch_size, step: of patches; see `SegmentationAEANet.predict`.
        max_memory: what a process may hold in all; see `AEANet.predict`.
        scale: also write the scale of a probabilistic model, as ``<name>_scale``.
        probabilities: also write the probabilities of a segmentation model's classes, as ``<name>_probabilities``.
        channels: names of the channels where each is a file of its own, such as ("T1", "T2"): see
            `aeanet_tf.io.channels`. Results have the names of the first.
        precision: ``"float32"`` or ``"bfloat16"``; see `AEANet.predict`.
        file_format: ``"tif"`` or ``"zarr"``; ``None`` writes a zarr for a zarr, NIfTI and Analyze for the same (with
            their affine; from models of volumes), and a tif for everything else.
        ensemble: ``"flips"``, ``"flips-z"`` or ``None``; see `AEANet.predict`.
    """

    axes: str | None = None
    n_tiles: tuple[int, ...] | None = None
    tiling: str | None = None
    context: str = "image"
    max_memory: Any = None
    scale: bool = False
    file_format: str | None = None
    precision: str = "float32"
    probabilities: bool = False
    channels: tuple[str, ...] | None = None
    patch_size: tuple[int, ...] | None = None
    step: int | tuple[int, ...] | None = None
    ensemble: str | None = None


def predict_files(model, inputs, output, normalization, options=None, client=None, **kwargs):
    """Restore every image of a folder or pattern: ImageJ-compatible tifs, OME-Zarr or NIfTI of the same names, float32;
    segmentation models write labels, uint8 or uint16.

    No image is in memory whole: pieces are read, restored and written. What is written has a hidden name until it is
    complete. A run that was stopped goes on with the first tile that is not finished when it is started again.

    Several models give the mean of their predictions, and ``<name>_disagreement``, their standard deviation.

    Args:
        model: an `AEANet`, or an `Ensemble`.
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing.
        normalization: a `NormalizationSection`; or a list of them, one for each model of an ensemble.
        options: `PredictOptions`; its fields can also be given as keywords.
        client: a ``distributed.Client`` whose workers evaluate the tiles; ``None`` for this process.

    Returns:
        The paths written, in the order of the inputs.

    Raises:
        InputError: an image that cannot be read or does not fit the model, options that do not fit it, a disk that is
            full. Images before it are written.
    """
    options = PredictOptions(**kwargs) if options is None else options
    models = list(model.models) if isinstance(model, Ensemble) else [model]
    sections = _for_each(models, normalization)
    patches = options.patch_size, options.step
    each = [replace(options, tiling=one.checked_tiling(options.tiling, *patches)) for one in models]
    for one, section, own in zip(models, sections, each, strict=True):
        _check_options(one, section, own, client)
    check_units(models, sections)
    turns = model_orientations(models, options.ensemble)
    output = Path(output)
    paths = find_channel_images(inputs, options.channels) if options.channels else find_images(inputs)
    if client is not None:
        # Workers may have been started elsewhere.
        output, paths = output.resolve(), [path.resolve() for path in paths]
    _check_folder(output)
    volumes = "Z" in models[0].config.axes and "Z" in models[0]._axes_out
    targets = [_targets(output, path, options, volumes, len(models) > 1) for path in paths]
    _check_targets(paths, targets)
    state = RunState(output, _facts(models, sections, each, paths))
    run = _run_of([_Run(*own, client, state) for own in zip(models, sections, each, strict=True)], turns, options.scale)
    pairs = list(zip(paths, targets, strict=True))
    # An ensemble's files are made before its first member is planned, which may fail.
    with folder_made(output) if isinstance(run, EnsembleRun) else nullcontext():
        try:
            _predict_groups(run, [pairs] if options.context == "group" else [[pair] for pair in pairs])
        except UnfinishedError:
            # What is done stays, for when there is space.
            raise
        except (InputError, MemoryError):
            state.remove()
            raise
    state.remove()
    written = [target for files in targets for target in files]
    logger.info("%d images written to %s", len(paths), output)
    return written


def _for_each(models, normalization):
    """A list with the normalisation of each model."""
    sections = normalization if isinstance(normalization, (list, tuple)) else [normalization] * len(models)
    if len(sections) != len(models):
        raise InputError(f"normalization: found {len(sections)}, expected one for each of {len(models)} models")
    return list(sections)


def _check_options(model, normalization, options, client):
    """Refuse options that do not fit a model."""
    check_tiling(options.tiling, options.context)
    check_precision(options.precision)
    if options.scale and not model.config.probabilistic:
        raise InputError("--scale: the model is not probabilistic, it predicts no scale")
    segments = model.segments
    if options.probabilities and not segments:
        raise InputError("--probabilities: the model does not segment, it has no classes")
    if not segments:
        # CSBDeep's warning where the result stays normalised.
        model._check_normalizer_resizer(make_normalizer(normalization), None)
    if client is not None and isinstance(options.tiling, Patches):
        raise InputError("tiling: overlapping patches are predicted in one process, expected no workers or scheduler")
    if options.n_tiles is not None and isinstance(options.tiling, Patches):
        raise InputError(f"n_tiles: {options.n_tiles!r}, expected None with patches, which have a size of their own")
    if options.max_memory is not None:
        parse_bytes(options.max_memory)


def _facts(models, sections, options, paths):
    """What decides the results of a call, for its `RunState`."""
    # A network does not know the values of its classes.
    networks = [[network_digest(model), getattr(model.config, "labels", None)] for model in models]
    how = [[json.loads(section.model_dump_json()) for section in sections], [asdict(own) for own in options]]
    names = options[0].channels
    files = [one for path in paths for one in (channel_paths(path, names) if names else [path])]
    return [networks, *how, *map(file_facts, files)]


def _run_of(runs, turns, scale):
    """What predicts with the runs of all models in all orientations."""
    members = len(runs) * len(turns)
    if members == 1:
        return runs[0]
    logger.info("an ensemble of %d (models: %d, orientations: %d)", members, len(runs), len(turns))
    return EnsembleRun(runs, turns, scale, len(runs) > 1)


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
    """Where the prediction of a file goes, and its scale or probabilities where they are wanted.

    Args:
        volumes: whether the model gives volumes, which is what NIfTI holds.
        several: whether there are several models, whose disagreement is written, too.
    """
    suffix = image_suffix(path)
    kept = suffix if suffix in (ZARR_SUFFIX, *(NIFTI_SUFFIXES if volumes else ())) else ".tif"
    suffix = kept if options.file_format is None else f".{options.file_format}"
    ends = [""] + ["_scale"] * options.scale + ["_probabilities"] * options.probabilities
    ends += ["_disagreement"] * several
    return [output / f"{image_stem(path)}{end}{suffix}" for end in ends]


def _check_folder(output):
    """Refuse a folder that cannot be made or written, before images are read for hours."""
    there = _existing(output)
    reason = None if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    reason = reason if there.is_dir() else errno.ENOTDIR
    if reason:
        raise WriteError(f"{output}: cannot be written ({os.strerror(reason)})")


def _check_targets(paths, targets):
    """Refuse to write one file twice, or over an input."""
    inputs = {path.resolve() for path in paths}
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


@dataclass
class _Run:
    """What all images of a call share that one model predicts."""

    model: Any
    normalization: Any
    options: PredictOptions
    client: Any
    state: RunState

    def open(self, path):
        """The `Image` of a file, left where it is stored."""
        axes, channels = self.options.axes, self.options.channels
        return open_channels(path, channels, axes) if channels else open_image(path, axes)

    def image(self, path, targets):
        """The `ImageRun` of a file."""
        return ImageRun(self.model, self.open(path), targets)

    def predict(self, number, images):
        """Predict a group of images with the tiles that fit, halved whenever memory runs out."""
        if isinstance(self.options.tiling, Patches):
            with discarding(images):
                predict_in_patches(self.model, images, self.normalization, self.options, self.state.digest)
            return
        given = None
        with discarding(images):
            while True:
                plan = self._begin(number, images, given)
                try:
                    with remembering_pool():
                        self._run(number, images, plan)
                    break
                except (tf.errors.ResourceExhaustedError, MemoryError):
                    given = halved(self.model, plan.n_tiles, plan.size)
                    logger.warning("out of memory, going on with %s tiles", " x ".join(map(str, given)))
                    self.state.forget(number)
        for image in images:
            image.finish()
        self.state.forget(number)

    def _begin(self, number, images, given):
        """The plan of a group, with files to write to: those of a run that was stopped, or new ones."""
        begun = self.state.plan(number)
        plan = begun or self._plan(images, given)
        for image in images:
            if not image.sources:
                with _bar("piece") as bar:
                    image.read_ranges(self.normalization, follow(bar))
        # No generator: all of them are to be opened.
        if begun and all([image.reopen_files(plan, self.state.digest) for image in images]):  # noqa: C419
            logger.info("%s: going on with what an earlier run has finished", images[0].path)
            return plan
        self.state.forget(number)
        plan = self._plan(images, given) if begun else plan
        for image in images:
            image.create_files(plan, self.state.digest)
        if not _at_once(plan, images):
            self.state.enter_plan(number, plan)
            logger.info("%s: %s", images[0].path, plan.line(on_disk=True))
        return plan

    def _plan(self, images, given):
        options, spec = self.options, self.model.spec
        first = images[0]
        if given is None and options.tiling == "whole":
            given = [1] * spec.dimension
        elif given is None and options.n_tiles is not None:
            image = first.image
            given = tiles_by_axis(self.model, image.axes, options.n_tiles, image.array.shape, first.padded)
        together = options.context == "group"
        sizes = [image.padded for image in images for _ in image.frames] if together else [first.padded]
        shared = options.tiling != "overlap"
        return make_plan(self.model.keras_model, spec, sizes, self._budget(images), given, shared, together)

    def _budget(self, images):
        free = shutil.disk_usage(_existing(images[0].targets[0].parent)).free
        outputs = sum(image.bytes_to_write() for image in images)
        available = None if self.client is None else worker_memory(self.client)
        memory = memory_budget(self.options.max_memory, RESERVE, available)
        # Half of it: others write, too.
        return Budget(memory, max(0, free - outputs) / 2)

    def _run(self, number, images, plan):
        frames = [image.job_frame(i, plan) for image in images for i in range(len(image.sources))]
        at_once, stages = _at_once(plan, images), self.model.stages(plan, self.options.precision)
        # Without a shared context the frames do not wait for each other.
        together = self.options.context == "group" or not plan.shared
        for index, job in enumerate([frames] if together else [[frame] for frame in frames]):
            features, journal = self.state.features(number, index, plan), self.state.journal(number, index)
            if at_once:
                features, journal = Features(), Journal()
            workers = None if self.client is None else Cluster(self.client, self.state.folder)
            with _bar("tile", quiet=at_once) as bar:
                work = Job(stages, self.model.spec, job, features, plan.batch)
                run_job(work, workers, journal, follow(bar))


def _at_once(plan, images):
    """Whether there is one piece only, and nothing to go on with if it is interrupted."""
    return prod(plan.n_tiles) == 1 and not plan.shared and sum(len(image.frames) for image in images) == 1


def _bar(unit, quiet=False):
    return tqdm(disable=True if quiet else None, leave=False, unit=unit)


def _existing(folder):
    """The folder, or the nearest above it that there is."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())
