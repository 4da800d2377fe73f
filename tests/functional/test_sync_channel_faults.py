"""A conda channel that fails while packages are fetched: which error, and that nothing is installed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from dataloader.errors import DataloaderError
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for


class Channel(BaseHTTPRequestHandler):
    """Serves a folder in one of several bad ways."""

    folder: ClassVar[Path]
    fault: ClassVar[str]

    def do_GET(self) -> None:
        if self.fault.isdigit():
            self.send_error(int(self.fault))
            return
        data = (self.folder / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.fault == "truncated":
            self.wfile.write(data[:1000])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(data if self.fault == "none" else data[:2000] + bytes(100) + data[2100:])

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    Channel.folder = tmp_path / "channel"
    make_conda_package(Channel.folder, "part", "1", files={"share/part": os.urandom(100_000)})
    index_channel(Channel.folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Channel)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def sync(tmp_path: Path, url: str) -> None:
    record = read_record(tmp_path / "channel", "part", url=url)
    lock = lock_of(record, python=LockedPython(source="none"))
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Heard(), FolderDownloads()))


@pytest.mark.parametrize(
    ("fault", "code", "exit_code"),
    [
        ("404", "channel-unavailable", 3),
        ("403", "channel-unavailable", 3),
        ("500", "channel-unavailable", 3),
        ("truncated", "channel-unavailable", 3),
        ("corrupt", "hash-mismatch", 4),
    ],
)
def test_fault_is_told_and_nothing_is_installed(
    tmp_path: Path, server: str, fault: str, code: str, exit_code: int
) -> None:
    Channel.fault = fault

    with pytest.raises(DataloaderError) as failure:
        sync(tmp_path, server)

    assert (failure.value.code, failure.value.exit_code) == (code, exit_code)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "channel"]

    Channel.fault = "none"
    sync(tmp_path, server)
    assert (tmp_path / "env/share/part").stat().st_size == 100_000


def test_credentials_in_an_address_are_not_repeated(tmp_path: Path, server: str) -> None:
    Channel.fault = "404"

    with pytest.raises(DataloaderError) as failure:
        sync(tmp_path, server.replace("http://", "http://user:secret@") + "t/token-123/")

    said = failure.value.message + " ".join(failure.value.causes)
    assert "secret" not in said
    assert "token-123" not in said
