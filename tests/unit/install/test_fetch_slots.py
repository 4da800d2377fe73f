"""How many archives are fetched at once."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.index.web.part import Sink
from dataloader.install.model import SyncOptions
from dataloader.install.store import fetch
from dataloader.install.store.fetch import Archives
from dataloader.lockfile.model import PypiPackage

COUNT = 12
MOST = 6


def most_at_once(cache: Path) -> int:
    """The largest number of downloads under way together, each of which takes a second."""
    under_way = most = 0

    async def download(
        url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1)
        destination.write_bytes(b"x")
        under_way -= 1

    async def run() -> None:
        options = SyncOptions(cache_dir=cache, downloads=MOST)
        packages = [
            PypiPackage(name=f"p{n}", version="1", url=f"https://example.org/p{n}-1-py3-none-any.whl", sha256="0" * 64)
            for n in range(COUNT)
        ]
        archives = Archives(options, Reporter(), download, "download", packages)
        try:
            await asyncio.gather(*(archives.bring(p, archives.folder / p.name) for p in packages))
        finally:
            archives.close()

    asyncio.run(run())
    return most


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_more_are_fetched_at_once_while_the_processors_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_LOOK", 0.05)
    assert most_at_once(tmp_path) == MOST


def test_no_more_than_processors_while_they_are_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 2 * time.monotonic())
    assert most_at_once(tmp_path) == 2
