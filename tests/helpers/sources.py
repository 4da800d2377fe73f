"""Source archives of projects, which hold true files to test with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.index.client import IndexClient
from dataloader.index.settings import index_settings


def fetch_source(project: str, file_name: str, sha256: str, folder: Path) -> Path:
    """The archive of that name and hash, in ``folder``; the test is skipped where no index can be reached."""
    archive = folder / file_name

    async def fetch() -> None:
        async with IndexClient(index_settings({}, {}, os.environ), cache_dir=folder / "cache") as client:
            (file,) = [each for each in await client.project(project) if each.filename == file_name]
            await client.download(file.url, sha256, file.size, archive)

    try:
        asyncio.run(fetch())
    except (IndexUnavailable, httpx.HTTPError) as error:
        pytest.skip(f"no package index can be reached: {error}")
    return archive
