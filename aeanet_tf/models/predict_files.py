"""Prediction of image files, piece by piece: read, restore, write with axes and pixel size kept."""

import json
import logging
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from aeanet_tf.data.images import ZARR_SUFFIX, find_images, image_stem
from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.models.image_run import ImageRun
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.run_state import RunState, file_facts, network_digest
from aeanet_tf.models.tiled_prediction import follow, halved
from aeanet_tf.models.tiling import (
    RESERVE,
    check_tiling,
    memory_budget,
    on_accelerator,
    remembering_pool,
    tiles_by_axis,
)
from aeanet_tf.prediction import run_job
from aeanet_tf.prediction.cluster import Cluster
from aeanet_tf.prediction.features import Features
from aeanet_tf.prediction.job import Job
from aeanet_tf.prediction.journal import Journal
from aeanet_tf.prediction.plan import Budget, make_plan

logger = logging.getLogger("aeanet_tf")


@dataclass(frozen=True)
class PredictOptions:
    """How files are predicted.

    Attributes:
        axes: of the files; by default those that they name.
        n_tiles: number of tiles along each axis of the images; ``None`` for as many as the memory asks for.
        tiling, context: see `AEANet.predict`; the images of the call are a group.
        max_memory: what a process may hold in all; see `AEANet.predict`.
        scale: also write the scale of a probabilistic model, as ``<name>_scale``.
        file_format: ``"tif"`` or ``"zarr"``; ``None`` writes a zarr for a zarr and a tif for everything else.
    """

    axes: str | None = None
    n_tiles: tuple[int, ...] | None = None
    tiling: str = "exact"
    context: str = "image"
    max_memory: Any = None
    scale: bool = False
    file_format: str | None = None


def predict_files(model, inputs, output, normalization, options=None, client=None, **kwargs):
    """Restore every image of a folder or pattern; ImageJ-compatible float32 tifs or OME-Zarr of the same names.

    No image is in memory whole: pieces are read, restored and written. What is written has a hidden name until it is
    complete. A run that was stopped goes on with the first tile that is not finished when it is started again.

    Args:
        model: an `AEANet`.
        inputs: file, folder or pattern, or several.
        output: folder, made where it is missing.
        normalization: a `NormalizationSection`.
        options: `PredictOptions`; its fields can also be given as keywords.
        client: a ``distributed.Client`` whose workers evaluate the tiles; ``None`` for this process.

    Returns:
        The paths written, in the order of the inputs.

    Raises:
        InputError: an image that cannot be read or does not fit the model, options that do not fit it, a disk that is
            full. Images before it are written.
    """
    options = PredictOptions(**kwargs) if options is None else options
    check_tiling(options.tiling, options.context)
    if options.scale and not model.config.probabilistic:
        raise InputError("--scale: the model is not probabilistic, it predicts no scale")
    # CSBDeep's warning where the result stays normalised.
    model._check_normalizer_resizer(make_normalizer(normalization), None)
    output, paths = Path(output), find_images(inputs)
    targets = [_targets(output, path, options) for path in paths]
    _check_targets(paths, targets)
    facts = [network_digest(model), json.loads(normalization.model_dump_json()), asdict(options)]
    run = _Run(model, normalization, options, client, RunState(output, [*facts, *map(file_facts, paths)]))
    together = options.context == "group"
    pairs = list(zip(paths, targets, strict=True))
    groups = [pairs] if together else [[pair] for pair in pairs]
    try:
        _predict_groups(run, groups)
    except WriteError:
        # What is done stays, for when there is space.
        raise
    except (InputError, MemoryError):
        run.state.remove()
        raise
    run.state.remove()
    written = [target for files in targets for target in files]
    logger.info("%d images written to %s", len(written), output)
    return written


def _predict_groups(run, groups):
    finished = run.state.finished()
    for number, group in enumerate(tqdm(groups, disable=True if len(groups) == 1 else None, unit="image")):
        names = [str(target) for _, targets in group for target in targets]
        if finished.issuperset(names):
            logger.info("%s: finished before the run was stopped", names[0])
            continue
        run.predict(number, [ImageRun(run.model, path, targets, run.options.axes) for path, targets in group])
        if len(groups) > 1:
            run.state.enter_finished(names)


def _targets(output, path, options):
    """Where the prediction of a file goes, and its scale where that is wanted."""
    kind = options.file_format or ("zarr" if path.suffix.lower() == ZARR_SUFFIX else "tif")
    names = [image_stem(path)] + [f"{image_stem(path)}_scale"] * options.scale
    return [output / f"{name}.{kind}" for name in names]


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
    """What all images of a call share."""

    model: Any
    normalization: Any
    options: PredictOptions
    client: Any
    state: RunState

    def predict(self, number, images):
        """Predict a group of images with the tiles that fit, halved whenever memory runs out."""
        given = None
        while True:
            with self._cleaning(images):
                for image in images:
                    if not image.sources:
                        with _bar("piece") as bar:
                            image.read_ranges(self.normalization, follow(bar))
                plan = self.state.plan(number) or self._plan(images, given)
                try:
                    with remembering_pool():
                        self._predict(number, images, plan)
                    break
                except (tf.errors.ResourceExhaustedError, MemoryError):
                    given = halved(self.model, plan.n_tiles, plan.size)
                    logger.warning("out of memory, going on with %s tiles", " x ".join(map(str, given)))
                    self.state.forget(number)
        for image in images:
            image.finish()
        self.state.forget(number)

    @contextmanager
    def _cleaning(self, images):
        """Bad input leaves nothing behind; a full disk leaves what is done."""
        try:
            yield
        except WriteError:
            raise
        except (InputError, MemoryError):
            for image in images:
                image.discard()
            raise

    def _plan(self, images, given):
        options, spec = self.options, self.model.spec
        first = images[0]
        if options.tiling == "whole":
            given = [1] * spec.dimension
        elif given is None and options.n_tiles is not None:
            given = tiles_by_axis(
                self.model, first.image.axes, options.n_tiles, first.image.array.shape, first.sizes[0]
            )
        together = options.context == "group"
        sizes = [size for image in images for size in image.sizes] if together else first.sizes[:1]
        exact = options.tiling == "exact"
        return make_plan(self.model.keras_model, spec, sizes, self._budget(images), given, exact, together)

    def _budget(self, images):
        free = _free_disk(images[0].targets[0].parent)
        outputs = sum(4 * prod(image.image.array.shape) * len(image.targets) for image in images)
        processes = 1 if self.client is None else len(self.client.scheduler_info()["workers"])
        if self.options.max_memory is None and on_accelerator():
            memory = None
        else:
            memory = memory_budget(self.options.max_memory, RESERVE, processes)
        # Half of it: others write, too.
        return Budget(memory, max(0, free - outputs) / 2)

    def _predict(self, number, images, plan):
        begun = self.state.plan(number) is not None
        resumed = [image.open_files(plan, resume=begun) for image in images]
        frames = [image.job_frame(i, plan) for image in images for i in range(len(image.sources))]
        at_once = prod(plan.n_tiles) == 1 and not plan.shared and len(frames) == 1
        if all(resumed):
            logger.info("%s: going on with what an earlier run has finished", images[0].path)
        else:
            self.state.forget(number)
            if not at_once:
                self.state.enter_plan(number, plan)
                logger.info("%s: %s", images[0].path, plan.line(on_disk=True))
        # Without a shared context the frames do not wait for each other.
        together = self.options.context == "group" or not plan.shared
        for index, job in enumerate([frames] if together else [[frame] for frame in frames]):
            features, journal = self.state.features(number, index), self.state.journal(number, index)
            if at_once:
                features, journal = Features(), Journal()
            workers = None if self.client is None else Cluster(self.client, self.state.folder)
            with _bar("tile", quiet=at_once) as bar:
                run_job(Job(self.model.stages(plan), self.model.spec, job, features), workers, journal, follow(bar))


def _bar(unit, quiet=False):
    return tqdm(disable=True if quiet else None, leave=False, unit=unit)


def _free_disk(folder):
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
