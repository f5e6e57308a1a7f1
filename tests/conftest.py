"""What all tests share."""

import os

import pytest

# Seconds for each training; tests of the report switch it on.
os.environ.setdefault("AEANET_REPORT", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Escape what is no UTF-8 in what a test printed and logged, as names of files may be: xdist cannot send it."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
