"""One image file being predicted: where its pieces come from and go to."""

import logging
from contextlib import contextmanager
from math import ceil, prod

import numpy as np

from aeanet_tf.errors import InputError, UnfinishedError
from aeanet_tf.io.frame import frame_image
from aeanet_tf.io.image import NIFTI_SUFFIXES, check_fits, image_suffix, with_axes
from aeanet_tf.io.labels import label_dtype
from aeanet_tf.io.write import ImageTarget
from aeanet_tf.models.normalizers import fit_normalizer
from aeanet_tf.models.scale_calibration import scale_factor
from aeanet_tf.prediction.job import Frame, cut_evenly
from aeanet_tf.prediction.options import FileOptions
from aeanet_tf.runs.frames import (
    FrameSource,
    FrameTarget,
    LabelTarget,
    frames_of,
    output_layout,
    padded_size,
)

logger = logging.getLogger("aeanet_tf")

# The longest side of a chunk of an output, about what CSBDeep's users crop and viewers load at once.
CHUNK = {2: 512, 3: 128}


class ImageRun:
    """An image file, its frames as the network sees them, and the files of its prediction.

    Args:
        model: an `AEANet`.
        image: an `Image` that is left where it is stored.
        targets: path of the prediction, and of what is wanted beside it; see `aeanet_tf.runs.outputs.place_outputs`.
        made_by: the `MadeBy` that the files are to name; ``None`` for none.
        options: `FileOptions`: of them those that say how frames are normalised and what is written.

    Raises:
        InputError: an image that does not fit the model.
    """

    def __init__(self, model, image, targets, made_by=None, options=None):
        config, self.options = model.config, options or FileOptions()
        image = with_axes(image, config.axes)
        self.model, self.image, self.path, self.targets, self.made_by = model, image, image.path, targets, made_by
        self.by_channel = self.options.keeps_channels and "C" in self.image.axes
        one = frame_image(self.image, {"C": 0}) if self.by_channel else self.image
        check_fits(one, config.axes, config.n_channel_in, frames=True)
        self.frames = frames_of(self.image, config.axes, self.by_channel)
        by_axis = dict(zip(self.image.axes, self.image.array.shape, strict=True))
        self.size = tuple(by_axis[a] for a in config.axes if a != "C")
        self.padded = padded_size(self.size, model.spec.divisor)
        self.segments, self.upscale = model.segments, model.spec.upscale
        self.sources, self.files = [], []

    def read_ranges(self, normalization, *reading):
        """Fit the normalisation of each frame, reading the image once or twice, piece by piece.

        Args:
            normalization: a `NormalizationSection`.
            reading: the progress and the workers of `fit_normalizer`.
        """
        axes, divisor = self.model.config.axes, self.model.spec.divisor
        for frame, normalizer in zip(self.frames, self.normalizers(normalization, *reading), strict=True):
            self.sources.append(FrameSource(self.image, axes, divisor, normalizer, frame, upscale=self.upscale))

    def normalizers(self, normalization, *reading):
        """The normalisers of all frames; see `read_ranges`."""
        return self.own_normalizers(normalization, *reading)

    def own_normalizers(self, normalization, progress, workers=None):
        """The normalisers of all frames, fitted to this image; those that are normalised together have the same one."""
        axes, over, fitted = self.model.config.axes, self.options.normalize_over, {}
        for frame in self.frames:
            alone = _without(frame, over)
            if alone not in fitted:
                image = frame_image(self.image, dict(alone))
                fitted[alone] = fit_normalizer(normalization, image, axes, progress, "C" in over, workers)
        return [fitted[_without(frame, over)] for frame in self.frames]

    def reopen_files(self, plan, tag):
        """Whether the partial files that an earlier run made are there, all of them; see `create_files`."""
        files = [self._target(index, plan, tag, reopen=True) for index in range(len(self.targets))]
        self.files = [file for file in files if file is not None]
        return len(self.files) == len(self.targets)

    def create_files(self, plan, tag):
        """Make the partial files of the prediction.

        Args:
            plan: a `Plan`; a zarr's chunks are parts of its tiles, so that no two tiles write one chunk. ``None`` for
                pieces that are written one after the other.
            tag: of the run.

        Raises:
            WriteError: they cannot be written.
        """
        self.files = []
        for index in range(len(self.targets)):
            self.files.append(self._target(index, plan, tag))

    def _target(self, index, plan, tag, reopen=False):
        """The file of the prediction, or the second one beside it."""
        path, (shape, axes, dtype) = self.targets[index], self._layout(index)
        make = ImageTarget.reopen if reopen else ImageTarget.create
        options = {"tag": tag, "dtype": dtype, "made_by": self.made_by and self.made_by.line()}
        if image_suffix(path) in NIFTI_SUFFIXES:
            return make(path, shape, axes, like=self.path, like_factor=self.options.zoom, **options)
        options["channel_names"] = self.image.channel_names
        pixel_size, unit = self._calibration(axes)
        chunks = None if plan is None else self._chunk_shape(axes, shape, plan)
        return make(path, shape, axes, pixel_size=pixel_size, unit=unit, chunks=chunks, **options)

    @property
    def tile_axes(self):
        """Axes and shape of the image that numbers of tiles are given for."""
        return self.image.axes, self.image.array.shape

    def tiled(self, options):
        """The options whose numbers of tiles are those of the image as the network sees it."""
        return options

    def layout(self):
        """Shape and axes of the prediction, with all its channels."""
        config = self.model.config
        channels = config.n_channel_out
        axes = config.axes, self.model.axes_out
        return output_layout(self.image, *axes, channels, self.by_channel, self.upscale)

    def _layout(self, index):
        """Shape, axes and dtype of the prediction's file, or the second one beside it."""
        shape, axes = self.layout()
        if self.segments and index == 0:
            kept = [(n, a) for n, a in zip(shape, axes, strict=True) if a != "C"]
            return tuple(n for n, _ in kept), axes.replace("C", ""), label_dtype(self.model.config.labels)
        return shape, axes, np.dtype(self.options.dtype if index == 0 else "float32")

    def bytes_to_write(self):
        """Of the files of the prediction, before they are compressed."""
        layouts = [self._layout(index) for index in range(len(self.targets))]
        return sum(prod(shape) * dtype.itemsize for shape, _, dtype in layouts)

    def _calibration(self, axes):
        larger = dict.fromkeys(self.model.config.axes, self.upscale)
        sizes = {a: s / larger.get(a, 1) for a, s in self.image.pixel_size.items() if a in axes}
        return sizes, self.image.unit if set(sizes) & set("ZYX") else None

    def _chunk_shape(self, axes, shape, plan):
        spatial = self.model.config.axes.replace("C", "")
        chunk = dict.fromkeys("TZC" if self.by_channel else "TZ", 1) | {
            a: self.upscale * length for a, (_, length) in zip(spatial, self._lengths(plan), strict=True)
        }
        return [chunk.get(a, n) for a, n in zip(axes, shape, strict=True)]

    def frame_target(self, index):
        """What takes the network's output for one frame."""
        source, out, config = self.sources[index], self.model.axes_out, self.model.config
        if self.segments:
            return LabelTarget(source, out, *self.files, values=config.labels)
        return FrameTarget(
            source,
            out,
            self.files[0],
            self.files[1] if self.options.scale else None,
            config.probabilistic,
            scale_factor(self.model, self.options),
            self.options.interval,
            *(self.files[-2:] if self.options.interval else ()),
        )

    def job_frame(self, index, plan):
        """The `Frame` of one frame for a job."""
        source = self.sources[index]
        step, spatial = self.model.spec.divisor, source.shape[:-1]
        output = [
            [before + start for start in (*range(0, size, length), size)]
            for size, (before, _), (length, _) in zip(source.size, source.pad, self._lengths(plan), strict=True)
        ]
        return Frame(source, self.frame_target(index), cut_evenly(spatial, plan.tiles_for(spatial, step), step), output)

    def finish(self):
        """Give the files their names."""
        for file in self.files:
            file.finish()
        self._say_clipped()

    def _say_clipped(self):
        """Say how many pixels of the prediction did not fit into its type, where one was chosen."""
        file = self.files[0] if self.files else None
        if file is None or self.segments or file.dtype.kind == "f":
            return
        (below, above), limits, count = file.clipped, np.iinfo(file.dtype), prod(file.shape)
        told = "no pixel was clipped"
        if below + above:
            where = f"{below} below {limits.min}, {above} above {limits.max}"
            told = f"{below + above} of {count} pixels were clipped: {where}"
        logger.info("%s: rounded to %s, %s", file.path, file.dtype, told)

    def discard(self):
        """Remove the partial files."""
        for file in self.files:
            file.discard()

    def _lengths(self, plan):
        """Length of the output's tiles along each spatial axis, and of the chunks that they are made of, in pixels of
        the image."""
        lengths = []
        counts = plan.tiles_for(self.padded, self.model.spec.divisor)
        for size, count in zip(self.size, counts, strict=True):
            share = ceil(size / count)
            parts = min(share, ceil(self.upscale * share / CHUNK[len(self.size)]))
            chunk = ceil(share / parts)
            lengths.append((chunk * parts, chunk))
        return lengths


def _without(frame, axes):
    """The indices of a frame along other axes than these, as a key."""
    return tuple((axis, index) for axis, index in (frame or {}).items() if axis not in axes)


@contextmanager
def discarding(images):
    """Bad input leaves nothing of the images behind; a full disk leaves what is done."""
    try:
        yield
    except UnfinishedError:
        raise
    except (InputError, MemoryError):
        for image in images:
            image.discard()
        raise
