"""The discriminator of adversarial training: which patches of an image look recorded, and which made by a network."""

import math

import keras
import numpy as np
from keras import ops

from aeanet_tf.layers import convolution

# pix2pix: the size of all kernels, the slope of leaky ReLU, the deviation of what kernels start with; no layer has more
# than so many times the filters of the first.
_SIZE, _SLOPE, _DEVIATION, _MOST = 4, 0.2, 0.02, 8


def discriminator(rank, channels, filters=64, depth=3, seed=0):
    """A PatchGAN: a convolutional network that judges overlapping patches of an image.

    GVTNet's supplementary table 6 has networks trained as GANs, and neither paper nor what there is of the supplement
    says with which discriminator. This is that of pix2pix (Isola et al. 2017, section 6.1.2), over two or three spatial
    axes: ``depth`` convolutions with kernels of 4 and strides of 2, each with twice the filters of the one before but
    no more than eight times the first, one without strides, and one that gives the judgements. With the defaults a
    judgement is of 70 pixels along each axis and the network has the 2,768,705 weights of pix2pix's for 6 channels.
    Ours differs in that images are padded so that sizes are halved, rounded up, and in what normalises: each channel of
    each image by itself (instance norm), as in CycleGAN, so that a judgement does not depend on the other images of the
    batch. Of the rest of its own image it knows the means and deviations.

    Args:
        rank: number of spatial axes, 2 or 3.
        channels: of what is judged.
        filters: of the first convolution.
        depth: convolutions with strides, at least 1.
        seed: of the initial kernels, which are normal with a deviation of 0.02; ``None`` draws one.

    Returns:
        A ``keras.Model`` in float32 from ``(batch, *spatial, channels)`` to logits ``(batch, *patches, 1)``: positive
        where a patch looks recorded.

    Example:
        >>> from aeanet_tf.training.discriminator import discriminator
        >>> network = discriminator(2, 6)
        >>> network.count_params(), tuple(network(ops.ones((1, 64, 48, 6))).shape)
        (2768705, (1, 8, 6, 1))
    """
    rng = np.random.default_rng(seed)

    def layer(x, filters, number, strides=1, use_bias=False):
        # Numbers of their own, so that nobody else's random numbers change.
        start = keras.initializers.RandomNormal(0.0, _DEVIATION, seed=int(rng.integers(2**31)))
        options = {"kernel_initializer": start, "name": f"convolution_{number}", "dtype": "float32"}
        return convolution(rank, filters, _SIZE, strides=strides, use_bias=use_bias, **options)(x)

    def activated(x, number, normalise=True):
        if normalise:
            options = {"groups": -1, "epsilon": 1e-5, "name": f"norm_{number}", "dtype": "float32"}
            x = keras.layers.GroupNormalization(**options)(x)
        return keras.layers.LeakyReLU(_SLOPE, name=f"activation_{number}", dtype="float32")(x)

    image = keras.Input((*(None,) * rank, channels), name="image", dtype="float32")
    x = activated(layer(image, filters, 1, 2, use_bias=True), 1, normalise=False)
    widths = [*_widths(filters, depth)][1:]
    for number, width in enumerate(widths, 2):
        x = activated(layer(x, width, number, 2 if number <= depth else 1), number)
    return keras.Model(image, layer(x, 1, depth + 2, use_bias=True), name="discriminator")


def _widths(filters, depth):
    """Filters of all convolutions but the last."""
    return [filters * min(_MOST, 2**i) for i in range(depth + 1)]


def discriminator_loss(real, made):
    """What a discriminator is trained with: half the sum of two binary cross-entropies, means over all judgements.

    The half is pix2pix's: the discriminator is to learn more slowly.

    Args:
        real, made: its logits for recorded images and for those of the network.

    Returns:
        A number, log 2 = 0.693 where it cannot tell one from the other.
    """
    return (ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(made))) / 2


def adversarial_loss(made):
    """What the network that makes images learns by beside its own loss: the cross-entropy of their being recorded.

    It is the form that does not saturate (Goodfellow et al. 2014, section 3).

    Args:
        made: logits of the discriminator for its images.

    Returns:
        A number, 0.693 where the discriminator cannot tell, more where it can.
    """
    return ops.mean(ops.softplus(-made))


def discriminator_bytes(shape, filters=64, depth=3):
    """Estimate of the memory that a discriminator takes in a training step.

    What its layers give for as many recorded images as made ones, kept for the gradients, and its weights, their
    gradients and Adam's moments.

    Args:
        shape: of a batch that is judged, ``(batch, *spatial, channels)``.
        filters, depth: of `discriminator`.
    """
    batch, *size, before = shape
    values, weights = 0, 1
    for number, width in enumerate([*_widths(filters, depth), 1]):
        if number < depth:
            size = [-(-n // 2) for n in size]
        # Convolution, norm and activation.
        values += math.prod(size) * width * (1 if number == depth + 1 else 2 if number == 0 else 3)
        weights += _SIZE ** len(size) * before * width + 2 * width
        before = width
    return 4 * (2 * batch * (values + math.prod(shape[1:])) + 4 * weights)
