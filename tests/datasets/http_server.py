"""A web server of one file for tests: knows ranges or not, breaks off when told, says what it was asked for."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    range: str | None
    status: int
    sent: int


class FileServer:
    """Serves ``content`` at every path of ``url``.

    Attributes to set: ``content``; ``mark``, the ETag, None for none; ``ranges``, whether ranges are known;
    ``break_at``, number of bytes after which the next answer breaks off; ``status`` of all answers, None for success.
    """

    def __init__(self, content):
        self.content, self.mark, self.ranges, self.break_at, self.status = content, '"1"', True, None, None
        self.requests = []

    def answer(self, handler):
        asked = handler.headers.get("Range")
        start, status = 0, self.status or 200
        if asked and self.ranges and self.status is None and handler.headers.get("If-Range") == self.mark:
            start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(self.content):
                status = 416
        handler.send_response(status)
        if status >= 400:
            handler.end_headers()
            self.requests.append(Request(asked, status, 0))
            return
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.mark:
            handler.send_header("ETag", self.mark)
        body = self.content[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: self.break_at]
        self.break_at = None
        handler.wfile.write(body)
        self.requests.append(Request(asked, status, len(body)))


@contextmanager
def serving(content):
    """A `FileServer` at work, in a thread."""
    server = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    # Asked often, so that the end of a test does not wait half a second.
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def closed_port():
    """An address at which nobody answers."""
    with serving(b"") as server:
        url = server.url
    return url
