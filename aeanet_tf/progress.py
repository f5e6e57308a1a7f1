"""Bars of progress: at a terminal, and in notebooks; none where nobody looks, as in the log file of a job."""

import sys
import warnings
from collections.abc import Iterable
from typing import Any


def progress_bar(iterable: Iterable | None = None, *, quiet: bool = False, leave: bool = False, **options: Any) -> Any:
    """A bar of ``tqdm``, in a notebook its widget, or lines of text where ipywidgets is not installed.

    Args:
        iterable: what is gone through; ``None`` for a bar that is moved by hand.
        quiet: whether there is nothing to show.
        leave: whether the bar stays when it is complete.
        options: of ``tqdm.tqdm``, such as ``unit`` and ``total``.
    """
    notebook = in_notebook()
    with warnings.catch_warnings():
        # tqdm asks for ipywidgets, at every import of another program's, too.
        warnings.simplefilter("ignore")
        if notebook:
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
    # None: only at a terminal, which a notebook is not.
    shown = False if notebook else None
    return tqdm(iterable, disable=True if quiet else shown, leave=leave, **options)


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, where standard error is shown and is no terminal."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and "IPKernelApp" in getattr(running, "config", {})
