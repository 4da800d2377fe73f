"""A true registry (Debian's docker-registry) on loopback, and a proxy that lies, cuts off or asks for logins."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("docker-registry") or shutil.which("registry")

needs_registry = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed")


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Run a registry that keeps everything below ``folder``; its host and port."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    configuration = folder / "registry.yml"
    configuration.write_text(json.dumps(settings))
    assert PROGRAM is not None
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", configuration], stdout=log, stderr=log)
    try:
        _wait(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the registry does not start")


class Proxy:
    """Stands before a registry; ``fault`` may change each answer. Used as a context manager.

    ``token`` is a user and a password: with them every request needs a bearer token, as at the large registries.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.fault: Callable[[BaseHTTPRequestHandler, bytes, int], bool] | None = None
        """Told the request, the body and the status of the answer; true where it has answered itself."""
        self.token: tuple[str, str] | None = None
        self.basic: tuple[str, str] | None = None
        self.seen: Counter[str] = Counter()
        """Method and kind of what was asked for."""
        self.referrers: dict[str, list[dict[str, Any]]] | None = None
        """Digest of an image -> what refers to it: set to {}, the registry keeps such lists itself (OCI 1.1)."""
        self.sent: list[int] = []
        """Bytes of blobs that came."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                proxy._handle(self)

            do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:  # noqa: PYI034 -- Self needs Python 3.11
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        path = request.path
        if path.startswith("/token"):
            self._give_token(request)
            return
        if not self._is_let_in(request):
            return
        kind = next((each for each in ("blobs/uploads", "blobs", "manifests", "referrers") if each in path), "v2")
        self.seen[f"{request.command} {kind}"] += 1
        if request.command == "PUT" and kind == "blobs/uploads":
            self.sent.append(length)
        if self.referrers is not None and kind == "referrers":
            self._tell_referrers(request)
            return
        connection = http.client.HTTPConnection(self.behind, timeout=30)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"authorization", "host"}}
        connection.request(
            request.command, path, body=body or None, headers={**headers, "Host": request.headers["Host"]}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if self.fault is not None and self.fault(request, content, answer.status):
            return
        told = dict(answer.getheaders())
        if self.referrers is not None and (request.command, kind, answer.status) == ("PUT", "manifests", 201):
            told |= self._note_referrer(body)
        self.answer(request, answer.status, content, told)

    def _note_referrer(self, manifest: bytes) -> dict[str, str]:
        """As the specification has it: the header tells a client that it need not keep a list itself."""
        document = json.loads(manifest)
        subject = document.get("subject")
        if not subject:
            return {}
        assert self.referrers is not None
        entry = {
            "mediaType": document["mediaType"],
            "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
            "size": len(manifest),
            "artifactType": document.get("artifactType") or document["config"]["mediaType"],
        }
        known = self.referrers.setdefault(subject["digest"], [])
        known += [entry] if entry not in known else []
        return {"OCI-Subject": subject["digest"]}

    def _tell_referrers(self, request: BaseHTTPRequestHandler) -> None:
        assert self.referrers is not None
        index = "application/vnd.oci.image.index.v1+json"
        there = self.referrers.get(request.path.rpartition("/")[2], [])
        document = {"schemaVersion": 2, "mediaType": index, "manifests": there}
        self.answer(request, 200, json.dumps(document).encode(), {"Content-Type": index})

    @staticmethod
    def answer(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send an answer whole."""
        request.send_response(status)
        kept = {
            k: v for k, v in headers.items() if k.lower() not in {"transfer-encoding", "connection", "content-length"}
        }
        length = headers.get("Content-Length", "0") if request.command == "HEAD" else str(len(body))
        for key, value in {**kept, "Content-Length": length}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _is_let_in(self, request: BaseHTTPRequestHandler) -> bool:
        said = request.headers.get("Authorization", "")
        if self.token and said != "Bearer the-token":
            challenge = f'Bearer realm="http://{self.host}/token",service="test"'
        elif self.basic and said != _basic(*self.basic):
            challenge = 'Basic realm="test"'
        else:
            return True
        self.answer(request, 401, b"{}", {"WWW-Authenticate": challenge})
        return False

    def _give_token(self, request: BaseHTTPRequestHandler) -> None:
        assert self.token is not None
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        self.seen[f"token {query['scope'][0]}"] += 1
        if request.headers.get("Authorization") != _basic(*self.token):
            self.answer(request, 401, b"{}", {})
            return
        self.answer(request, 200, json.dumps({"token": "the-token"}).encode(), {})


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def get_json(host: str, path: str) -> Any:
    """A document of a registry."""
    connection = http.client.HTTPConnection(host, timeout=10)
    accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    connection.request("GET", path, headers={"Accept": accepted})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return json.loads(content)


def get_attached(host: str, repository: str, listed: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Type of each artefact in a list of referrers -> the media type of its document, and the document."""
    found = {}
    for each in listed["manifests"]:
        (layer,) = get_json(host, f"/v2/{repository}/manifests/{each['digest']}")["layers"]
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", f"/v2/{repository}/blobs/{layer['digest']}")
        found[each["artifactType"]] = layer["mediaType"], connection.getresponse().read()
        connection.close()
    return found
