"""Scores of single images, kept as CSV files beside the models they are of."""

import csv
import hashlib
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.files import replacing

_NAMES = ("image", "condition", "data")
_ENDS = 1 << 16


def fingerprint(files):
    """Sixteen characters that differ if the files do: of their sizes, beginnings and ends, not of their names."""
    digest = hashlib.sha256()
    for path in map(Path, files):
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest.update(f"{size} ".encode() + file.read(_ENDS))
            file.seek(max(0, size - _ENDS))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()[:16]


def write_scores(path, rows):
    """Write one line an image; numbers so that reading them gives the same floats."""
    with replacing(Path(path)) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: value if key in _NAMES else repr(float(value)) for key, value in row.items()} for row in rows
        )


def read_scores(path):
    """What `write_scores` wrote.

    Raises:
        InputError: the file is something else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{key: value if key in _NAMES else float(value) for key, value in row.items()} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a file of scores ({error}); remove it") from None


def scorer(name):
    """A protocol of `aeanet_tf.evaluation.protocols` as a function of ground truth, prediction, and input."""
    protocol = get_protocol(name)
    return lambda gt, image, _: protocol(gt, image)


def by_image(runs, score, condition=None):
    """Scores of each image, averaged over the runs of a method.

    Args:
        runs: list of what `read_scores` gives, one a seed.
        score: its name.
        condition: of the images that count, ``None`` for all.

    Returns:
        Array with one number an image.
    """
    wanted = [[row[score] for row in rows if condition in (None, row["condition"])] for rows in runs]
    return np.mean(wanted, axis=0)
