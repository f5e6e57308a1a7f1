"""The example in a BioImage Model Zoo package: test image, what the model makes of it, and the cover."""

import logging

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.interop.bioimageio_tensors import spatial_axes
from aeanet_tf.models.normalizers import make_normalizer

logger = logging.getLogger("aeanet_tf")


def example_image(model, normalization, image=None):
    """A float32 test image in the model's axes with the channels last, cut to sizes that the package allows.

    Args:
        model: an `AEANet` or one of its siblings.
        normalization: the `NormalizationSection`; a synthetic image fits its range.
        image: an array in the model's axes, the channel axis may be missing where there is one channel; ``None``
            for synthetic noisy blobs, the same every time.

    Raises:
        InputError: ``image`` does not fit the model, or is smaller than the package allows.
    """
    axes, spatial = model.config.axes, spatial_axes(model)
    if image is None:
        image = _noisy_blobs(spatial, model.config.n_channel_in)
        if normalization.kind == "range":
            image = normalization.low + (normalization.high - normalization.low) * image
        logger.info("no test image given: the package gets synthetic noisy blobs, %s", _size(image))
        return image.astype("float32")
    image = np.asarray(image)
    if image.ndim == len(axes) - 1 and model.config.n_channel_in == 1:
        image = image[..., None]
    if image.ndim != len(axes) or image.shape[-1] != model.config.n_channel_in:
        raise InputError(
            f"test_image: shape {image.shape}, expected the axes {axes} with {model.config.n_channel_in} channels"
        )
    sizes = [n // axis.step * axis.step for n, axis in zip(image.shape, spatial, strict=False)]
    least = [axis.minimum for axis in spatial]
    if any(n < m for n, m in zip(sizes, least, strict=True)):
        raise InputError(
            f"test_image: size {_size(image)}, expected at least {' x '.join(map(str, least))} along {axes[:-1]}: "
            "the receptive field of the network on both sides"
        )
    image = image[tuple(slice(n) for n in sizes)].astype("float32")
    logger.info("the package gets the test image given, %s", _size(image))
    return image


def example_output(model, normalization, image):
    """What prediction makes of ``image``: ``(*spatial, channels)``, scales of a probabilistic model behind the means.

    Percentiles are not mapped back, because the description of a package cannot. A segmentation model gives the
    probabilities of the classes, of the image in one piece.
    """
    normalizer, axes = make_normalizer(normalization), model.config.axes
    if model.segments:
        return model.predict_probabilities(image, axes, normalizer, tiling="whole")
    if normalization.kind == "percentile":
        normalizer = type(normalizer)(normalization.low, normalization.high, do_after=False)
    if not model.config.probabilistic:
        return model.predict(image, axes, normalizer).astype("float32")
    result = model.predict_probabilistic(image, axes, normalizer)
    return np.concatenate([result.mean(), result.scale()], axis=-1).astype("float32")


def draw_cover(path, model, image, output):
    """Write a PNG of 2:1 with the first channels of input and output side by side, through the middle of stacks.

    Of a segmentation model the most probable classes are shown, in greys.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Small enough for the size limit whatever the noise.
    figure = Figure(figsize=(6, 3), dpi=100)
    axes_out = [a for a in model.config.axes if a in model._axes_out]
    if model.segments:
        output = np.argmax(output, -1)[..., None]
    planes = _plane(image, model.config.axes), _plane(output, axes_out)
    for i, plane in enumerate(planes):
        ax = figure.add_axes((i / 2, 0, 0.5, 1))
        low, high = np.percentile(plane, (0.5, 99.5))
        ax.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest", aspect="auto")
        ax.set_axis_off()
    FigureCanvasAgg(figure).print_png(path)


def _size(image):
    return " x ".join(map(str, image.shape[:-1])) + (f" with {image.shape[-1]} channels" if image.shape[-1] > 1 else "")


def _noisy_blobs(spatial, n_channels):
    """Blobs between 0 and 1 with noise, 128 wide in 2D; 64 wide and 16 deep in 3D; larger where that is the least."""
    from skimage.data import binary_blobs

    lateral = 128 if len(spatial) == 2 else 64
    sizes = []
    for axis in spatial:
        size = max(axis.minimum, lateral if axis.letter in "YX" else 16)
        sizes.append(axis.fixed or -(-size // axis.step) * axis.step)
    # Blobs of all of a large stack would take long, and a wrapped part is as good.
    length = min(lateral, max(sizes))
    outer, inner = [(0, max(0, n - length)) for n in sizes], tuple(slice(n) for n in sizes)
    channels = []
    for seed in range(n_channels):
        part = binary_blobs(length, blob_size_fraction=0.15, n_dim=len(sizes), rng=seed)
        channels.append(np.pad(part, outer, mode="wrap")[inner])
    blobs = np.stack(channels, axis=-1)
    return 0.2 + 0.6 * blobs + np.random.default_rng(0).normal(0, 0.1, blobs.shape)


def _plane(image, axes):
    """A square of one channel with Y downwards, where there are Y and X."""
    image = image[..., 0]
    axes = [a for a in axes if a != "C"]
    shown = [a for a in "YX" if a in axes]
    shown += [a for a in axes if a not in shown][: 2 - len(shown)]
    for i in reversed(range(len(axes))):
        if axes[i] not in shown:
            image = np.take(image, image.shape[i] // 2, axis=i)
    remaining = [a for a in axes if a in shown]
    plane = np.transpose(image, [remaining.index(a) for a in shown])
    side = min(plane.shape)
    return plane[tuple(slice((n - side) // 2, (n - side) // 2 + side) for n in plane.shape)]
