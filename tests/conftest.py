"""What all tests share."""

import os

# Seconds for each training; tests of the report switch it on.
os.environ.setdefault("AEANET_REPORT", "0")
