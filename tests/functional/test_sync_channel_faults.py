"""A conda channel that fails while packages are fetched: which error, and that nothing is installed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError
from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython
from tests.helpers.channel_server import Channel, serve
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import Heard, lock_of, options_for


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    Channel.folder = tmp_path / "channel"
    make_conda_package(Channel.folder, "part", "1", files={"share/part": os.urandom(100_000)})
    index_channel(Channel.folder)
    with serve() as url:
        yield url


def sync(tmp_path: Path, url: str, reporter: Reporter | None = None, **mirrors: tuple[str, ...]) -> None:
    record = read_record(tmp_path / "channel", "part", url=url)
    lock = lock_of(record, python=LockedPython(source="none"))
    settings = IndexSettings(index_url=None, retries=0, backoff=0.01, timeout=1, mirrors={url: mirrors.get("at", ())})

    async def run() -> None:
        async with IndexClient(settings, reporter, cache_dir=tmp_path / "cache") as client:
            await sync_prefix(lock, tmp_path / "env", options_for(tmp_path), reporter or Heard(), client.download)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "code", "exit_code"),
    [
        ("404", "index-unreachable", 3),
        ("403", "channel-unavailable", 3),
        ("500", "index-unreachable", 3),
        ("truncated", "download-truncated", 3),
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


@pytest.mark.parametrize("fault", ["404", "403", "500", "truncated", "corrupt", "stall"])
def test_mirrors_are_tried_in_order_and_the_channel_last(tmp_path: Path, server: str, fault: str) -> None:
    Channel.fault = "500"
    heard = Heard()

    sync(tmp_path, server, heard, at=(f"{server}mirror-{fault}/", f"{server}mirror-none/"))

    assert (tmp_path / "env/share/part").stat().st_size == 100_000
    archive = "linux-64/part-1-0.conda"
    assert list(dict.fromkeys(Channel.asked)) == [f"/mirror-{fault}/{archive}", f"/mirror-none/{archive}"]
    record = json.loads((tmp_path / "env/conda-meta/part-1-0.json").read_text())
    assert record["url"] == server + archive
    (downloaded,) = (facts for event, facts in heard.events if event == "downloaded")
    assert (downloaded["address"], downloaded["mirror"]) == (f"{server}mirror-none/{archive}", True)
    (package,) = (facts for event, facts in heard.events if event == "package")
    assert (package["kind"], package["package"], package["source"]) == ("conda", "part", "network")


def test_records_name_archive_and_address_as_the_channel_does(tmp_path: Path, server: str) -> None:
    Channel.fault = "none"
    archive = make_conda_package(Channel.folder, "part", "1!2.0", files={"share/part": "of an epoch"})
    archive_of_old = Channel.folder / "linux-64" / "part-1-0.conda"
    archive_of_old.unlink()
    index_channel(Channel.folder)

    sync(tmp_path, server)

    (path,) = (tmp_path / "env/conda-meta").glob("part-*.json")
    record = json.loads(path.read_bytes())
    assert (archive.name, record["fn"]) == ("part-1!2.0-0.conda", "part-1!2.0-0.conda")
    assert record["url"].replace("%21", "!") == f"{server}linux-64/part-1!2.0-0.conda"


def test_archives_are_gone_when_they_are_unpacked(tmp_path: Path, server: str) -> None:
    Channel.fault = "none"

    sync(tmp_path, server)

    assert list((tmp_path / "cache/downloads").iterdir()) == []
    assert [path.name for path in (tmp_path / "cache/pkgs").iterdir() if path.is_dir()] == ["part-1-0"]


def test_many_syncs_fetch_an_archive_once(tmp_path: Path, server: str) -> None:
    Channel.fault = "none"
    lock = lock_of(read_record(tmp_path / "channel", "part", url=server), python=LockedPython(source="none"))
    settings = IndexSettings(index_url=None)

    async def run() -> None:
        async with IndexClient(settings, cache_dir=tmp_path / "cache") as client:
            options = options_for(tmp_path)
            work = [sync_prefix(lock, tmp_path / name, options, Heard(), client.download) for name in "abcd"]
            await asyncio.gather(*work)

    asyncio.run(run())

    assert Channel.asked == ["/linux-64/part-1-0.conda"]
    assert [(tmp_path / name / "share/part").stat().st_size for name in "abcd"] == [100_000] * 4
