"""TensorFlow beside OpenGL, which a window has loaded first."""

import os
import sys
from contextlib import contextmanager


def load_beside_opengl():
    """Import Keras and TensorFlow, see `aeanet_tf.startup.load_backend`, in a process that may have drawn with OpenGL.

    On Linux Mesa's drivers (of AMD's cards, and those without a card) bring LLVM into the process, for all to see.
    TensorFlow has another version of its own, would find the names of Mesa's in it, and end the process. Its libraries
    are loaded so that they look at home first.
    """
    from aeanet_tf.startup import load_backend

    with _own_names_first():
        load_backend()


@contextmanager
def _own_names_first():
    if not hasattr(os, "RTLD_DEEPBIND"):
        # Windows and macOS look for names by library.
        yield
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)
