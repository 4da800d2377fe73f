"""The caches are looked after: sizes, damage, what nobody uses."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.install.conda.cache import entry_name
from dataloader.install.store import pruning
from dataloader.install.store.caches import cache_entries, verify_cache
from dataloader.install.store.holdings import DAY
from dataloader.install.store.leftovers import take_out
from dataloader.install.store.pruning import Pruned, prune_cache
from dataloader.install.store.users import InUse
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import make_wheel


@pytest.fixture
def lock(tmp_path: Path) -> Lockfile:
    make_conda_package(tmp_path / "channel", "cpart", "1", files={"share/cpart.txt": "x" * 5000})
    index_channel(tmp_path / "channel")
    wheel = make_wheel(tmp_path / "wheels", "wpart", "1", files={"wpart.py": "y" * 5000})
    return lock_of(wheel, read_record(tmp_path / "channel", "cpart"))


@pytest.fixture
def cache(tmp_path: Path, lock: Lockfile) -> Path:
    """A cache of one wheel and one conda package, both in use by ``env``."""
    sync(lock, tmp_path)
    return tmp_path / "cache"


def sync(lock: Lockfile, tmp_path: Path) -> None:
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Reporter(), FolderDownloads()))


def grow_old(cache: Path, days: float = 3) -> None:
    """As if nobody had touched anything of a cache for so long."""
    for path in cache.rglob("*"):
        status = path.lstat()
        then = status.st_mtime_ns - int(days * DAY * 1e9)
        if path.is_dir():
            os.utime(path, ns=(then, then))


def left(cache: Path) -> list[str]:
    """The files of a cache."""
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if not path.is_dir())


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
    (victim,) = cache.glob(pattern)
    status = victim.stat()
    victim.write_bytes(b"z" + victim.read_bytes()[1:])
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))

    removed = verify_cache(cache, Reporter())

    assert len(removed.names) == 1
    assert name in removed.names[0]
    assert len(list(cache_entries(cache))) == 1


def reasons(pruned: Pruned) -> dict[str, str]:
    return {each.name: each.why for each in (*pruned.removed, *pruned.kept)}


def test_prune_keeps_what_environments_share(cache: Path) -> None:
    grow_old(cache)
    pruned = prune_cache(cache)

    assert pruned.names == ()
    assert reasons(pruned) == dict.fromkeys(("wpart 1", "cpart-1-0"), "an environment shares files with it")


def test_prune_keeps_for_a_day_what_a_sync_used(cache: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "env")
    grow_old(cache, days=0.9)
    pruned = prune_cache(cache)
    assert pruned.names == ()
    assert reasons(pruned) == dict.fromkeys(("wpart 1", "cpart-1-0"), "a sync used it within a day")

    grow_old(cache)
    told = prune_cache(cache, dry_run=True)
    assert told.names == ("wpart 1", "cpart-1-0")
    assert len(list(cache_entries(cache))) == 2
    pruned = prune_cache(cache)

    assert pruned == told
    assert pruned.size >= 10_000
    assert list(cache_entries(cache)) == []
    assert left(cache) == ["pkgs/.cache.lock"]


def test_a_sync_that_uses_a_package_makes_it_young(cache: Path, tmp_path: Path, lock: Lockfile) -> None:
    grow_old(cache)
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(tmp_path / "env")
    sync(lock, tmp_path)
    shutil.rmtree(tmp_path / "env")

    assert prune_cache(cache).names == ()


@pytest.mark.parametrize("everything", [False, True])
def test_prune_keeps_what_a_running_sync_needs(cache: Path, tmp_path: Path, lock: Lockfile, everything: bool) -> None:
    (wheel,), (conda,) = lock.pypi(), lock.conda()
    shutil.rmtree(tmp_path / "env")
    grow_old(cache)
    (cache / "downloads" / f"{wheel.sha256}.whl").write_text("half")

    with InUse(cache, [wheel.sha256, entry_name(conda)]):
        pruned = prune_cache(cache, everything=everything)
        assert pruned.names == ()
        names = ("wpart 1", "cpart-1-0", f"{wheel.sha256}.whl")
        assert reasons(pruned).items() >= dict.fromkeys(names, "a running sync needs it").items()

    assert len(prune_cache(cache).removed) == 2


def test_a_sync_that_begins_at_the_last_moment_gets_its_package_back(
    cache: Path, tmp_path: Path, lock: Lockfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of a sync is written between the judgement and the removal."""
    (wheel,), (conda,) = lock.pypi(), lock.conda()
    shutil.rmtree(tmp_path / "env")
    grow_old(cache)
    note = InUse(cache, [wheel.sha256, entry_name(conda)])

    with ExitStack() as sync:
        monkeypatch.setattr(
            pruning, "take_out", lambda path, doubt: (sync.enter_context(note), take_out(path, doubt))[1]
        )
        pruned = prune_cache(cache)

    assert pruned.names == ()
    assert len(list(cache_entries(cache))) == 2
    assert verify_cache(cache, Reporter()).names == ()


def test_notes_of_the_dead_hold_nothing(cache: Path, tmp_path: Path, lock: Lockfile) -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    with InUse(cache, [lock.pypi()[0].sha256]):
        (note,) = (cache / "users").iterdir()
        dead = note.with_name(note.name.replace(f".{os.getpid()}-", f".{done.pid}-"))
        shutil.copy(note, dead)
    elsewhere = dead.with_name(f"{dead.name[:-8]}{'0' * 8}")
    shutil.copy(dead, elsewhere)
    assert prune_cache(cache, everything=True).names == ("cpart-1-0", dead.name)  # elsewhere may be alive

    os.utime(elsewhere, (1, 1))

    assert prune_cache(cache, everything=True).names == ("wpart 1", elsewhere.name)
    assert left(cache) == ["pkgs/.cache.lock"]


def test_what_is_not_ours_stays_and_is_named(cache: Path, tmp_path: Path) -> None:
    for name in ("notes.txt", "pkgs/README", "wheels/zz/file", "old/thing"):
        (cache / name).parent.mkdir(exist_ok=True)
        (cache / name).write_text("mine")
        os.utime(cache / name, (1, 1))

    pruned = prune_cache(cache, everything=True)

    assert pruned.unknown == ("notes.txt", "old", "pkgs/README", "wheels/zz")
    assert (cache / "wheels/zz/file").read_text() == "mine"


def test_what_cannot_be_removed_is_said(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "rename", refuse)

    pruned = prune_cache(cache, everything=True)

    assert pruned.names == ()
    assert set(reasons(pruned).values()) == {"it cannot be removed: Permission denied"}


def test_prune_of_everything_leaves_environments_whole(cache: Path, tmp_path: Path) -> None:
    prune_cache(cache, everything=True)

    assert list(cache_entries(cache)) == []
    assert (tmp_path / "env/share/cpart.txt").read_text() == "x" * 5000


def test_what_is_left_over_and_cannot_be_removed_is_not_said_to_be_gone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "learned-1").mkdir()
    (cache / "learned-1" / "note").write_text("of an earlier version")
    os.utime(cache / "learned-1", (1, 1))
    assert "learned-1" in prune_cache(cache, dry_run=True).names
    monkeypatch.setattr(pruning, "remove", lambda path: None)

    pruned = prune_cache(cache)

    assert "learned-1" not in pruned.names
    assert reasons(pruned)["learned-1"].endswith(", and cannot be removed")
    monkeypatch.undo()
    assert "learned-1" in prune_cache(cache).names
    assert not (cache / "learned-1").exists()
