"""The network edge against the real index."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion

from dataloader.index.client import IndexClient
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.pages.any_html import slow_links
from dataloader.index.pages.simple import ACCEPT, parse_page, plain_links
from dataloader.index.settings import DEFAULT_INDEX, IndexSettings

pytestmark = pytest.mark.pypi


@pytest.fixture(scope="module", autouse=True)
def reachable() -> None:
    try:
        httpx.head(f"{DEFAULT_INDEX}/six/", timeout=10)
    except httpx.HTTPError as error:
        pytest.skip(f"no package index can be reached: {error}")


def test_torch_of_2023_needs_the_cuda_wheels_that_its_metadata_names(tmp_path: Path) -> None:
    async def work() -> tuple[WheelMetadata, list[IndexFile]]:
        async with IndexClient(IndexSettings(environ=dict(os.environ)), cache_dir=tmp_path) as client:
            files = [file for file in await client.project("torch") if file.version == "2.1.0"]
            (wheel,) = (file for file in files if file.tags == ("cp311", "cp311", "manylinux1_x86_64"))
            return await client.metadata(wheel), files

    metadata, files = asyncio.run(work())

    assert any(line.startswith("nvidia-cudnn-cu12") and "==8.9.2.26" in line for line in metadata.requires_dist)
    assert metadata.requires_python == ">=3.8.0"
    assert all(file.sha256 for file in files)


@pytest.mark.parametrize("project", ["numpy", "pyyaml", "lxml"])
def test_real_pages_are_read_alike_by_both_readers_and_named_as_packaging_names_them(project: str) -> None:
    url = f"{DEFAULT_INDEX}/{project}/"
    response = httpx.get(url, headers={"Accept": ACCEPT}, follow_redirects=True)
    kind = response.headers["content-type"]
    if "html" in kind:
        assert (None, list(plain_links(response.text))) == slow_links(response.text)

    page = parse_page(response.content, kind, url, project=project, index=DEFAULT_INDEX)

    assert len(page.files) > 100
    for file in page.files:
        name, version = (
            parse_wheel_filename(file.filename)[:2] if file.kind == "wheel" else parse_sdist_filename(file.filename)
        )
        assert (file.name, file.version) == (name, str(version))
    for filename in page.skipped:
        with pytest.raises((InvalidWheelFilename, InvalidSdistFilename, InvalidVersion)):
            parse_wheel_filename(filename) if filename.endswith(".whl") else parse_sdist_filename(filename)
