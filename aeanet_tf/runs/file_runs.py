"""Prediction of image files by a model, or by the members of an ensemble: with the tiles that fit, taken up again."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import existing_folder
from aeanet_tf.io.channels import channel_paths
from aeanet_tf.models.ensemble import check_units, model_orientations
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.predict_arrays import given_tiles, patch_averages, plan_images, run_until_it_fits
from aeanet_tf.models.scale_calibration import say_calibration, scale_factor, without_calibration
from aeanet_tf.models.weights_file import network_digest
from aeanet_tf.prediction.cluster import Cluster, worker_memory
from aeanet_tf.prediction.job import Job
from aeanet_tf.prediction.kept import Features, Journal
from aeanet_tf.prediction.machine import RESERVE
from aeanet_tf.prediction.options import FileOptions, Patches, check_parts
from aeanet_tf.prediction.patch_average import averaging_bytes
from aeanet_tf.prediction.plan import Budget
from aeanet_tf.prediction.progress import follow
from aeanet_tf.prediction.sweeps import run_job
from aeanet_tf.progress import progress_bar
from aeanet_tf.runs.calibration_images import warn_of_calibration_images
from aeanet_tf.runs.channel_models import ChannelsRun, check_channel_models
from aeanet_tf.runs.chosen_channels import open_chosen
from aeanet_tf.runs.ensemble_files import EnsembleRun
from aeanet_tf.runs.image_file import ImageRun, discarding
from aeanet_tf.runs.isotropic_files import IsotropicRun
from aeanet_tf.runs.unfinished import RunState, file_facts, maker_of
from aeanet_tf.runs.volumes import image_axes, opened

logger = logging.getLogger("aeanet_tf")

# From how many bytes on the workers read an image for its statistics: a second or two of reading here.
SENT_BYTES = 2**30


def prepare_run(models, normalization, options, client, output, paths):
    """What predicts the files of a call: a `ModelRun`, an `IsotropicRun`, an `EnsembleRun` of several models or
    orientations, or a `ChannelsRun` of a model for each channel.

    Args:
        models: list of `AEANet`, of several the members of an ensemble, or those of the channels.
        normalization, options, client: see `aeanet_tf.runs.predict_files.predict_files`.
        output: the folder of the results.
        paths: of the images.

    Raises:
        InputError: options that do not fit a model, or models that do not fit each other.
    """
    sections = _for_each(models, normalization)
    each = [model.decided(options) for model in models]
    for model, section, own in zip(models, sections, each, strict=True):
        _check_options(model, section, own, client)
    if options.channel_models:
        check_channel_models(models, options)
    else:
        check_units(models, sections)
    if len(models) > 1 and not options.channel_models:
        each = [without_calibration(own) for own in each]
    if options.wants_scale:
        say_calibration(models, each[0])
        warn_of_calibration_images(models, each[0], paths)
    turns = model_orientations(models, options.ensemble)
    state = RunState(output, _facts(models, sections, each, paths), maker_of(models))
    runs = [ModelRun(*own, client, state) for own in zip(models, sections, each, strict=True)]
    if options.channel_models:
        return ChannelsRun(runs, turns, options)
    members = len(runs) * len(turns)
    if members == 1:
        return runs[0] if options.isotropic is None else IsotropicRun(runs[0])
    logger.info("an ensemble of %d (models: %d, orientations: %d)", members, len(runs), len(turns))
    return EnsembleRun(runs, turns, options)


def _for_each(models, normalization):
    """A list with the normalisation of each model."""
    sections = normalization if isinstance(normalization, (list, tuple)) else [normalization] * len(models)
    if len(sections) != len(models):
        raise InputError(f"normalization: found {len(sections)}, expected one for each of {len(models)} models")
    return list(sections)


def _check_options(model, normalization, options, client):
    """Refuse options that do not fit a model."""
    check_parts(options, model.config.probabilistic, model.segments)
    # CSBDeep's warning where the result stays normalised.
    model.checked_normalizer(make_normalizer(normalization), None)
    if client is not None and isinstance(options.tiling, Patches):
        raise InputError("tiling: overlapping patches are predicted in one process, expected no workers or scheduler")


def _facts(models, sections, options, paths):
    """What decides the results of a call, for its `RunState`."""
    # A network does not know the values of its classes.
    networks = [[network_digest(model), getattr(model.config, "labels", None)] for model in models]
    how = [[json.loads(section.model_dump_json()) for section in sections], [asdict(own) for own in options]]
    how.append([scale_factor(*pair) for pair in zip(models, options, strict=True)])
    names = options[0].channels
    files = [file for path in paths for file in (channel_paths(path, names) if names else [path])]
    return [networks, *how, *map(file_facts, files)]


@dataclass
class ModelRun:
    """Predicts the image files of a call by one model.

    Attributes:
        model: an `AEANet`.
        normalization: the `NormalizationSection` of its training.
        options: `FileOptions` that `AEANet.decided` gave.
        client: a ``distributed.Client`` whose workers evaluate the tiles; ``None`` for this process.
        state: the `RunState` of the call.
    """

    model: Any
    normalization: Any
    options: FileOptions
    client: Any
    state: RunState

    def open(self, path):
        """The `Image` of a file, left where it is stored, with the channels that are chosen."""
        return opened(open_chosen(path, self.options, image_axes(self.options, self.model.config.axes)), self.options)

    def image(self, path, targets):
        """The `ImageRun` of a file."""
        return ImageRun(self.model, self.open(path), targets, self.state.made_by, self.options)

    @property
    def segments(self):
        """Whether the first of the results are labels."""
        return self.model.segments

    def predict(self, number, images):
        """Predict a group of images with the tiles that fit, halved whenever memory runs out."""
        if isinstance(self.options.tiling, Patches):
            with discarding(images):
                for image in images:
                    self._predict_in_patches(image)
            return
        begin, run = partial(self._begin, number, images), partial(self._run, number, images)
        with discarding(images):
            run_until_it_fits(self.model, begin, run, sum(len(image.frames) for image in images))
        for image in images:
            image.finish()
        self.state.forget(number)

    def _predict_in_patches(self, image):
        """Write the averages of overlapping patches slab by slab, as they are finished.

        Beside a batch of patches only the slab is in memory that patches still reach. An image that was begun by a run
        that was stopped begins anew.
        """
        self._read_ranges(image)
        classes, patches = self.model.keras_model.output_shape[-1], self.options.tiling
        memory = self.model.memory.left(self.options.max_memory, RESERVE)
        for source in image.sources:
            needed = averaging_bytes(source.shape, patches.size, classes)
            if memory is not None and needed > memory:
                raise InputError(
                    f"{image.path}: overlapping patches hold {needed / 1e9:.2f} GB, expected at most "
                    f"{memory / 1e9:.2f} GB; smaller patches along the first axis, or tiling 'exact', take less"
                )
        image.create_files(None, self.state.digest)
        with progress_bar(unit="batch") as bar:
            for index, source in enumerate(image.sources):
                target = image.frame_target(index)
                for slices, values in patch_averages(self.model, source, self.options, follow(bar)):
                    target.write(slices, values)
        image.finish()

    def _read_ranges(self, image):
        array = image.image.array
        workers = self._workers() if prod(array.shape) * np.dtype(array.dtype).itemsize > SENT_BYTES else None
        with progress_bar(unit="piece") as bar:
            image.read_ranges(self.normalization, follow(bar), workers)

    def _workers(self):
        """The `Cluster` of the workers, ``None`` without."""
        return None if self.client is None else Cluster(self.client, self.state.folder)

    def _begin(self, number, images, tiles, together):
        """The plan of a group, with files to write to: those of a run that was stopped, or new ones."""
        if tiles is not None or not together:
            # Memory ran out with another plan.
            self.state.forget(number)
        begun = self.state.plan(number)
        plan = begun or self._plan(images, tiles, together)
        for image in images:
            if not image.sources:
                self._read_ranges(image)
        # No generator: all of them are to be opened.
        if begun and all([image.reopen_files(plan, self.state.digest) for image in images]):  # noqa: C419
            logger.info("%s: going on with what an earlier run has finished", images[0].path)
            return plan
        self.state.forget(number)
        plan = self._plan(images, tiles, together) if begun else plan
        for image in images:
            image.create_files(plan, self.state.digest)
        if not _at_once(plan, images):
            self.state.enter_plan(number, plan)
            logger.info("%s: %s", images[0].path, plan.line(on_disk=True))
        return plan

    def _plan(self, images, tiles, together):
        options, first = self.options, images[0]
        if tiles is None:
            tiles = given_tiles(self.model, first.tiled(options), *first.tile_axes, first.padded)
        group = options.context == "group"
        sizes = [image.padded for image in images for _ in image.frames] if group else [first.padded]
        return plan_images(self.model, options, sizes, self._budget(images), tiles, together)

    def _budget(self, images):
        free = shutil.disk_usage(existing_folder(images[0].targets[0].parent)).free
        outputs = sum(image.bytes_to_write() for image in images)
        worker = None if self.client is None else worker_memory(self.client)
        memory = self.model.memory.left(self.options.max_memory, RESERVE, worker)
        workers = 1 if self.client is None else len(self.client.nthreads())
        # Half of it: others write, too.
        return Budget(memory, max(0, free - outputs) / 2, workers, sum(len(image.frames) for image in images))

    def _run(self, number, images, plan):
        frames = [image.job_frame(i, plan) for image in images for i in range(len(image.sources))]
        at_once, stages = _at_once(plan, images), self.model.stages(plan, self.options.precision)
        # Without a shared context the frames do not wait for each other.
        together = self.options.context == "group" or not plan.shared
        for index, job in enumerate([frames] if together else [[frame] for frame in frames]):
            features, journal = self.state.features(number, index, plan), self.state.journal(number, index)
            if at_once:
                features, journal = Features(), Journal()
            with progress_bar(unit="tile", quiet=at_once) as bar:
                work = Job(stages, self.model.spec, job, features, plan.batch)
                run_job(work, self._workers(), journal, follow(bar))


def _at_once(plan, images):
    """Whether there is one piece only, and nothing to go on with if it is interrupted."""
    return prod(plan.n_tiles) == 1 and not plan.shared and sum(len(image.frames) for image in images) == 1
