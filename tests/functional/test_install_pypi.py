"""Wheels of the real index on a packed conda interpreter: install, import, upgrade, remove, reinstall."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.model import IndexFile
from dataloader.index.settings import DEFAULT_INDEX, IndexSettings
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython, PypiPackage
from dataloader.prefix.state import installed
from tests.helpers.conda import index_channel, make_python_package, read_record
from tests.helpers.locks import lock_of, options_for

pytestmark = pytest.mark.pypi

VERSION = "{}.{}.{}".format(*sys.version_info[:3])


@pytest.fixture(scope="module", autouse=True)
def reachable() -> None:
    try:
        httpx.head(f"{DEFAULT_INDEX}/six/", timeout=10)
    except httpx.HTTPError as error:
        pytest.skip(f"no package index can be reached: {error}")


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_python_package(folder)
    index_channel(folder)
    return folder


async def locked(client: IndexClient, name: str, version: str) -> PypiPackage:
    """The best wheel of a version for this machine, as a lock has it."""
    ranks = {tag: rank for rank, tag in enumerate(sys_tags())}

    def rank(file: IndexFile) -> int:
        return min((ranks[tag] for tag in parse_wheel_filename(file.filename)[3] if tag in ranks), default=10**9)

    files = [file for file in await client.project(name) if file.version == version and file.kind == "wheel"]
    best = min(files, key=rank)
    digest = best.sha256 or await client.digest(best)
    return PypiPackage(name=name, version=version, url=best.url, sha256=digest, size=best.size)


def test_real_wheels_come_go_and_come_back(channel: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    python = read_record(channel, "python")
    first = {"numpy": "2.1.3", "pyyaml": "6.0.2", "markupsafe": "3.0.2", "pygments": "2.18.0"}
    second = {**first, "pygments": "2.19.1"}
    del second["markupsafe"]

    async def work(pins: dict[str, str]) -> None:
        settings = IndexSettings(environ=dict(os.environ))
        async with IndexClient(settings, cache_dir=tmp_path / "cache") as client:
            wheels = [await locked(client, name, version) for name, version in pins.items()]
            lock = lock_of(python, *wheels, python=LockedPython(source="conda", version=VERSION))
            await sync_prefix(lock, prefix, options_for(tmp_path), Reporter(), client.download)

    for pins in (first, second, first):
        asyncio.run(work(pins))

        assert {p.name: p.version for p in installed(prefix).packages if p.kind == "pypi"} == pins
        code = "import numpy, yaml, yaml._yaml, pygments; print(numpy.ones(3).sum(), pygments.__version__)"
        assert run(prefix, "python", "-c", code) == f"3.0 {pins['pygments']}"
        assert run(prefix, "pygmentize", "-V").split()[2].strip(",") == pins["pygments"]
        found = "import importlib.util as u; print(u.find_spec('markupsafe') is not None)"
        assert run(prefix, "python", "-c", found) == str("markupsafe" in pins)


def run(prefix: Path, *command: str) -> str:
    line = [str(prefix / "bin" / command[0]), *command[1:]]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60, env={}).stdout.strip()
