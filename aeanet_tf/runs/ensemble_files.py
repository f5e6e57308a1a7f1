"""Prediction of image files by the members of an ensemble, one after the other, in bounded memory.

Every member, a model and an orientation, is predicted as an image of its own is: the file is read through a view that
is turned, in the tiles that the memory allows, by the same sweeps, with the same journal. What it gives is turned back
and added to running sums in flat files beside the results, piece by piece.

There are two sets of these files. A member reads the sums of the members before it from one set and writes those with
itself to the other, each position once, so to write a tile again gives the same numbers. A run that was killed goes on
with the tiles that are not in the journal, whatever part of them had reached the disk; in one set, added in place, some
pieces would count twice. A set has one number a pixel for the mean, one more for the scale, and one or two for the
disagreement, however many members there are; a file for each member would take disk space in proportion to them.
Where intervals or the divergence of probabilistic models are wanted, that is what it takes: sums for each model.
After the last member the results are written from the sums, piece by piece.
"""

import logging
import shutil
from dataclasses import replace
from functools import partial

import numpy as np

from aeanet_tf.files import write_text
from aeanet_tf.io.image import ZARR_SUFFIX, image_suffix
from aeanet_tf.io.labels import to_labels
from aeanet_tf.io.ome_zarr import default_chunks
from aeanet_tf.io.statistics import read_pieces
from aeanet_tf.models.scale_calibration import scale_factor
from aeanet_tf.prediction.ensemble_statistics import EnsembleStatistics, Results
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.mixtures import LaplaceMixture
from aeanet_tf.prediction.orientations import FlippedArray
from aeanet_tf.progress import progress_bar
from aeanet_tf.runs.frames import MemberTarget
from aeanet_tf.runs.image_file import ImageRun, discarding

logger = logging.getLogger("aeanet_tf")


class EnsembleRun:
    """Predicts the images of a call by all members, as the run of a single model does.

    Args:
        runs: for each model what predicts by it alone: ``run.predict(key, images)`` with `MemberImage`s, ``run.model``,
            ``run.state``, ``run.options`` and ``run.open(path)``.
        turns: list of `Orientation`.
        options: `FileOptions`: of them those that say what is wanted beside the mean.
    """

    def __init__(self, runs, turns, options):
        self.state, self.options, self.models = runs[0].state, options, len(runs)
        self.members = [(run, turn) for run in runs for turn in turns]
        self.statistics = EnsembleStatistics(len(runs), len(turns), options.scale, len(runs) > 1)

    @property
    def segments(self):
        """Whether the first of the results are labels."""
        return self.members[0][0].segments

    def image(self, path, targets):
        """The `EnsembleImage` of a file."""
        first, _ = self.members[0]
        return EnsembleImage(first.model, first.open(path), targets, self.state.made_by, first.options)

    def store(self, folder, name, image):
        """Where the sums of an image are kept."""
        shape = image.layout()[0]
        if self.options.interval is not None or self.options.divergence:
            return StoredMixture(folder, name, shape, self.models, self.statistics.turns, self.options)
        return StoredStatistics(folder, name, shape, self.statistics)

    def member_image(self, run, image, store, turn, index):
        """An image as a member predicts it."""
        return MemberImage(run.model, image, store, turn, index)

    def predict(self, number, images):
        """Predict a group of images, going on after the last member that an earlier run has finished."""
        folder = self.state.folder / f"members{number}"
        stores = [self.store(folder, f"image{i}", image) for i, image in enumerate(images)]
        with discarding(images):
            done = _finished(folder, stores)
            if done:
                logger.info("%s: %d of %d members are finished", images[0].path, done, len(self.members))
            for image in images:
                if not image.reopen_files(None, self.state.digest):
                    image.create_files(None, self.state.digest)
            left = range(done, len(self.members))
            for index in progress_bar(left, unit="member", initial=done, total=len(self.members)):
                run, turn = self.members[index]
                pairs = zip(images, stores, strict=True)
                run.predict(f"{number}-{index}", [self.member_image(run, *pair, turn, index) for pair in pairs])
                write_text(folder / "finished.txt", f"{index + 1}\n")
            for image, store in zip(images, stores, strict=True):
                image.write_results(store)
        for image in images:
            image.finish()
        shutil.rmtree(folder, ignore_errors=True)


def _finished(folder, stores):
    """The number of members that an earlier run has finished, and whose sums are there."""
    path = folder / "finished.txt"
    done = int(path.read_text(encoding="utf-8")) if path.exists() else 0
    return done if done and all(store.has(done - 1) for store in stores) else 0


class StoredStatistics:
    """The running sums of an ensemble for one image in flat files. Can be pickled.

    Args:
        folder: of the files.
        name: of the image among those of the folder.
        shape: of its prediction.
        statistics: `EnsembleStatistics`.
    """

    def __init__(self, folder, name, shape, statistics):
        self.files, self.name, self.shape, self.statistics = Features(folder), name, tuple(shape), statistics

    @property
    def numbers(self):
        """How many numbers a set of the files has for each of the prediction."""
        return len(self.statistics.fields)

    def create(self, member):
        """Make the files that a member writes to, where they are not there.

        Raises:
            WriteError: the disk is full.
        """
        for name in self._names(member):
            self.files.create(name, self.shape)

    def has(self, member):
        """Whether the files that a member writes to are there."""
        return all(self.files.has(name) for name in self._names(member))

    def add(self, member, slices, mean, scale):
        """Add what a member predicts for a piece to the sums of those before it; see `EnsembleStatistics.update`.

        Raises:
            WriteError: the disk is full.
        """
        before = self._read(member - 1, slices) if member else None
        values = self.statistics.update(before, member, mean, scale)
        for name, field in zip(self._names(member), self.statistics.fields, strict=True):
            self.files.write(name, self.shape, slices, values[field])

    def results(self, slices):
        """`Results` of all members for a piece."""
        return self.statistics.results(self._read(self.statistics.members - 1, slices))

    def _read(self, member, slices):
        fields = zip(self._names(member), self.statistics.fields, strict=True)
        return {field: self.files.read(name, self.shape, slices) for name, field in fields}

    def _names(self, member):
        # Members take turns.
        return [f"{self.name}-{field}-{member % 2}" for field in self.statistics.fields]


class StoredMixture:
    """What the models of a probabilistic ensemble predict for one image, each by itself, in flat files. Can be pickled.

    Args:
        folder, name, shape: see `StoredStatistics`.
        models: number of models.
        turns: number of orientations of each.
        options: `FileOptions`.
    """

    def __init__(self, folder, name, shape, models, turns, options):
        self.shape, self.turns, self.options = tuple(shape), turns, options
        own = EnsembleStatistics(1, turns, scale=True)
        self.stores = [StoredStatistics(folder, f"{name}-model{i}", shape, own) for i in range(models)]

    @property
    def numbers(self):
        """As `StoredStatistics` has it."""
        return sum(store.numbers for store in self.stores)

    def create(self, member):
        """Make the files that a member writes to; see `StoredStatistics.create`."""
        model, turn = divmod(member, self.turns)
        self.stores[model].create(turn)

    def has(self, member):
        """Whether the files that a member writes to are there, and those of the models before."""
        model, turn = divmod(member, self.turns)
        return all(store.has(self.turns - 1) for store in self.stores[:model]) and self.stores[model].has(turn)

    def add(self, member, slices, mean, scale):
        """Add what a member predicts for a piece to the sums of its model; see `StoredStatistics.add`."""
        model, turn = divmod(member, self.turns)
        self.stores[model].add(turn, slices, mean, scale)

    def results(self, slices):
        """`Results` of all members for a piece."""
        parts, options = [store.results(slices) for store in self.stores], self.options
        mixture = LaplaceMixture([part.mean for part in parts], [part.scale for part in parts])
        return Results(
            mixture.mean(),
            mixture.scale() if options.scale else None,
            mixture.means.std(0) if len(parts) > 1 else None,
            mixture.disagreement() if options.divergence else None,
            *([] if options.interval is None else mixture.interval(options.interval)),
        )


class EnsembleImage(ImageRun):
    """An image file that an ensemble predicts, and the files of its results; see `ImageRun`."""

    def __init__(self, model, image, targets, made_by=None, options=None):
        super().__init__(model, image, targets, made_by, options)
        self._normalizers = {}

    def normalizers(self, normalization, *reading):
        """Those of all frames, which do not depend on the orientation: the image is read once for all members."""
        key = normalization.model_dump_json()
        if key not in self._normalizers:
            self._normalizers[key] = super().normalizers(normalization, *reading)
        return self._normalizers[key]

    def write_results(self, store):
        """Write what a `StoredStatistics` has summed up, piece by piece.

        Raises:
            WriteError: the disk is full.
        """
        shape, axes = self.layout()
        chunks = default_chunks(shape, axes) if image_suffix(self.targets[0]) == ZARR_SUFFIX else (1,) * len(shape)
        # All classes together, for the likeliest.
        chunks = [n if a == "C" else chunk for n, a, chunk in zip(shape, axes, chunks, strict=True)]
        for slices in read_pieces(shape, chunks, 16 * store.numbers):
            results = store.results(slices)
            values = results.wanted
            if self.segments:
                self._write_labels(slices, axes, results.mean)
                # The mean is written where there is a file for it between the labels and the disagreement.
                values = values[len(values) - len(self.files) + 1 :]
            files = self.files[1:] if self.segments else self.files
            for file, part in zip(files, values, strict=True):
                file.write(slices, part)

    def _write_labels(self, slices, axes, probabilities):
        labels = to_labels(np.argmax(probabilities, axes.index("C")), self.model.config.labels)
        self.files[0].write(tuple(part for part, a in zip(slices, axes, strict=True) if a != "C"), labels)


class MemberImage(ImageRun):
    """An image file as one member of an ensemble predicts it: turned, and written to the sums.

    Args:
        model: the member's.
        whole: the `EnsembleImage`.
        store: the `StoredStatistics` or the `StoredMixture` of the image.
        turn: the member's `Orientation`.
        member: its index.
        image: the `Image` that it sees before it is turned; that of ``whole`` by default.
    """

    def __init__(self, model, whole, store, turn, member, image=None):
        image = whole.image if image is None else image
        axes = turn.axes(image.axes)
        array = FlippedArray(image.array, turn.dimensions(axes)) if turn.flipped else image.array
        turned = replace(image, array=array, axes=axes, pixel_size={})
        super().__init__(model, turned, whole.targets, options=whole.options)
        self.whole, self.store, self.turn, self.member = whole, store, turn, member

    def normalizers(self, normalization, *reading):
        """Those of the whole image."""
        return self.whole.normalizers(normalization, *reading)

    def reopen_files(self, plan, tag):
        """Whether the sums that an earlier run of this member wrote to are there."""
        return self.store.has(self.member)

    def create_files(self, plan, tag):
        """Make the files of the sums."""
        self.store.create(self.member)

    def frame_target(self, index):
        """What takes the network's output for one frame."""
        add, probabilistic = partial(self.store.add, self.member), self.model.config.probabilistic
        factor, source = scale_factor(self.model, self.options), self.sources[index]
        return MemberTarget(source, self.model.axes_out, self.turn, add, probabilistic, self.segments, factor)

    def bytes_to_write(self):
        """Of both sets of sums, and of the results."""
        numbers = 2 * self.store.numbers * int(np.prod(self.store.shape))
        return 4 * numbers + self.whole.bytes_to_write()
