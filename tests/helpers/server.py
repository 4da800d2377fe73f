"""A local package index for tests: the Simple API over a folder of files, with the faults that real servers have.

It plays PEP 503 (HTML), PEP 691 (JSON), PEP 658/714 (metadata files), PEP 592 (yanks), PEP 700 (sizes, upload times),
ranges, ETags, Basic authentication, and on demand fails in the ways of ``Fault``. Every request is recorded.

    with IndexServer(folder) as server:
        server.index_url                # http://127.0.0.1:PORT/simple/
        server.fault("/files/a-*.whl", Fault("status", status=503, times=2))
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import socket
import ssl
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal, final
from urllib.parse import quote, unquote

_JSON = "application/vnd.pypi.simple.v1+json"
_SUFFIXES = (".whl", ".tar.gz", ".zip", "-variants.json")


@dataclass
class Fault:
    """One way to fail; it is used up after ``times`` requests (``None``: never)."""

    kind: Literal["status", "reset", "stall", "truncate", "corrupt", "redirect-loop", "redirect"]
    status: int = 500
    retry_after: str | None = None
    times: int | None = None
    after: int = 0
    """Bytes of the body sent before a reset, stall or truncation."""
    location: str = ""
    """Where a redirect leads."""


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@final
@dataclass
class IndexServer:
    """A threaded HTTP server; start it with ``with``. Fields may be changed while it runs."""

    folder: Path
    """Searched below for wheels and sdists at each request, so that tests may add files."""
    json: bool = False
    """Answer in JSON when the client accepts it; else always HTML."""
    metadata: Literal["no", "hashed", "unhashed"] = "no"
    """Whether ``FILE.metadata`` is announced and served."""
    hashes: bool = True
    sizes: bool = True
    ranges: bool = True
    etag: bool = True
    cache_control: str | None = None
    tls: Path | None = None
    """PEM file with a key and a certificate: serve https."""
    auth: tuple[str, str] | None = None
    """User and password; 401 without them."""
    yanked: dict[str, str] = field(default_factory=dict)
    """Filename to reason (may be empty)."""
    upload_times: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, bytes] = field(default_factory=dict)
    """Filename to its provenance document (PEP 740)."""
    raw_pages: dict[str, bytes] = field(default_factory=dict)
    """Path to a body served as it is, as text/html."""
    requests: list[Seen] = field(default_factory=list)
    _faults: list[tuple[str, Fault]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> IndexServer:
        handler = type("Handler", (_Handler,), {"index": self})
        self._http = _Server(("127.0.0.1", 0), handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def index_url(self) -> str:
        return f"{self.url}/simple/"

    def file_url(self, file: Path) -> str:
        return f"{self.url}/files/{quote(str(file.relative_to(self.folder)))}"

    def fault(self, pattern: str, fault: Fault) -> None:
        """Fail requests whose path fits the shell pattern; the first fault that fits and is not used up wins."""
        with self._lock:
            self._faults.append((pattern, fault))

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def count(self, pattern: str = "*", method: str | None = None) -> int:
        """How many requests fitted the shell pattern."""
        return sum(fnmatch(seen.path, pattern) and method in {None, seen.method} for seen in tuple(self.requests))

    def counts(self) -> Counter[str]:
        """Requests by path."""
        return Counter(seen.path for seen in tuple(self.requests))

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for pattern, fault in self._faults:
                if fnmatch(path, pattern) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def wait_closing(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def files_of(self, project: str) -> list[Path]:
        return [path for path in self._all_files() if _project_of(path) == project]

    def projects(self) -> list[str]:
        return sorted({_project_of(path) for path in self._all_files()})

    def _all_files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.name.endswith(_SUFFIXES))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    index: IndexServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        # A client that takes this server for its proxy sends the whole URL (RFC 9112, section 3.2.2).
        path = unquote(re.sub(r"^https?://[^/]+", "", self.path).split("?")[0])
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.index.requests.append(Seen(self.command, path, headers))
        fault = self.index.next_fault(path)
        if fault is not None and self._fails_at_once(fault):
            return
        if not self._authorised():
            self._send(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="tests"'})
            return
        answer = self._answer(path, headers.get("accept", ""))
        if answer is None:
            self._send(404, b"not found", {})
            return
        body, kind = answer
        self._send_resource(body, kind, headers, fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    # answers

    def _answer(self, path: str, accept: str) -> tuple[bytes, str] | None:
        if path in self.index.raw_pages:
            return self.index.raw_pages[path], "text/html"
        as_json = self.index.json and _JSON in accept
        if path == "/simple/":
            return self._root(as_json)
        if match := re.fullmatch(r"/simple/([^/]+)/", path):
            files = self.index.files_of(match[1])
            if not files:
                return None
            return self._project_json(match[1], files) if as_json else self._project_html(match[1], files)
        if path.startswith("/provenance/"):
            return self.index.provenance[path.removeprefix("/provenance/")], "application/json"
        if path.startswith("/files/"):
            return self._file(path.removeprefix("/files/"))
        return None

    def _root(self, as_json: bool) -> tuple[bytes, str]:
        names = self.index.projects()
        if as_json:
            document = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
            return json.dumps(document).encode(), _JSON
        links = "\n".join(f'<a href="/simple/{name}/">{name}</a><br/>' for name in names)
        return f"<!DOCTYPE html><html><body>\n{links}\n</body></html>".encode(), "text/html"

    def _project_html(self, project: str, files: list[Path]) -> tuple[bytes, str]:
        lines = []
        for file in files:
            facts = self._facts(file)
            href = str(facts["url"]) + (f"#sha256={facts['sha256']}" if self.index.hashes else "")
            attributes = [f'href="{html.escape(href)}"']
            if facts["requires-python"]:
                attributes.append(f'data-requires-python="{html.escape(str(facts["requires-python"]))}"')
            if file.name in self.index.yanked:
                attributes.append(f'data-yanked="{html.escape(self.index.yanked[file.name])}"')
            if facts["core-metadata"]:
                value = facts["core-metadata"]
                attributes.append(f'data-core-metadata="{"true" if value is True else value}"')
            if file.name in self.index.provenance:
                attributes.append(f'data-provenance="/provenance/{html.escape(file.name)}"')
            lines.append(f"<a {' '.join(attributes)}>{html.escape(file.name)}</a><br/>")
        body = f"<!DOCTYPE html>\n<html><head><title>Links for {project}</title></head><body>\n"
        return (body + "\n".join(lines) + "\n</body></html>\n").encode(), "text/html; charset=utf-8"

    def _project_json(self, project: str, files: list[Path]) -> tuple[bytes, str]:
        entries = []
        for file in files:
            facts = self._facts(file)
            entry: dict[str, object] = {"filename": file.name, "url": facts["url"]}
            entry["hashes"] = {"sha256": facts["sha256"]} if self.index.hashes else {}
            if facts["requires-python"]:
                entry["requires-python"] = facts["requires-python"]
            if self.index.sizes:
                entry["size"] = file.stat().st_size
            if file.name in self.index.upload_times:
                entry["upload-time"] = self.index.upload_times[file.name]
            entry["yanked"] = (self.index.yanked[file.name] or True) if file.name in self.index.yanked else False
            if file.name in self.index.provenance:
                entry["provenance"] = f"/provenance/{file.name}"
            value = facts["core-metadata"]
            if isinstance(value, str):
                entry["core-metadata"] = {"sha256": value.removeprefix("sha256=")}
            else:
                entry["core-metadata"] = value
            entries.append(entry)
        document = {"meta": {"api-version": "1.1"}, "name": project, "files": entries, "versions": []}
        return json.dumps(document).encode(), _JSON

    def _facts(self, file: Path) -> dict[str, object]:
        metadata = _metadata_of(file)
        announced: object = False
        if metadata is not None and self.index.metadata == "hashed":
            announced = f"sha256={hashlib.sha256(metadata).hexdigest()}"
        elif metadata is not None and self.index.metadata == "unhashed":
            announced = True
        requires_python = None if metadata is None else BytesParser().parsebytes(metadata)["Requires-Python"]
        relative = quote(str(file.relative_to(self.index.folder)))
        return {
            "url": f"/files/{relative}",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "requires-python": requires_python,
            "core-metadata": announced,
        }

    def _file(self, relative: str) -> tuple[bytes, str] | None:
        path = self.index.folder / relative
        if path.is_file():
            return path.read_bytes(), "application/octet-stream"
        wheel = path.with_name(path.name.removesuffix(".metadata"))
        if self.index.metadata != "no" and path.name.endswith(".metadata") and wheel.is_file():
            metadata = _metadata_of(wheel)
            return None if metadata is None else (metadata, "application/octet-stream")
        return None

    # sending

    def _send_resource(self, body: bytes, kind: str, request: Mapping[str, str], fault: Fault | None) -> None:
        headers = {"Content-Type": kind}
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.index.etag:
            headers["ETag"] = tag
        if self.index.cache_control:
            headers["Cache-Control"] = self.index.cache_control
        if self.index.etag and request.get("if-none-match") == tag:
            self._send(304, b"", headers)
            return
        status = 200
        if self.index.ranges:
            headers["Accept-Ranges"] = "bytes"
            wanted = _range(request.get("range"), len(body))
            if wanted and request.get("if-range", tag) == tag:
                start, stop = wanted
                if start >= len(body):
                    self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                    return
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
                status, body = 206, body[start:stop]
        self._send(status, body, headers, fault)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or status == 304:
            return
        if fault is None:
            self.wfile.write(body)
        elif fault.kind == "corrupt":
            self.wfile.write(bytes(byte ^ 0xFF for byte in body))
        else:
            self.wfile.write(body[: fault.after])
            self._break_off(fault)

    def _fails_at_once(self, fault: Fault) -> bool:
        if fault.kind == "status":
            self._send(fault.status, b"fault", {"Retry-After": fault.retry_after} if fault.retry_after else {})
        elif fault.kind == "redirect-loop":
            self._send(302, b"", {"Location": self.path})
        elif fault.kind == "redirect":
            self._send(302, b"", {"Location": fault.location})
        elif fault.kind in {"reset", "stall"} and fault.after == 0:
            self._break_off(fault)
        else:
            return False
        return True

    def _break_off(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind == "stall":
            self.index.wait_closing(60)
        elif fault.kind == "reset":
            # SO_LINGER of zero makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _authorised(self) -> bool:
        if self.index.auth is None:
            return True
        token = base64.b64encode(":".join(self.index.auth).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {token}"


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and stop of a single range (RFC 9110, section 14.1.2), or None when there is none to honour."""
    if header is None:
        return None
    if match := re.fullmatch(r"bytes=-(\d+)", header):
        return max(0, size - int(match[1])), size
    if match := re.fullmatch(r"bytes=(\d+)-(\d*)", header):
        return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    return None


def _metadata_of(file: Path) -> bytes | None:
    if file.suffix != ".whl" or not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1:
                return archive.read(name)
    return None


def _project_of(path: Path) -> str:
    stem = path.name.split("-")[0] if path.suffix in {".whl", ".json"} else path.name.rsplit("-", 1)[0]
    return re.sub(r"[-_.]+", "-", stem).lower()
