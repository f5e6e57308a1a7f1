"""One image file being predicted: where its pieces come from and go to."""

from math import ceil

from aeanet_tf.data.images import check_fits
from aeanet_tf.data.stored import open_image
from aeanet_tf.data.targets import ImageTarget
from aeanet_tf.models.frames import FrameSource, FrameTarget, frame_image, frames_of, output_layout
from aeanet_tf.models.normalizers import fit_normalizer
from aeanet_tf.prediction import cut_evenly
from aeanet_tf.prediction.job import Frame

# The longest side of a chunk of an output, about what CSBDeep's users crop and viewers load at once.
CHUNK = {2: 512, 3: 128}


class ImageRun:
    """An image file, its frames as the network sees them, and the files of its prediction.

    Args:
        model: an `AEANet`.
        path: of the image.
        targets: path of the prediction, and of the scale where it is wanted.
        axes: of the image; ``None`` for those that the file names.

    Raises:
        InputError: an image that cannot be read or does not fit the model.
    """

    def __init__(self, model, path, targets, axes):
        self.model, self.path, self.targets = model, path, targets
        self.image = open_image(path, axes)
        config = model.config
        check_fits(self.image, config.axes, config.n_channel_in, frames=True)
        self.frames = frames_of(self.image, config.axes)
        self.sources, self.files = [], []

    @property
    def sizes(self):
        """Padded spatial sizes of each frame."""
        return [source.shape[:-1] for source in self.sources]

    def read_ranges(self, normalization, progress):
        """Fit the normalisation of each frame, reading the image once or twice, piece by piece."""
        config, divisor = self.model.config, self.model.spec.divisor
        for frame in self.frames:
            normalizer = fit_normalizer(normalization, frame_image(self.image, frame), config.axes, progress)
            self.sources.append(FrameSource(self.image, config.axes, divisor, normalizer, frame))

    def open_files(self, plan, resume):
        """Make the partial files of the prediction, or find those that an earlier run made.

        Args:
            plan: a `Plan`; a zarr's chunks are parts of its tiles, so that no two tiles write one chunk.
            resume: whether to look for files to go on with.

        Returns:
            Whether they were there, all of them.
        """
        shape, axes, _ = output_layout(
            self.image, self.model.config.axes, self.model._axes_out, self.model.config.n_channel_out
        )
        sizes = {a: s for a, s in self.image.pixel_size.items() if a in axes}
        chunk = dict(zip(self.model.config.axes, self._chunks(plan), strict=False)) | {"T": 1}
        chunks = [chunk[a] if a in chunk and a != "C" else n for a, n in zip(axes, shape, strict=True)]
        facts = (shape, axes, sizes, self.image.unit if set(sizes) & set("ZYX") else None, chunks)
        found = [ImageTarget.reopen(path, *facts) for path in self.targets] if resume else [None]
        resumed = all(file is not None for file in found)
        self.files = found if resumed else [ImageTarget.create(path, *facts) for path in self.targets]
        return resumed

    def job_frame(self, index, plan):
        """The `Frame` of one frame for a job."""
        source = self.sources[index]
        step, spatial = self.model.spec.divisor, source.shape[:-1]
        target = FrameTarget(source, self.model._axes_out, *self.files, probabilistic=self.model.config.probabilistic)
        output = [
            [before + start for start in (*range(0, size, length), size)]
            for size, (before, _), (length, _) in zip(source.size, source.pad, self._lengths(plan), strict=True)
        ]
        return Frame(source, target, cut_evenly(spatial, plan.tiles_for(spatial, step), step), output)

    def finish(self):
        """Give the files their names."""
        for file in self.files:
            file.finish()

    def discard(self):
        """Remove the partial files."""
        for file in self.files:
            file.discard()

    def _lengths(self, plan):
        """Length of the output's tiles along each spatial axis, and of the chunks that they are made of."""
        source, found = self.sources[0], []
        counts = plan.tiles_for(source.shape[:-1], self.model.spec.divisor)
        for size, count in zip(source.size, counts, strict=True):
            share = ceil(size / count)
            parts = ceil(share / CHUNK[len(source.size)])
            chunk = ceil(share / parts)
            found.append((chunk * parts, chunk))
        return found

    def _chunks(self, plan):
        return [chunk for _, chunk in self._lengths(plan)]
