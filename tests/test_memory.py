"""What files claim is compared with what they have and with what memory holds, before any of it is reserved."""

import pytest

from aeanet_tf import memory
from aeanet_tf.errors import InputError
from aeanet_tf.memory import check_claim, check_memory, in_words


@pytest.mark.parametrize(
    ("nbytes", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1e3, "1 kB"), (2147483648, "2.15 GB"), (10**18, "1e+06 TB")],
)
def test_bytes_are_told_with_a_unit(nbytes, words):
    assert in_words(nbytes) == words


def test_more_than_memory_holds_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    check_memory("a.nii", 8 * 10**8)
    with pytest.raises(
        InputError, match=r"^a\.nii: found voxels of 801 MB, expected at most 800 MB, which memory holds$"
    ):
        check_memory("a.nii", 801_000_000, "voxels")
    # Of little nobody asks, so that many small files cost nothing.
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    check_memory("a.nii", 2**26)


def test_more_than_the_bytes_hold_is_refused():
    check_claim("a", 10**9, 10**6)
    check_claim("a", 2**26, 1)
    with pytest.raises(
        InputError, match=r"^a: found pixels of 2 GB in 1 MB of data, expected no more than they can hold$"
    ):
        check_claim("a", 2 * 10**9, 10**6)
    with pytest.raises(InputError):
        check_claim("a", 10**9, 10**9 - 1, 1)
