"""Files fetched over HTTP, by pooch: checked, and what has come is kept when the connection breaks off."""

import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from aeanet_tf.errors import InputError, UnfinishedError, WriteError, writing
from aeanet_tf.files import read_json
from aeanet_tf.memory import in_words
from aeanet_tf.progress import progress_bar

_LOGGER = logging.getLogger(__name__)
# Up to one block is lost when a connection breaks, so not larger than it need be.
_BLOCK = 1 << 16


def fetch(url: str, file: Path, known_hash: str | None = None, remedy: str = "") -> bool:
    """Put a file in place, unless the right one lies there.

    Args:
        url: its address.
        file: where it is to be; its folder is made.
        known_hash: ``"sha256:..."``, ``"md5:..."``, or the hexadecimal digits of a sha256 alone; None takes what comes.
        remedy: what the message on another hash ends in.

    Returns:
        Whether it had to be fetched.

    Raises:
        InputError: what came has another hash; it is removed again.
        UnfinishedError: it cannot be fetched, or the disk cannot be written.
    """
    import pooch

    # It would announce each download on its own, and print the hash of each of unknown hash.
    pooch.get_logger().setLevel("WARNING")
    downloader = ResumingDownloader(file)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            pooch.retrieve(url, known_hash, fname=file.name, path=file.parent, downloader=downloader)
        except InputError:
            raise
        except ValueError as error:
            # pooch's error for another hash, which names the two in its first sentence.
            raise InputError(f"{url}: removed again: {str(error).split('. ')[0]}{remedy}") from error
    return downloader.used


class ResumingDownloader:
    """A downloader for pooch (``pooch.retrieve(..., downloader=...)``) that goes on with a download that broke off.

    What comes is written to ``<file>.part``. Beside it, ``<file>.part.json`` keeps the address, the total size and the
    server's mark of this version of the file (a strong ETag, else the date of its last change). The next call asks for
    the rest only, on condition of that mark (``Range`` with ``If-Range``, RFC 9110 sections 13 and 14). It starts over
    where the server gave no mark, answers with the whole file (it knows no ranges, or the file has changed), or with
    another part than asked for. The parts are removed when the file is whole, and kept on any failure, an interruption
    included.

    Args:
        file: where the file is to be in the end; the parts lie beside it, and messages name it.
        timeout: seconds without an answer after which to give up.

    Attributes:
        used: whether it has been called, so whether pooch did not find the file in place.
    """

    def __init__(self, file: Path, timeout: float = 60.0):
        self.file = file
        self.timeout = timeout
        self.used = False
        self._part = file.with_name(f"{file.name}.part")
        self._state = file.with_name(f"{file.name}.part.json")

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Fetch ``url`` to ``output_file``, as pooch calls it.

        Raises:
            UnfinishedError: the server cannot be reached, refuses, or breaks off; or the disk cannot be written.
        """
        from requests import RequestException

        self.used = True
        try:
            if not self._is_whole(url):
                self._fetch(url)
        except RequestException as error:
            raise self._unfinished(url, _reason(error, self.timeout)) from error
        with writing(self.file):
            os.replace(self._part, output_file)
        self._forget()

    def _is_whole(self, url: str) -> bool:
        """Whether the last call was ended between the last byte and the new name."""
        offset, state = self._kept(url)
        return offset > 0 and offset == state.get("total")

    def _fetch(self, url: str) -> None:
        import requests

        offset, state = self._kept(url)
        # Files as they lie on the server: compressed on the way, their parts would not fit together.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": state["mark"]}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if offset and not _continues(response, offset, state["total"]):
                if response.status_code in (206, 416):
                    self._forget()
                    return self._fetch(url)
                offset = 0
            response.raise_for_status()
            if offset:
                _LOGGER.info("going on after %.1f MB of %s", offset / 1e6, self.file)
                total = state["total"]
            else:
                _LOGGER.info("downloading %s to %s", url, self.file)
                total = self._start(url, response)
            self._receive(url, response, offset, total)

    def _start(self, url: str, response: Any) -> int | None:
        """Begin an empty part and note what a later call needs in order to go on with it; gives the total size."""
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        free = shutil.disk_usage(self._part.parent).free
        if total is not None and total > free:
            raise WriteError(
                f"{url}: found {in_words(total)} to download, {in_words(free)} free, expected more of the disk"
            )
        etag = response.headers.get("ETag", "")
        # A weak ETag promises the same meaning, not the same bytes.
        mark = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        with writing(self._part):
            self._part.write_bytes(b"")
            self._state.write_text(json.dumps({"url": url, "total": total, "mark": mark}), encoding="utf-8")
        return total

    def _receive(self, url: str, response: Any, offset: int, total: int | None) -> None:
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        with (
            writing(self._part),
            open(self._part, "ab") as part,
            progress_bar(
                leave=True, total=total, initial=offset, unit="B", unit_scale=True, desc=self.file.name
            ) as bar,
        ):
            try:
                while block := response.raw.read(_BLOCK, decode_content=False):
                    part.write(block)
                    bar.update(len(block))
            except ReadTimeoutError as error:
                raise self._unfinished(url, f"no answer for {self.timeout:g} s") from error
            except HTTPError as error:
                raise self._unfinished(url, "the connection broke off") from error
        if total is not None and self._part.stat().st_size != total:
            raise self._unfinished(url, "the connection broke off")

    def _kept(self, url: str) -> tuple[int, dict[str, Any]]:
        """Size of the part that can be gone on with, 0 if none, and what was noted of it."""
        try:
            state = read_json(self._state)
            size = self._part.stat().st_size
        except (OSError, ValueError):
            return 0, {}
        if not isinstance(state, dict) or state.get("url") != url or not state.get("mark") or not state.get("total"):
            return 0, {}
        total, mark = state["total"], state["mark"]
        return (size, state) if isinstance(total, int) and isinstance(mark, str) and size <= total else (0, {})

    def _forget(self) -> None:
        for path in (self._part, self._state):
            with suppress(OSError):
                path.unlink()

    def _unfinished(self, url: str, reason: str) -> UnfinishedError:
        size = self._kept(url)[0]
        kept = f"; {size / 1e6:.1f} MB are kept, the same command goes on from there" if size else ""
        return UnfinishedError(
            f"{url}: cannot be downloaded, {reason}{kept}; or get it by hand, save it as {self.file} and call again"
        )


def _continues(response: Any, offset: int, total: int) -> bool:
    """Whether the answer is the rest of the very file of which ``offset`` bytes are here."""
    rest = f"bytes {offset}-{total - 1}/{total}"
    return response.status_code == 206 and response.headers.get("Content-Range") == rest


def _reason(error: Exception, timeout: float) -> str:
    """What went wrong in a few words: the libraries' own messages nest several lines of addresses and objects."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    # In this order: the first two are connection errors, too.
    if isinstance(error, exceptions.SSLError):
        return "the server's certificate is not valid"
    if isinstance(error, exceptions.Timeout):
        return f"no answer for {timeout:g} s"
    if isinstance(error, exceptions.ConnectionError):
        return "no connection to the server"
    return " ".join(str(error).split())
