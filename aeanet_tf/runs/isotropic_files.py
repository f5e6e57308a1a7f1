"""Isotropic restoration of image files, in bounded memory: a network of images restores planes that have Z in them.

As the members of an ensemble do, each of the two views of a volume goes through the same sweeps, with the same journal,
as an image of its own: the file is read through an array that is turned, and interpolated along Z. What the views give
lies in flat files beside the results, normalised, until both are done; from them the result is written, piece by piece.
"""

import logging
import shutil
from dataclasses import replace

import numpy as np

from aeanet_tf.files import write_text
from aeanet_tf.io.frame import frame_image, frames_along
from aeanet_tf.io.image import ZARR_SUFFIX, image_suffix
from aeanet_tf.io.ome_zarr import default_chunks
from aeanet_tf.io.slab import SlabArray
from aeanet_tf.io.statistics import read_pieces
from aeanet_tf.io.zoomed import zoomed_image
from aeanet_tf.models.given_images import check_predicted
from aeanet_tf.models.isotropic_views import VIEWS, combined
from aeanet_tf.models.normalizers import fit_normalizer
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.orientations import FlippedArray, mirrored
from aeanet_tf.progress import progress_bar
from aeanet_tf.runs.frames import FrameSource, FrameTarget
from aeanet_tf.runs.image_file import ImageRun, discarding

logger = logging.getLogger("aeanet_tf")


class IsotropicRun:
    """Makes the volumes of a call isotropic, as the run of a single model predicts images.

    Args:
        run: what predicts images by the model: ``run.predict(key, images)`` with `ViewImage`s, ``run.model``,
            ``run.state``, ``run.options`` and ``run.open(path)``.
    """

    segments = False

    def __init__(self, run):
        self.run, self.state = run, run.state

    def image(self, path, targets):
        """The `IsotropicImage` of a file."""
        return IsotropicImage(self.run.model, self.run.open(path), targets, self.state.made_by, self.run.options)

    def predict(self, number, images):
        """Restore a group of volumes, going on after the last view that an earlier run has finished."""
        folder = self.state.folder / f"views{number}"
        stores = [StoredViews(folder, f"image{i}", image) for i, image in enumerate(images)]
        with discarding(images):
            done = _finished(folder, stores)
            for image in images:
                if not image.reopen_files(None, self.state.digest):
                    image.create_files(None, self.state.digest)
            left = range(done, len(VIEWS))
            for index in progress_bar(left, unit="view", initial=done, total=len(VIEWS)):
                pairs = zip(images, stores, strict=True)
                self.run.predict(f"{number}-{index}", [ViewImage(*pair, index) for pair in pairs])
                write_text(folder / "finished.txt", f"{index + 1}\n")
            for image, store in zip(images, stores, strict=True):
                image.write_results(store, self.run.normalization)
        for image in images:
            image.finish()
        shutil.rmtree(folder, ignore_errors=True)


def _finished(folder, stores):
    """The number of views that an earlier run has finished, and whose files are there."""
    path = folder / "finished.txt"
    done = int(path.read_text(encoding="utf-8")) if path.exists() else 0
    return done if all(store.has(view) for store in stores for view in range(done)) else 0


class StoredViews:
    """What the views of a volume give, normalised, in flat files. Can be pickled.

    Args:
        folder: of the files.
        name: of the volume among those of the folder.
        image: its `IsotropicImage`.
    """

    def __init__(self, folder, name, image):
        self.files, self.name, self.shape = Features(folder), name, image.layout()[0]
        self.parts = ("mean", "scale") if len(image.targets) > 1 else ("mean",)

    def create(self, view):
        """Make the files that a view writes to, where they are not there.

        Raises:
            WriteError: the disk is full.
        """
        for part in self.parts:
            self.files.create(self._file(view, part), self.shape)

    def has(self, view):
        """Whether the files of a view are there."""
        return all(self.files.has(self._file(view, part)) for part in self.parts)

    def write(self, view, part, slices, values):
        """Write a piece of the ``"mean"`` or the ``"scale"`` of a view; the latter only where it is kept.

        Raises:
            WriteError: the disk is full.
        """
        if part in self.parts:
            self.files.write(self._file(view, part), self.shape, slices, values)

    def combined(self, slices):
        """Mean and scale (``None`` where it is not kept) of both views, a piece."""
        pieces = [
            [self.files.read(self._file(view, part), self.shape, slices) for part in self.parts]
            for view in range(len(VIEWS))
        ]
        return combined(*((piece[0], piece[1] if len(piece) > 1 else None) for piece in pieces))

    def _file(self, view, part):
        return f"{self.name}-view{view}-{part}"


class IsotropicImage(ImageRun):
    """A volume that is made isotropic, and the files of its results; see `ImageRun`.

    Attributes:
        coarse: the volume as it is stored; ``image`` is the one with planes between.
    """

    def __init__(self, model, image, targets, made_by=None, options=None):
        super().__init__(model, zoomed_image(image, options.isotropic), targets, made_by, options)
        self.coarse, self._normalizers = image, {}

    def normalizer_of(self, frame, normalization, progress=None, workers=None):
        """The normaliser of a frame along T, ``None`` for a single volume, fitted to what is stored; once for both
        views."""
        over = self.options.normalize_over
        alone = {axis: index for axis, index in (frame or {}).items() if axis == "T" and axis not in over}
        key = tuple(alone.items()), normalization.model_dump_json()
        if key not in self._normalizers:
            image = frame_image(self.coarse, alone)
            self._normalizers[key] = fit_normalizer(normalization, image, "ZYXC", progress, "C" in over, workers)
        return self._normalizers[key]

    def write_results(self, store, normalization):
        """Write what both views give, piece by piece, in the range of the volume.

        Raises:
            InputError: a value that is not finite.
            WriteError: the disk is full.
        """
        shape, axes = self.layout()
        chunks = default_chunks(shape, axes) if image_suffix(self.targets[0]) == ZARR_SUFFIX else (1,) * len(shape)
        times = frames_along(self.image, "T") if "T" in axes else [None]
        for frame in times:
            part = [1 if a == "T" else n for n, a in zip(shape, axes, strict=True)]
            normalizer = self.normalizer_of(frame, normalization)
            for slices in read_pieces(part, chunks, 16):
                if frame is not None:
                    at = frame["T"]
                    slices = tuple(slice(at, at + 1) if a == "T" else s for s, a in zip(slices, axes, strict=True))
                self._write(slices, axes, store.combined(slices), normalizer)

    def _write(self, slices, axes, parts, normalizer):
        mean, scale = parts
        config = self.model.config
        if normalizer.do_after and config.n_channel_in == config.n_channel_out:
            mean, scale = normalizer.after(mean, scale, axes)
        check_predicted(self.path, mean, scale)
        for file, part in zip(self.files, (mean, scale), strict=False):
            file.write(slices, part)


class ViewImage(ImageRun):
    """A volume as images of one of its views, which are restored one by one; see `ImageRun`.

    Args:
        whole: the `IsotropicImage`.
        store: the `StoredViews` of the volume.
        index: of the view.
    """

    def __init__(self, whole, store, index):
        self.whole, self.store, self.index, self.view = whole, store, index, VIEWS[index]
        options = whole.options
        axes, coarse = whole.coarse.axes, whole.coarse
        # Below the interpolation, where it is the smallest.
        slab = SlabArray(coarse.array, axes.index(self.view.along), tuple(axes.index(a) for a in "ZYX"))
        image = zoomed_image(replace(coarse, array=slab), options.isotropic)
        array = FlippedArray(image.array, (axes.index("Z"),)) if self.view.flipped else image.array
        names = str.maketrans({"Z": "X", self.view.rows: "Y", self.view.along: "Z"})
        turned = replace(image, array=array, axes=axes.translate(names), pixel_size={}, single={})
        super().__init__(whole.model, turned, whole.targets, options=options)

    def read_ranges(self, normalization, *reading):
        """Fit the normalisation of each volume, once for both views."""
        axes, divisor = self.model.config.axes, self.model.spec.divisor
        reversed_axes = "X" if self.view.flipped else ""
        for frame in self.frames:
            normalizer = self.whole.normalizer_of(frame, normalization, *reading)
            self.sources.append(FrameSource(self.image, axes, divisor, normalizer, frame, reversed_axes))

    def reopen_files(self, plan, tag):
        """Whether the files that an earlier run of this view wrote to are there."""
        return self.store.has(self.index)

    def create_files(self, plan, tag):
        """Make the files of the view."""
        self.store.create(self.index)

    def frame_target(self, index):
        """What takes the network's output for one image."""
        probabilistic = self.model.config.probabilistic
        return ViewTarget(self.sources[index], self.model.axes_out, self.store, self.index, probabilistic)

    def tiled(self, options):
        """The options with one tile along the axis that images are in a row along."""
        if options.n_tiles is None:
            return options
        at = self.image.axes.index("Z")
        return replace(options, n_tiles=[1 if i == at else n for i, n in enumerate(options.n_tiles)])

    def bytes_to_write(self):
        """Of the files of both views, and of the results."""
        numbers = len(VIEWS) * len(self.store.parts) * int(np.prod(self.store.shape))
        return 4 * numbers + self.whole.bytes_to_write()


class ViewTarget(FrameTarget):
    """Takes the network's output for pieces of an image of a view, and writes it as it is to where the volume has it.

    Args:
        source, net_out_axes, probabilistic: see `FrameTarget`.
        store: the `StoredViews` of the volume.
        view: index of the view.
    """

    def __init__(self, source, net_out_axes, store, view, probabilistic=False):
        super().__init__(source, net_out_axes, None, probabilistic=probabilistic)
        self.store, self.view = store, view

    def _write_cropped(self, places, y):
        if VIEWS[self.view].flipped:
            (places["X"],) = mirrored([places["X"]], [self._sizes["X"][0]], (0,))
            y = np.flip(y, self.net_out_axes.index("X"))
        channels = y.shape[-1] // 2 if self.probabilistic else y.shape[-1]
        for part, values in (("mean", y[..., :channels]), ("scale", y[..., channels:])):
            if values.shape[-1]:
                self.store.write(self.view, part, *self._as_stored(places, values))
