"""Everything that a cache remembers of itself carries a checksum, and no damage to it changes what is decided."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.base.sealed import is_sealed
from dataloader.install.store.holdings import holding_of, survey
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython
from dataloader.machine.interpreters import find_interpreters
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.elf import make_library
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an environment of two wheels, one with a library, and a cache that knows all of it."""
    make_wheel(tmp_path / "shelf", "app", "1.0", requires=["native"], files={"app.py": "x = 1\n"})
    library = make_library(tmp_path / "libnative.so", "int native(void) { return 1; }")
    make_wheel(tmp_path / "shelf", "native", "1.0", files={"native/libnative.so": library.read_bytes()})
    with IndexServer(tmp_path / "shelf") as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        monkeypatch.setenv("DATALOADER_CONDA", "never")
        monkeypatch.chdir(tmp_path)
        run("install", "app", "-p", "env")
        run("verify", "-p", "env")
        run("verify", "-p", "env", "--json")
        yield tmp_path


def run(*arguments: str) -> str:
    done = run_command(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def records(cache: Path) -> list[Path]:
    """What is remembered, but for what rattler remembers."""
    found = [each for each in survey(cache) if each.holding and each.holding.stay in {"record", "lock"}]
    return [cache / each.path for each in found if each.holding and each.holding.is_sealed]


def is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        return is_sealed(file)


def test_every_record_is_sealed_from_its_first_byte_to_its_last(here: Path) -> None:
    cache = Path(os.environ["DATALOADER_CACHE_DIR"])
    assert {found.path for found in survey(cache) if found.holding is None} == set()
    make_conda_package(here / "channel", "cpart", "1", files={"share/cpart.txt": "x"})
    index_channel(here / "channel")
    lock = lock_of(read_record(here / "channel", "cpart"), python=LockedPython(source="none"))
    options = replace(options_for(here), cache_dir=cache)
    asyncio.run(sync_prefix(lock, here / "conda-env", options, Reporter(), FolderDownloads()))
    kinds = {holding.kind for path in records(cache) if (holding := holding_of(str(path.relative_to(cache))))}

    assert kinds >= {
        "facts",
        "facts of a prefix",
        "interpreters",
        "metadata",
        "note of a conda package",
        "page",
        "proof",
    }
    assert all(map(is_whole, records(cache)))
    assert json.loads(run("cache", "verify", "--json"))["removed"] == []

    damaged = records(cache)[::3]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    names = {str(path.relative_to(cache)) for path in damaged}
    assert set(json.loads(run("cache", "verify", "--dry-run", "--json"))["removed"]) == names
    assert set(json.loads(run("cache", "verify", "--json"))["removed"]) == names
    assert [path for path in damaged if path.exists()] == []


def test_no_damage_changes_what_is_decided(here: Path) -> None:
    cache = Path(os.environ["DATALOADER_CACHE_DIR"])
    whole = here / "whole"
    shutil.copytree(cache, whole, symlinks=True)

    def decided() -> object:
        return run("verify", "-p", "env"), run("lock", "app"), (here / "dataloader.lock").read_bytes()

    expected = decided()
    for position in (0.1, 0.5, 0.9):
        for path in records(whole):
            data = bytearray(path.read_bytes())
            data[int(position * len(data))] ^= 1
            (cache / path.relative_to(whole)).write_bytes(data)
        assert decided() == expected


def test_one_flip_does_not_choose_another_python(tmp_path: Path) -> None:
    """A digit of a version, say: the memory counts as lost, and the interpreters are asked again."""
    found = find_interpreters(tmp_path)
    memory = tmp_path / "interpreters.json"
    text = memory.read_text()
    version = json.dumps(f'"version": "{found[0].version}"')[1:-1]
    assert version in text
    other = version.replace(found[0].version, "3.99.9"[: len(found[0].version)])
    memory.write_text(text.replace(version, other))

    assert find_interpreters(tmp_path) == found
