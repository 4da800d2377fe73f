"""HTTP/2: many requests share one connection, and what ends it must not end them."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections import Counter
from pathlib import Path
from typing import Literal

import h2.config
import h2.connection
import h2.events
import pytest

from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings

Mode = Literal["healthy", "goaway", "abort", "reset"]
PROJECTS = 60


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    arguments = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    arguments += ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *arguments], check=True, capture_output=True, cwd=folder)
    return folder


class Server(asyncio.Protocol):
    """Speaks HTTP/2, and HTTP/1.1 to those who ask for it; fails on HTTP/2 as ``mode`` says."""

    def __init__(self, mode: Mode, seen: Counter[str], open_: list[asyncio.Transport]) -> None:
        self.mode = mode
        self.seen = seen
        self.open = open_
        self.requests = 0
        self.dead = False
        self.h2: h2.connection.H2Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open.append(transport)

    def data_received(self, data: bytes) -> None:
        if self.h2 is None:
            if not data.startswith(b"PRI"):
                self.seen["http/1.1"] += 1
                body = self.page(data.split()[1].decode())
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
                self.transport.write(head.encode() + body)
                return
            self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            self.h2.initiate_connection()
        if self.dead:
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.answer(event)
        if not self.dead:
            self.transport.write(self.h2.data_to_send())

    def answer(self, event: h2.events.RequestReceived) -> None:
        assert self.h2 is not None
        assert event.stream_id is not None
        self.requests += 1
        self.seen["h2"] += 1
        if self.dead:
            return
        if self.mode == "reset" and self.requests % 3 == 0:
            self.h2.reset_stream(event.stream_id)
            return
        if self.mode in {"goaway", "abort"} and self.requests > 10:
            self.dead = True
            if self.mode == "goaway":
                self.h2.close_connection(last_stream_id=event.stream_id - 10)
                self.transport.write(self.h2.data_to_send())
                self.transport.close()
            else:
                self.transport.abort()
            return
        path = dict(event.headers or [])[b":path"].decode()
        self.h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/html")])
        self.h2.send_data(event.stream_id, self.page(path), end_stream=True)

    def page(self, path: str) -> bytes:
        name = path.strip("/").split("/")[-1]
        return f'<a href="{name}-1.0-py3-none-any.whl">x</a>'.encode()


@pytest.mark.parametrize("is_named", [True, False], ids=["httpx", "reqwest"])
@pytest.mark.parametrize("mode", ["healthy", "goaway", "abort", "reset"])
def test_every_page_arrives_whatever_becomes_of_the_shared_connection(
    certificate: Path, tmp_path: Path, mode: Mode, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(certificate / "cert.pem")
    monkeypatch.setenv("SSL_CERT_FILE", file)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    seen: Counter[str] = Counter()
    open_: list[asyncio.Transport] = []

    async def work() -> list[int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        context.set_alpn_protocols(["h2", "http/1.1"])
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Server(mode, seen, open_), "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
        trust = {"cert": file} if is_named else {"environ": {"SSL_CERT_FILE": file}}
        settings = IndexSettings(index_url=url, timeout=5, retries=2, backoff=0.01, **trust)
        async with IndexClient(settings, cache_dir=tmp_path) as client:
            files = await asyncio.gather(*(client.project(f"p{number}") for number in range(PROJECTS)))
        server.close()
        for transport in open_:
            transport.abort()
        await asyncio.sleep(0.05)
        return [len(each) for each in files]

    assert asyncio.run(work()) == [1] * PROJECTS
    assert seen["h2"] > 0
    assert (seen["http/1.1"] == 0) == (mode == "healthy")
