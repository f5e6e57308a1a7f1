"""What all tests share."""

import gc
import os

import pytest

# Seconds for each training; tests of the report switch it on.
os.environ.setdefault("AEANET_REPORT", "0")
# Matplotlib would take the window system that napari's tests have opened, and `show` would wait for who closes it.
os.environ["MPLBACKEND"] = "Agg"


def pytest_collection_finish():
    """Look for garbage less often, and not in what was imported: tracing makes so many objects that a million were
    looked through again and again, for a large part of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Escape what is no UTF-8 in what a test printed and logged, as names of files may be: xdist cannot send it."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
