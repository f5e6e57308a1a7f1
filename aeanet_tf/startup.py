"""Importing Keras and its backend without their chatter."""

import os
import sys
import tempfile
from contextlib import contextmanager


def load_backend():
    """Import Keras, and with it TensorFlow where that is the backend, without start-up messages on the terminal.

    TensorFlow's libraries write them to the process's standard error while they are loaded, some of them whatever
    ``TF_CPP_MIN_LOG_LEVEL`` says, so the descriptor itself is turned away for the time of the import. If the import
    fails, what was written is shown.
    """
    if "keras" not in sys.modules:
        with _collected_stderr():
            import keras  # noqa: F401


@contextmanager
def _collected_stderr():
    sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:  # No standard error, as in a windowed program: nothing can be written either.
        yield
        return
    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        except BaseException:
            collected.seek(0)
            os.write(terminal, collected.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
