"""Prediction of image files by a model for each channel, one channel after the other, in bounded memory.

As of the members of an ensemble, each channel is predicted as an image of its own is, by the same sweeps, with the
same journal, in the tiles that its model asks for; what they give lies in flat files beside the results until all
channels are done, and is then written as one image, piece by piece.
"""

import numpy as np

from aeanet_tf.errors import expect
from aeanet_tf.io.frame import frame_image
from aeanet_tf.io.image import ZARR_SUFFIX, image_suffix
from aeanet_tf.io.ome_zarr import default_chunks
from aeanet_tf.io.statistics import read_pieces
from aeanet_tf.models.ensemble import folder_of
from aeanet_tf.prediction.kept import Features
from aeanet_tf.runs.ensemble_files import EnsembleImage, EnsembleRun, MemberImage


def check_channel_models(models, options):
    """Check that there is a model for each channel, and that what they give fits into one image.

    Args:
        models: list of `AEANet`.
        options: `FileOptions`.

    Raises:
        InputError: another number of models; one takes or gives several channels, or labels, or has other axes.
    """
    expect(len(models) == len(options.channel), "--channel", f"{len(models)} models", "one for each channel")
    first = models[0]
    for model in models:
        config, name = model.config, folder_of(model)
        one = (config.n_channel_in, config.n_channel_out) == (1, 1) and not model.segments
        expect(one, name, "several channels or labels", "a model that restores one channel")
        axes, expected = ((one.config.axes, one.axes_out) for one in (model, first))
        fits = list(map(sorted, axes)) == list(map(sorted, expected))
        expect(fits, name, f"axes {axes[0]} to {axes[1]}", f"{expected[0]} to {expected[1]} as in {folder_of(first)}")


class ChannelsRun(EnsembleRun):
    """Predicts the images of a call, each channel by its model, as the run of a single model does.

    Args:
        runs: for each channel what predicts by its model; see `EnsembleRun`.
        turns: a list of the one `Orientation` that leaves images as they are.
        options: `FileOptions`.
    """

    def __init__(self, runs, turns, options):
        self.state = runs[0].state
        (self.turn,) = turns
        self.members = [(run, self.turn) for run in runs]
        self.parts = 1 + options.scale

    def image(self, path, targets):
        """The `ChannelsImage` of a file."""
        first, _ = self.members[0]
        return ChannelsImage(first.model, first.open(path), targets, self.state.made_by, first.options)

    def store(self, folder, name, image):
        """Where the channels of an image are kept."""
        return StoredChannels(folder, name, image.channel_layout()[0], self.parts)

    def member_image(self, run, image, store, turn, index):
        """An image as the model of one channel predicts it."""
        return ChannelImage(run.model, image, store, turn, index)


class StoredChannels:
    """What the models of the channels give for one image, in flat files. Can be pickled.

    Args:
        folder: of the files.
        name: of the image among those of the folder.
        shape: of the prediction of a channel.
        parts: 1, or 2 with the scale.
    """

    def __init__(self, folder, name, shape, parts):
        self.files, self.name, self.shape, self.parts = Features(folder), name, tuple(shape), parts

    def create(self, channel):
        """Make the files of a channel where they are not there.

        Raises:
            WriteError: the disk is full.
        """
        for part in range(self.parts):
            self.files.create(self._name(channel, part), self.shape)

    def has(self, channel):
        """Whether the files of a channel, and of those before, are there."""
        names = [self._name(before, part) for before in range(channel + 1) for part in range(self.parts)]
        return all(map(self.files.has, names))

    def add(self, channel, slices, mean, scale):
        """Write what the model of a channel gives for a piece.

        Raises:
            WriteError: the disk is full.
        """
        for part, values in enumerate((mean, scale)[: self.parts]):
            self.files.write(self._name(channel, part), self.shape, slices, values)

    def read(self, channel, part, slices):
        """A piece of a channel: of the mean, or with ``part`` 1 of the scale."""
        return self.files.read(self._name(channel, part), self.shape, slices)

    def _name(self, channel, part):
        return f"{self.name}-channel{channel}-{part}"


class ChannelsImage(EnsembleImage):
    """An image file whose channels are predicted by models of their own, and the files of its results."""

    def of_channel(self, channel):
        """The `Image` of one of the chosen channels."""
        return frame_image(self.image, {"C": channel}) if self.by_channel else self.image

    def channel_layout(self):
        """Shape and axes of the prediction of one channel."""
        shape, axes = self.layout()
        kept = [(n, a) for n, a in zip(shape, axes, strict=True) if a != "C"]
        return tuple(n for n, _ in kept), axes.replace("C", "")

    def write_results(self, store):
        """Write what `StoredChannels` hold as one image, piece by piece.

        Raises:
            WriteError: the disk is full.
        """
        shape, axes = self.layout()
        chunks = default_chunks(shape, axes) if image_suffix(self.targets[0]) == ZARR_SUFFIX else (1,) * len(shape)
        chunks = [1 if a == "C" else chunk for a, chunk in zip(axes, chunks, strict=True)]
        for slices in read_pieces(shape, chunks, 4 * store.parts):
            without = tuple(part for part, a in zip(slices, axes, strict=True) if a != "C")
            channels = range(shape[axes.index("C")])[slices[axes.index("C")]] if self.by_channel else [0]
            for part, file in enumerate(self.files):
                values = [store.read(channel, part, without) for channel in channels]
                file.write(slices, np.stack(values, axes.index("C")) if self.by_channel else values[0])


class ChannelImage(MemberImage):
    """One channel of a `ChannelsImage` as its model predicts it.

    Args:
        model: of the channel.
        whole: the `ChannelsImage`.
        store: the `StoredChannels` of the image.
        turn: the `Orientation` that leaves images as they are.
        channel: its index among those chosen.
    """

    def __init__(self, model, whole, store, turn, channel):
        super().__init__(model, whole, store, turn, channel, whole.of_channel(channel))

    @property
    def tile_axes(self):
        """Those of the whole image, with C."""
        return self.whole.tile_axes

    def normalizers(self, normalization, *reading):
        """Those of the channel's frames."""
        return self.own_normalizers(normalization, *reading)

    def bytes_to_write(self):
        """Of all channels, and of the results."""
        shape = self.store.shape
        channels = self.whole.image.array.shape[self.whole.image.axes.index("C")] if self.whole.by_channel else 1
        return 4 * self.store.parts * channels * int(np.prod(shape)) + self.whole.bytes_to_write()
