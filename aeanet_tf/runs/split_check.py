"""Images that are on both sides of the split into training and validation: copies by content, under whatever name."""

import hashlib
import logging

import numpy as np

logger = logging.getLogger("aeanet_tf")

# Positions along an axis by which images are told apart before they are compared.
_SAMPLES = 5
_MOST_NAMED = 3


def warn_of_shared_images(images, targets=True):
    """Log a warning where an image to validate on is one to train on, or has the ground truth of one.

    What is compared are the pixels, normalised: the same file under two names, links, copies in other formats, slices
    of a stack that were stored twice, files of one set, patches of an ``.npz``. Images that are constant do not count.

    Args:
        images: the `TrainingImages` of a run.
        targets: whether ground truths are compared as well. Label images may be equal without being copies.
    """
    (train, held), (X, Y) = images.names, images.validation
    for sides, what in (((images.X, X), "an image"), ((images.Y, Y), "the ground truth of an image"))[: 1 + targets]:
        pairs = shared_images(*sides)
        if not pairs:
            continue
        named = [f"{_name(held, j)} is {what} of training, {_name(train, i)}" for i, j in pairs[:_MOST_NAMED]]
        more = f"; and {len(pairs) - _MOST_NAMED} more" if len(pairs) > _MOST_NAMED else ""
        logger.warning(
            "data: %d of %d images to validate on are on both sides, pixel by pixel: %s%s; the validation loss then "
            "says little of new images, and the best weights are chosen by what was learned by heart",
            len(pairs),
            len(sides[1]),
            "; ".join(named),
            more,
        )
        return


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


def _name(names, index):
    return names[index] if index < len(names) else f"image {index}"
