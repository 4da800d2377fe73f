"""A local package index over a folder of wheels: the Simple API in HTML, ranges, and files by ``sendfile``.

``python -m tests.bench.server FOLDER`` prints its address and serves until its standard input ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from dataloader.base.digests import hex_digest


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve ``folder`` from a process of its own, so that its work is not the client's; yield its address."""
    command = [sys.executable, "-m", "tests.bench.server", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def pages_of(folder: Path) -> dict[str, bytes]:
    """The index's page of each project, with the hashes of its files."""
    links: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob("*.whl")):
        digest = hex_digest(path)
        project = re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower()
        links[project].append(f'<a href="/files/{quote(path.name)}#sha256={digest}">{path.name}</a>')
    return {
        f"/simple/{project}/": f"<!DOCTYPE html><html><body>{''.join(entries)}</body></html>".encode()
        for project, entries in links.items()
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path
    pages: dict[str, bytes]

    def do_GET(self) -> None:
        path = unquote(self.path)
        if path.startswith("/files/"):
            self._send_file(self.folder / path.removeprefix("/files/"))
            return
        body = self.pages.get(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            start, stop = 0, size
            if asked and asked[1]:
                start, stop = int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size
            elif asked:
                start = max(0, size - int(asked[2]))
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(stop - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            while self.command == "GET" and start < stop:
                start += os.sendfile(self.connection.fileno(), stream.fileno(), start, stop - start)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has read enough and goes is nothing to report."""


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    handler = type("Handler", (_Handler,), {"folder": folder, "pages": pages_of(folder)})
    with _Server(("127.0.0.1", 0), handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
