"""The caches are looked after: sizes, damage, what nobody uses."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.install.store.caches import cache_entries, prune_cache, verify_cache
from dataloader.install.sync import sync_prefix
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import make_wheel


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of one wheel and one conda package, both in use by ``env``."""
    make_conda_package(tmp_path / "channel", "cpart", "1", files={"share/cpart.txt": "x" * 5000})
    index_channel(tmp_path / "channel")
    wheel = make_wheel(tmp_path / "wheels", "wpart", "1", files={"wpart.py": "y" * 5000})
    lock = lock_of(wheel, read_record(tmp_path / "channel", "cpart"))
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Reporter(), FolderDownloads()))
    return tmp_path / "cache"


def test_entries_say_their_size_and_use(cache: Path) -> None:
    entries = list(cache_entries(cache))

    assert [(entry.kind, entry.name, entry.in_use) for entry in entries] == [
        ("pypi", "wpart 1", True),
        ("conda", "cpart-1-0", True),
    ]
    assert all(entry.size >= 5000 for entry in entries)


def test_whole_cache_loses_nothing(cache: Path) -> None:
    assert verify_cache(cache, Reporter()).names == ()
    assert len(list(cache_entries(cache))) == 2


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("wheels/*/*/files/wpart.py", "wpart 1"),
        ("wheels/*/*/recipe", ""),
        ("pkgs/cpart-1-0/share/cpart.txt", "cpart-1-0"),
    ],
)
def test_damage_is_found_by_content_alone(cache: Path, pattern: str, name: str) -> None:
    import os

    (victim,) = cache.glob(pattern)
    status = victim.stat()
    victim.write_bytes(b"z" + victim.read_bytes()[1:])
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))

    removed = verify_cache(cache, Reporter())

    assert len(removed.names) == 1
    assert name in removed.names[0]
    assert len(list(cache_entries(cache))) == 1


def test_prune_keeps_what_environments_share(cache: Path, tmp_path: Path) -> None:
    assert prune_cache(cache).names == ()

    shutil.rmtree(tmp_path / "env")
    removed = prune_cache(cache)

    assert removed.names == ("wpart 1", "cpart-1-0")
    assert removed.size >= 10_000
    assert list(cache_entries(cache)) == []


def test_prune_of_everything_leaves_environments_whole(cache: Path, tmp_path: Path) -> None:
    prune_cache(cache, everything=True)

    assert list(cache_entries(cache)) == []
    assert (tmp_path / "env/share/cpart.txt").read_text() == "x" * 5000
