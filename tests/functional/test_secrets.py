"""Nothing that is said or written holds a secret: output, -vv tracebacks, events, status, metrics, locks, the cache.

Each secret is planted where people keep them, and the commands are made to fail in ways that talk about addresses.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.helpers.channel_server import Channel, serve
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

URL, NETRC, VARIABLE, PROXY = "s3cret-url", "s3cret-netrc", "s3cret-variable", "s3cret-proxy"
SIGNATURE, TOKEN = "s3cret-signature", "s3cret-token"
SECRETS = (URL, NETRC, VARIABLE, PROXY, SIGNATURE, TOKEN)


class SignedStore(BaseHTTPRequestHandler):
    """An index behind which files lie in an object store: each leads to a signed address, which then fails."""

    wheel: ClassVar[Path]
    fault: ClassVar[str] = "none"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/simple/"):
            body = f'<a href="/files/{self.wheel.name}">{self.wheel.name}</a>'.encode()
            self._send(200, body if "app" in path else b"", {"Content-Type": "text/html"})
        elif "X-Amz-Signature" not in query:
            place = f"/store{path}?X-Amz-Credential=me&X-Amz-Security-Token={TOKEN}&X-Amz-Signature={SIGNATURE}"
            self._send(302, b"", {"Location": place})
        elif self.fault == "loop":
            self._send(302, b"", {"Location": self.path})
        elif self.fault.isdigit():
            self._send(int(self.fault), b"", {})
        else:
            data = self.wheel.read_bytes()
            self._send(200, bytes(len(data)) if self.fault == "corrupt" else data, {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


@dataclass(frozen=True)
class Desk:
    """A directory of its own; everything that a command says or writes is searched for secrets."""

    here: Path
    environ: dict[str, str]

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        outlets = ("--events=events", "--status-file=status", "--metrics-file=metrics.prom")
        env = {**self.environ, **environ, "TMPDIR": str(self.here)}
        done = run_command(*arguments, "-vv", *outlets, cwd=self.here, env=env)
        self.check(done.stdout + done.stderr)
        return done

    def check(self, said: str) -> None:
        found = [secret for secret in SECRETS for text in (secret, _basic(secret)) if text in said]
        assert found == [], said
        for path in self.here.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "netrc":
                data = path.read_bytes()
                leaked = [s for s in SECRETS for text in (s, _basic(s)) if text.encode() in data]
                assert leaked == [], f"{path} holds {leaked}"


def _basic(password: str) -> str:
    return base64.b64encode(f"me:{password}".encode()).decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    here = tmp_path / "here"
    here.mkdir()
    (here / "netrc").write_text(f"machine localhost login me password {NETRC}\n")
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ |= {"NETRC": str(here / "netrc"), "DATALOADER_CONDA": "never", "PIP_RETRIES": "0"}
    return Desk(here, {**environ, "DATALOADER_CACHE_DIR": str(here / "cache")})


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    make_wheel(tmp_path / "shelf", "app", "1.0")
    with IndexServer(tmp_path / "shelf") as server:
        yield server


@pytest.mark.parametrize(
    ("password", "url", "fault", "environ"),
    [
        (URL, "http://me:{password}@127.0.0.1:{port}/simple/", Fault("status", status=500), {}),
        (NETRC, "http://localhost:{port}/simple/", Fault("redirect-loop"), {}),
        (
            VARIABLE,
            "http://127.0.0.1:{port}/simple/",
            Fault("reset"),
            {"DATALOADER_INDEX_USERNAME": "me", "DATALOADER_INDEX_PASSWORD": VARIABLE},
        ),
    ],
    ids=["url", "netrc", "variables"],
)
def test_passwords_serve_and_are_never_shown(
    desk: Desk, index: IndexServer, password: str, url: str, fault: Fault, environ: dict[str, str]
) -> None:
    index.auth = ("me", password)
    address = url.format(password=password, port=index.url.rsplit(":", 1)[1])
    environ = {**environ, "DATALOADER_INDEX_URL": address}

    assert desk.run("lock", "app", **environ).returncode == 0
    assert desk.run("sync", "-p", "env", **environ).returncode == 0
    index.fault("*", fault)
    assert desk.run("sync", "-p", "other", DATALOADER_CACHE_DIR=str(desk.here / "fresh"), **environ).returncode == 3
    index.heal()
    index.auth = ("me", "another")
    assert desk.run("lock", "app", "--refresh", **environ).returncode == 2


@pytest.mark.parametrize(("fault", "code"), [("none", 0), ("403", 2), ("500", 3), ("loop", 3), ("corrupt", 4)])
def test_signed_addresses_of_redirects_are_never_shown(desk: Desk, tmp_path: Path, fault: str, code: int) -> None:
    SignedStore.wheel = make_wheel(tmp_path / "shelf", "app", "1.0")
    SignedStore.fault = "none"
    server = ThreadingHTTPServer(("127.0.0.1", 0), SignedStore)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        environ = {"DATALOADER_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple/"}
        assert desk.run("lock", "app", **environ).returncode == 0
        SignedStore.fault = fault
        fresh = str(desk.here / "fresh")
        done = desk.run("sync", "-p", "env", **{**environ, "DATALOADER_CACHE_DIR": fresh})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == code, done.stderr


def test_a_proxy_with_a_password_is_never_shown(desk: Desk, index: IndexServer) -> None:
    environ = {"HTTP_PROXY": f"http://me:{PROXY}@127.0.0.1:1", "DATALOADER_INDEX_URL": "http://packages.invalid/simple"}

    done = desk.run("lock", "app", **environ)

    assert done.returncode == 3
    assert "packages.invalid" in done.stderr


@pytest.mark.parametrize("password", [URL, NETRC], ids=["url", "netrc"])
def test_secrets_of_channels_serve_and_are_never_shown(desk: Desk, tmp_path: Path, password: str) -> None:
    Channel.folder = tmp_path / "channel"
    Channel.fault = "none"
    root = Channel.folder / "t" / TOKEN / "inner"
    make_conda_package(root, "part", "1", files={"share/part": "x"})
    index_channel(root)
    with serve() as url:
        Channel.auth = f"Basic {_basic(password)}"
        host = f"me:{URL}@127.0.0.1" if password == URL else "localhost"
        channel = url.replace("127.0.0.1", host) + f"t/{TOKEN}/inner"
        arguments = ("-c", channel, "conda:part", "--platform=linux-64")
        locked = desk.run("install", *arguments, "-p", "env", DATALOADER_CONDA="always", DATALOADER_NO_INDEX="1")
        Channel.fault = "500"
        environ = {"DATALOADER_CACHE_DIR": str(desk.here / "fresh"), "DATALOADER_CONDA": "always"}
        failed = desk.run("sync", "-p", "other", **environ)

        assert locked.returncode == 0, locked.stderr
        assert failed.returncode in {2, 3}, failed.stderr
        Channel.fault = "none"
        manifest = f'[workspace]\nchannels = ["{channel}"]\nplatforms = ["linux-64"]\n[dependencies]\npart = "*"\n'
        project = tmp_path / "project"
        project.mkdir()
        (project / "dataloader.toml").write_text(manifest)
        (project / "dataloader.lock").write_bytes((desk.here / "dataloader.lock").read_bytes())
        Channel.asked.clear()
        environ["DATALOADER_MANIFEST"] = str(project / "dataloader.toml")
        again = desk.run("sync", "--frozen", "-p", "third", **environ)

    # The lock names no token; the manifest's channel has it.
    assert again.returncode == 0, again.stderr
    assert Channel.asked == [f"/t/{TOKEN}/inner/linux-64/part-1-0.conda"]
