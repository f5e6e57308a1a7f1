"""Images that are on both sides of the split into training and validation: copies by content, under whatever name."""

import logging

from aeanet_tf.training.copies import shared_images

logger = logging.getLogger("aeanet_tf")

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


def _name(names, index):
    return names[index] if index < len(names) else f"image {index}"
