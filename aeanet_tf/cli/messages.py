"""What the package logs, shown by the commands."""

import logging
import sys

from aeanet_tf.errors import escaped


class _Lines(logging.Formatter):
    """Messages of one line, whatever is in the names that they tell."""

    def format(self, record):
        return escaped(super().format(record))


def show_messages():
    """Print what the package logs to standard error, and of other packages what is worth a user's while."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("aeanet_tf").setLevel(logging.INFO)
    # TensorFlow's Python side warns about every new image size; images of many sizes are normal here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # What it warns of in a damaged file, reading the file says in one line.
    logging.getLogger("tifffile").setLevel(logging.ERROR)
