"""A data set of pairs in folders ``{train,val,test}/{low,GT}``: its images, and what filters make of the inputs."""

from functools import partial

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.read import read_image


def cases_of(lab, split, axes):
    """A `Case` for each pair of a split, such as "test"; few where the budget is tiny."""
    return [
        Case(image_stem(low), partial(_read, low, gt, axes), axes, files=(low, gt)) for low, gt in _paths(lab, split)
    ]


def pairs_of(lab, split, axes):
    """The pairs of a split, such as "train", as arrays ``(input, truth)``; few where the budget is tiny."""
    return [_read(*pair, axes) for pair in _paths(lab, split)]


def filter_scores(lab, tests, protocol, filters):
    """Scores of the inputs themselves, as "input", and of filtered ones.

    Args:
        lab: `Laboratory`.
        tests: list of `Case`.
        protocol: see `Laboratory.score`.
        filters: label -> function of an image.

    Returns:
        label -> list of scores by image.
    """
    found = {"input": lab.score_inputs(tests, protocol)}
    return found | {label: lab.score_inputs(tests, protocol, function) for label, function in filters.items()}


def _paths(lab, split):
    return lab.budget.some(pair_folders(lab.data / split / "low", lab.data / split / "GT"))


def _read(low, gt, axes):
    return read_image(low, axes).array, read_image(gt, axes).array
