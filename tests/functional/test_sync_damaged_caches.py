"""What is damaged in a cache is found when it is about to be used, and made anew; it is never installed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython, Lockfile
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.wheels import make_wheel

GOOD = "value = 'good'\n"


@pytest.fixture
def lock(tmp_path: Path) -> Lockfile:
    make_conda_package(tmp_path / "channel", "cpart", "1", files={"share/cpart.txt": GOOD, "share/more.txt": "more"})
    index_channel(tmp_path / "channel")
    wheel = make_wheel(tmp_path / "wheels", "wpart", "1", files={"wpart.py": GOOD})
    return lock_of(wheel, read_record(tmp_path / "channel", "cpart"))


def sync(lock: Lockfile, tmp_path: Path, **options: object) -> Heard:
    heard = Heard()
    subprocess.run(["rm", "-rf", tmp_path / "env"], check=True)
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path, **options), heard, FolderDownloads()))
    return heard


def contents(tmp_path: Path) -> list[str]:
    (module,) = (tmp_path / "env").rglob("wpart.py")
    return [module.read_text(), (tmp_path / "env/share/cpart.txt").read_text()]


def flip(path: Path) -> None:
    """Change one bit; the size stays, the time does not."""
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "pattern",
    [
        "wheels/*/*/files/wpart.py",
        "wheels/*/*/files/wpart-1.dist-info/METADATA",
        "wheels/*/*/recipe",
        "pkgs/cpart-1-0/share/cpart.txt",
        "pkgs/cpart-1-0/info/paths.json",
        "pkgs/cpart-1-0/info/index.json",
    ],
)
@pytest.mark.parametrize("harm", [flip, os.unlink])
def test_damage_is_found_and_healed(lock: Lockfile, tmp_path: Path, pattern: str, harm: object) -> None:
    sync(lock, tmp_path)
    (victim,) = (tmp_path / "cache").glob(pattern)
    before = victim.read_bytes()
    assert callable(harm)
    harm(victim)

    sync(lock, tmp_path)

    assert contents(tmp_path) == [GOOD, GOOD]
    (healed,) = (tmp_path / "cache").glob(pattern)
    assert healed.read_bytes() == before or "recipe" in pattern
    assert sync(lock, tmp_path, offline=True).warnings == []


def test_file_changed_in_place_in_an_environment_does_not_reach_the_next_one(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path)
    for path in [*(tmp_path / "env").rglob("wpart.py"), tmp_path / "env/share/cpart.txt"]:
        path.write_text("value = 'bad!'\n")

    sync(lock, tmp_path)

    assert contents(tmp_path) == [GOOD, GOOD]


def test_damage_in_a_read_only_layer_is_passed_over(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path)
    layer = (tmp_path / "cache").rename(tmp_path / "layer")
    for pattern in ("wheels/*/*/files/wpart.py", "pkgs/cpart-1-0/share/cpart.txt"):
        (victim,) = layer.glob(pattern)
        flip(victim)

    heard = sync(lock, tmp_path, layers=(layer,))

    assert contents(tmp_path) == [GOOD, GOOD]
    assert len(heard.warnings) == 2


def test_damage_without_a_network_is_an_error_and_not_installed(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path)
    (victim,) = (tmp_path / "cache").glob("wheels/*/*/files/wpart.py")
    flip(victim)

    with pytest.raises(IndexUnavailable) as refusal:
        sync(lock, tmp_path, offline=True)

    assert refusal.value.code == "offline-missing"
    assert not (tmp_path / "env").exists()


def test_touched_but_unchanged_entries_are_used(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path)
    for path in (tmp_path / "cache").rglob("*part*"):
        os.utime(path, (1, 1))

    assert sync(lock, tmp_path, offline=True).warnings == []
    assert contents(tmp_path) == [GOOD, GOOD]


def test_same_build_from_another_archive_is_not_taken_from_the_cache(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path)
    make_conda_package(tmp_path / "other", "cpart", "1", files={"share/cpart.txt": "other"})
    index_channel(tmp_path / "other")

    sync(lock_of(read_record(tmp_path / "other", "cpart"), python=LockedPython(source="none")), tmp_path)

    assert (tmp_path / "env/share/cpart.txt").read_text() == "other"
