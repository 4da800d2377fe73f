"""Files of a cache for peers: read-only, over http, by hash and by the address that they came from.

    /sha256/<64 hexadecimal digits>                       a file by its content
    /https/files.pythonhosted.org/packages/.../x.whl      the same by where it was fetched from: a mirror of that host

Only what a lock names is served; nothing is fetched for a peer, and nothing can be written.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dataloader.lockfile.model import Lockfile

FOLDER = "served"
"""Of the archives, below the cache; each is named after its sha256."""


class Served(NamedTuple):
    """One file."""

    sha256: str
    path: Path


def served_paths(lock: Lockfile, cache: Path) -> dict[str, Served]:
    """What a lock names that can be checked -> its file, by both of its paths."""
    found: dict[str, Served] = {}
    for package in lock.packages:
        if package.sha256:
            served = Served(package.sha256, cache / FOLDER / package.sha256)
            found[f"/sha256/{package.sha256}"] = served
            found[path_of(package.url)] = served
    return found


def path_of(url: str) -> str:
    """The path of what was fetched from ``url``.

    >>> path_of("https://files.pythonhosted.org/a/x%2B1.whl#sha256=ab")
    '/https/files.pythonhosted.org/a/x+1.whl'
    """
    parts = urlsplit(url)
    return unquote(f"/{parts.scheme}/{parts.netloc.rpartition('@')[2]}{parts.path}")


def origins(lock: Lockfile) -> tuple[str, ...]:
    """Where a lock's files come from: scheme and host, sorted."""
    parts = {urlsplit(package.url) for package in lock.packages}
    return tuple(sorted({f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts if part.netloc}))


class Server(ThreadingHTTPServer):
    """Serves files until it is shut down; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, host: str, port: int, files: Mapping[str, Served]) -> None:
        self.files = files
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Peers come and go: a connection that ends is theirs to begin again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 60.0

    def log_message(self, *_: object) -> None:
        """Nothing: each request would be a line."""

    def do_GET(self) -> None:
        served = self.server.files.get(unquote(urlsplit(self.path).path))
        try:
            file = served.path.open("rb") if served is not None else None
        except OSError:
            file = None  # removed by `cache prune`: a peer goes to the origin
        if served is None or file is None:
            self._answer(404, {"Content-Length": "0"})
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            start, end = _range(self.headers.get("Range"), size)
            headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes", "ETag": f'"{served.sha256}"'}
            headers |= {"Content-Type": "application/octet-stream", "Cache-Control": "immutable, max-age=31536000"}
            if end <= start and size:
                self._answer(416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
                return
            if self.headers.get("Range") and (start, end) != (0, size):
                self._answer(206, {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"})
            else:
                self._answer(200, headers)
            if self.command == "GET":
                self.wfile.flush()
                self.connection.sendfile(file, start, end - start) if end > start else None

    do_HEAD = do_GET  # noqa: N815 -- http.server's name

    def _answer(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _range(said: str | None, size: int) -> tuple[int, int]:
    """First byte and the one behind the last; of what is not one plain range, all."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", said or "")
    if match is None or match.group() == "bytes=-":
        return 0, size
    if not match[1]:
        return max(size - int(match[2]), 0), size
    return int(match[1]), min(int(match[2]) + 1, size) if match[2] else size


def missing(files: Iterable[Served]) -> set[str]:
    """Hashes of the files that are not there."""
    return {file.sha256 for file in files if not file.path.is_file()}
