"""Images that are there twice, told by their pixels."""

import hashlib

import numpy as np

# Positions along an axis by which images are told apart before they are compared.
_SAMPLES = 5


def shared_images(train, held):
    """Pairs of indices ``(train, held)`` of arrays that are equal, one for each of ``held`` that has an equal."""
    known = {}
    for i, image in enumerate(train):
        key = _key(image)
        if key is not None:
            known.setdefault(key, []).append(i)
    pairs = []
    for j, image in enumerate(held):
        candidates = known.get(_key(image), ())
        equal = next((i for i in candidates if np.array_equal(train[i], image)), None)
        if equal is not None:
            pairs.append((equal, j))
    return pairs


def _key(image):
    """Of a few pixels, of all where these are equal; ``None`` for a constant image, and one that is not in memory."""
    if not isinstance(image, np.ndarray) or not image.size:
        return None
    sample = image[tuple(slice(None, None, max(1, n // _SAMPLES)) for n in image.shape)]
    if sample.min() < sample.max():
        return image.shape, sample.tobytes()
    if not image.min() < image.max():
        return None
    return image.shape, hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
