"""Prediction in patches that know nothing of each other, as the papers compare it with whole images."""

import itertools

import numpy as np

from aeanet_tf.models.normalizers import own_normalizer


def predict_in_patches(model, image, axes, size):
    """Cut an image into square patches, predict each on its own, and put the predictions together (figure 9).

    The last patch along an axis is shifted inwards to its full size, and gives what is missing; the paper does not say
    what it did there. A side that is shorter than ``size`` is one patch of its own length. Normalisation is that of the
    whole image.

    Args:
        model: an `AEANet` for 2D images of one channel.
        image: array ``(y, x)``.
        axes: "YX".
        size: of the patches, in pixels.

    Returns:
        Array of the shape of ``image``.
    """
    normalizer = own_normalizer(model)
    image = normalizer.before(image, axes)
    lengths = [min(size, n) for n in image.shape]
    places = [_places(n, length) for n, length in zip(image.shape, lengths, strict=True)]
    result = np.empty(image.shape, np.float32)
    for place in itertools.product(*places):
        read = tuple(slice(first, first + length) for (first, _), length in zip(place, lengths, strict=True))
        found = model.predict(image[read], axes, normalizer=None)
        kept = tuple(slice(new - first, None) for first, new in place)
        write = tuple(slice(new, first + length) for (first, new), length in zip(place, lengths, strict=True))
        result[write] = found[kept]
    return normalizer.after(result, None, axes)[0] if normalizer.do_after else result


def _places(n, length):
    """Where the patches begin, and from where on they are new."""
    firsts = [min(new, n - length) for new in range(0, n, length)]
    return list(zip(firsts, range(0, n, length), strict=True))
