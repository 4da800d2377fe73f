"""A conda channel on this machine that fails on demand, with mirrors below it that fail each in its own way.

Channel.folder = tmp_path / "channel"
Channel.fault = "500"                       # of the channel itself; "none" for no fault
with serve() as url:                        # url + "mirror-stall/", url + "mirror-none/" are mirrors
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar


class Channel(BaseHTTPRequestHandler):
    """Serves a folder in one of several bad ways."""

    folder: ClassVar[Path]
    fault: ClassVar[str]
    missing: ClassVar[int] = 404
    """What is said of files that are not there: 403 as object stores do."""
    auth: ClassVar[str | None] = None
    """Value of Authorization; 401 without it."""
    asked: ClassVar[list[str]] = []
    closing: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        mirror = re.match(r"/mirror-([a-z0-9]+)/", self.path)
        path, fault = (self.path[mirror.end() :], mirror[1]) if mirror else (self.path.lstrip("/"), self.fault)
        self.asked.append(self.path)
        if self.auth and self.headers.get("Authorization") != self.auth:
            self.send_error(401)
            return
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if fault == "stall":
            self.closing.wait(20)
            return
        file = self.folder / path
        if not file.is_file():
            self.send_error(self.missing)
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "truncated":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(
            data
            if fault == "none"
            else data[: len(data) // 4] + bytes(len(data) // 2) + data[len(data) // 4 + len(data) // 2 :]
        )

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the tests."""


@contextmanager
def serve() -> Iterator[str]:
    """Serve ``Channel``; its address."""
    Channel.asked.clear()
    Channel.closing.clear()
    Channel.auth = None
    server = _Server(("127.0.0.1", 0), Channel)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        Channel.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
