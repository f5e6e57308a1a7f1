"""Images as the network sees them, and its output as a file holds it, piece by piece and frame by frame."""

import numpy as np
from csbdeep.utils import move_image_axes

from aeanet_tf.io.frame import frame_image, frames_along
from aeanet_tf.io.image import check_finite, frame_axes
from aeanet_tf.io.labels import to_labels
from aeanet_tf.models.given_images import check_predicted
from aeanet_tf.models.normalizers import normalized
from aeanet_tf.models.predict_arrays import kept_axes, mapped_back
from aeanet_tf.prediction.mixtures import laplace_interval
from aeanet_tf.prediction.orientations import mirrored


def frames_of(image, net_axes, by_channel=False):
    """Frames of an `Image` to predict one by one: along T and Z where ``net_axes`` lack them, and along C by channel.

    Returns:
        For each frame its index by axis, such as ``{"T": 0}`` or ``{"T": 0, "Z": 2}``; ``[None]`` for an image that is
        predicted as it is.
    """
    own = frame_axes(image.axes, net_axes) + ("C" if by_channel else "")
    axes = "".join(a for a in image.axes if a in own)
    return frames_along(image, axes) if axes else [None]


def padded_size(size, divisor):
    """The spatial sizes that an image is padded to: the next multiples of what a network takes."""
    return tuple(-(-n // step) * step for n, step in zip(size, divisor, strict=True))


class FrameSource:
    """What the network is given for one image, read piece by piece.

    ``source[slices]``, with a slice of each of the network's spatial axes, is float32 ``(*spatial, channels)``: that
    piece of the image in the network's order of axes, normalised and padded by reflection as CSBDeep does with the
    whole image. Only the box of the image that shows in it is read. Can be pickled where the image's array can.

    Args:
        image: an `Image` that fits the network (`check_fits`), whose array may be lazy: ``array[slices]`` with a slice
            of each axis.
        net_axes: of the network, spatial ones and a final C, such as "ZYXC".
        divisor: the padded sizes are multiples of it, one number a spatial axis.
        normalizer: of `fit_normalizer`: it is applied to pieces.
        frame: one of `frames_of`, for a network that lacks its axes.
        mirrored: axes along which the image is shown reversed: it is padded as the image the other way round is.
        upscale: pixels of the prediction along an axis to one of the image, for those who take it (`FrameTarget`).

    Attributes:
        shape: padded sizes along the network's spatial axes, and the number of channels.
        size: true sizes along the network's spatial axes.
        pad: ``(before, after)`` along each of them.

    Raises:
        InputError: on reading, values that are not finite or that float32 cannot hold, before or after normalisation.
    """

    dtype = np.dtype("float32")

    def __init__(self, image, net_axes, divisor, normalizer, frame=None, mirrored="", upscale=1):
        self.image, self.frame, self.upscale = frame_image(image, frame), frame, upscale
        self.image_axes, self.net_axes = image.axes, net_axes
        self.normalizer = normalizer
        by_axis = dict(zip(self.image.axes, self.image.array.shape, strict=True))
        self.size = tuple(by_axis[a] for a in net_axes if a != "C")
        padded = padded_size(self.size, divisor)
        extra = [after - before for before, after in zip(self.size, padded, strict=True)]
        pad = [(n // 2, n - n // 2) for n in extra]
        self.pad = tuple(p[::-1] if a in mirrored else p for p, a in zip(pad, self._spatial, strict=True))
        self.shape = (*padded, by_axis.get("C", 1))
        self.ndim = len(self.shape)
        # NumPy's own reflection, also of images smaller than their padding.
        self._shown = [np.pad(np.arange(n), p, mode="reflect") for n, p in zip(self.size, self.pad, strict=True)]

    def __getitem__(self, slices):
        shown = [index[part] for index, part in zip(self._shown, slices, strict=True)]
        box = {a: slice(index.min(), index.max() + 1) for a, index in zip(self._spatial, shown, strict=True)}
        x = normalized(self.normalizer, self._read(box), self.net_axes, self.image.path)
        for axis, index in enumerate(shown):
            if x.shape[axis] != len(index) or (np.diff(index) < 0).any():
                x = x.take(index - index.min(), axis)
        return np.ascontiguousarray(x, "float32")

    @property
    def _spatial(self):
        return self.net_axes.replace("C", "")

    def _read(self, box):
        """A box of the image in the network's axes, in the dtype of the file."""
        axes = self.image.axes
        x = np.asarray(self.image.array[tuple(box.get(a, slice(0, self.shape[-1])) for a in axes)])
        check_finite(self.image.path, x)
        return move_image_axes(x, axes, self.net_axes, True)


def output_layout(image, net_axes, net_out_axes, n_channel_out, by_channel=False, upscale=1):
    """What the prediction of an image, all frames of it, is stored as.

    The axes are the image's in their order, without one that the network projects. C stays where the image has it;
    else it is appended for several channels and left out for one.

    Args:
        image, net_axes, net_out_axes: an `Image`, and the axes of the network's input and output.
        n_channel_out: the model's, without those for the scale of a probabilistic model.
        by_channel: whether the channels of the image are frames, which the prediction has, too.
        upscale: pixels of the output along each spatial axis of the network to one of the input.

    Returns:
        Its shape and its axes.
    """
    axes = _file_axes(image.axes, net_axes, net_out_axes, n_channel_out)
    shape = {"C": n_channel_out} | dict(zip(image.axes, image.array.shape, strict=True))
    if not by_channel:
        shape["C"] = n_channel_out
    larger = dict.fromkeys(net_axes.replace("C", ""), upscale)
    return tuple(larger.get(a, 1) * shape[a] for a in axes), axes


class FrameTarget:
    """Takes the network's output for pieces of a `FrameSource` and writes them to where the file has them.

    Padding is cropped, and values are mapped back to the range of the image where the normaliser does so and the
    model has as many output as input channels, as in CSBDeep. Can be pickled where the writers can.

    Args:
        source: the `FrameSource` that was predicted.
        net_out_axes: of the network's output, such as "YXC".
        mean: ``mean.write(slices, values)`` is given float32 ``values`` and where they belong in an array of
            `output_layout`.
        scale: the same for the scale of a probabilistic model; ``None`` drops it.
        probabilistic: whether the second half of the output channels is the scale.
        factor: what the scale is multiplied by.
        interval: the confidence of the credible interval whose limits ``lower`` and ``upper`` take.
        lower, upper: the same as ``mean`` for these; ``None`` drops them.
    """

    def __init__(
        self,
        source,
        net_out_axes,
        mean,
        scale=None,
        probabilistic=False,
        factor=1.0,
        interval=None,
        lower=None,
        upper=None,
    ):
        self.mean, self.scale, self.probabilistic, self.factor = mean, scale, probabilistic, factor
        self.interval, self.lower, self.upper = interval, lower, upper
        self.frame, self.image_axes, self.net_axes = source.frame, source.image_axes, source.net_axes
        self.path = source.image.path
        self.net_out_axes, self.normalizer, self.n_channel_in = net_out_axes, source.normalizer, source.shape[-1]
        spatial = source.net_axes.replace("C", "")
        # In pixels of the output.
        sizes = [source.upscale * n for n in source.size]
        pads = [tuple(source.upscale * n for n in pad) for pad in source.pad]
        self._sizes = dict(zip(spatial, zip(sizes, pads, strict=True), strict=True))

    def write(self, slices, y):
        """Write the output for a piece of the padded image.

        Args:
            slices: one of each spatial axis of the source, or of the output; that of a projected axis is ignored. In
                pixels of the output, where that is larger.
            y: ``(*spatial, channels)`` in the network's output axes.

        Raises:
            InputError: the output is not finite, or not when it is mapped back.
        """
        spatial, out = self.net_axes.replace("C", ""), self.net_out_axes.replace("C", "")
        region = dict(zip(spatial if len(slices) == len(spatial) else out, slices, strict=True))
        places, inner = {}, []
        for a in out:
            size, (before, after) = self._sizes[a]
            start, stop, _ = region[a].indices(before + size + after)
            first, last = max(start, before), min(stop, before + size)
            if first >= last:
                return
            places[a] = slice(first - before, last - before)
            inner.append(slice(first - start, last - start))
        y = y[tuple(inner)]
        check_predicted(self.path, y)
        self._write_cropped(places, y)

    def _write_cropped(self, places, y):
        """Write the output without its padding; ``places`` are slices of the image by axis."""
        mean, scale = self._restored(y)
        self._put(self.mean, places, mean)
        if self.scale is not None:
            self._put(self.scale, places, scale)
        if self.interval is not None:
            for writer, limit in zip(
                (self.lower, self.upper), laplace_interval(mean, scale, self.interval), strict=True
            ):
                self._put(writer, places, limit)

    def _restored(self, y):
        mean, scale = mapped_back(y, self.probabilistic, self.n_channel_in, self.normalizer, self.net_out_axes)
        if scale is not None and self.factor != 1:
            scale = scale * scale.dtype.type(self.factor)
        check_predicted(self.path, mean, scale)
        return mean, scale

    def _put(self, writer, places, values, without=""):
        writer.write(*self._as_stored(places, values, without))

    def _as_stored(self, places, values, without=""):
        """Slices of the file's array, and values in its order of axes, without an axis that it lacks."""
        channels = values.shape[-1]
        axes = _file_axes(self.image_axes, self.net_axes, self.net_out_axes, channels).replace(without, "")
        held = self.net_out_axes
        own = dict(self.frame or {})
        # The one channel of the output has its place among those of the file.
        channel = own.pop("C", None)
        for axis, index in own.items():
            places = places | {axis: slice(index, index + 1)}
            values, held = np.expand_dims(values, -2), held.replace("C", f"{axis}C")
        if "C" not in axes:
            values, held = values[..., 0], held.replace("C", "")
        places = places | {"C": slice(0, channels) if channel is None else slice(channel, channel + 1)}
        values = values.transpose([held.index(a) for a in axes]).astype("float32", copy=False)
        return tuple(places[a] for a in axes), values


class LabelTarget(FrameTarget):
    """Takes the probabilities of classes for pieces of a `FrameSource`, and writes labels to where the file has them.

    Args:
        source, net_out_axes: see `FrameTarget`.
        labels: ``labels.write(slices, values)`` is given the values of the most probable classes, float32, and where
            they belong in an array of `output_layout` without C.
        probabilities: the same for the probabilities, with all classes along C; ``None`` drops them.
        values: of the classes.
    """

    def __init__(self, source, net_out_axes, labels, probabilities=None, values=()):
        super().__init__(source, net_out_axes, labels)
        self.probabilities, self.values = probabilities, list(values)

    def _write_cropped(self, places, y):
        labels = to_labels(np.argmax(y, -1), self.values)[..., None]
        self._put(self.mean, places, labels, without="C")
        if self.probabilities is not None:
            self._put(self.probabilities, places, y)


class MemberTarget(FrameTarget):
    """Takes the network's output for pieces of a turned image, as one member of an ensemble.

    Args:
        source: the `FrameSource` of the image turned.
        net_out_axes: see `FrameTarget`.
        turn: its `Orientation`.
        add: ``add(slices, mean, scale)`` is given what the member predicts, and where it belongs in an array of
            `output_layout` of the image as it is; the scale is ``None`` for a model without.
        probabilistic: see `FrameTarget`.
        labels: whether the output is the probabilities of classes, which are not mapped back to the image's range.
        factor: what the scale is multiplied by.
    """

    def __init__(self, source, net_out_axes, turn, add, probabilistic=False, labels=False, factor=1.0):
        super().__init__(source, net_out_axes, None, probabilistic=probabilistic, factor=factor)
        self.turn, self.add, self.labels = turn, add, labels

    def _write_cropped(self, places, y):
        turned = self.net_out_axes.replace("C", "")
        dimensions = self.turn.dimensions(turned)
        there = mirrored([places[a] for a in turned], [self._sizes[a][0] for a in turned], dimensions)
        places = dict(zip(turned, there, strict=True))
        mean, scale = (y, None) if self.labels else self._restored(y)
        parts = [None if part is None else np.flip(part, dimensions) for part in (mean, scale)]
        # As they are called now, the image's dimensions are in their own order.
        slices, mean = self._as_stored(places, parts[0])
        self.add(slices, mean, None if scale is None else self._as_stored(places, parts[1])[1])


def _file_axes(image_axes, net_axes, net_out_axes, channels):
    axes = kept_axes(image_axes, net_axes, net_out_axes)
    return axes if "C" in axes or channels == 1 else axes + "C"
