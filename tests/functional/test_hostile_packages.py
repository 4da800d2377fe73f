"""Hostile packages of both worlds: nothing outside the prefix and the cache changes, and nothing of them stays."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.digests import LARGE
from dataloader.base.errors import DataloaderError, ExitCode
from dataloader.base.files import remove_tree
from dataloader.base.reporter import Reporter
from dataloader.install.store.caches import verify_cache
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile
from dataloader.machine.detect import detect_target
from dataloader.prefix.state import read_state
from dataloader.verify import verify_prefix
from tests.helpers.hostile import (
    CondaArchive,
    Outside,
    Verdict,
    as_conda,
    as_wheel,
    conda_only,
    links_out,
    wheel_only,
    wishes,
)
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.wheels import make_wheel

WISHES = {wish.name: wish for wish in wishes()}
CASES = {case.name: case for case in conda_only()}
WHEELS = {case.name: case for case in wheel_only()}
NO_PYTHON = LockedPython(source="none")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return Outside(tmp_path, tmp_path / "env", tmp_path / "cache")


def sync(lock: Lockfile, tmp_path: Path, heard: Heard | None = None, **changes: object) -> DataloaderError | None:
    options = options_for(tmp_path, **changes)
    try:
        asyncio.run(sync_prefix(lock, tmp_path / "env", options, heard or Heard(), FolderDownloads()))
    except DataloaderError as error:
        return error
    return None


def judge(outside: Outside, verdict: Verdict, lock: Lockfile, good: Lockfile) -> None:
    """Sync what is hostile, then something good into the same place."""
    tmp_path = outside.root
    outside.remember()

    error = sync(lock, tmp_path)

    assert outside.changes() == []
    if error is not None:
        allowed = {ExitCode.INTEGRITY, ExitCode.USAGE} if verdict == "harmless" else {ExitCode.INTEGRITY}
        assert error.exit_code in allowed, (error.code, error.message, error.causes)
        assert not (tmp_path / "env").exists()
        if len(lock.packages) == 1 and verdict == "refused":  # else each alone may be good
            assert left(tmp_path / "cache") == []
    else:
        assert verdict == "harmless"
        assert links_out(tmp_path / "env") == []
        json.loads((tmp_path / "env/.dataloader/state.json").read_bytes())
        assert verify_cache(tmp_path / "cache", Reporter(), dry_run=True).names == ()
        assert sync(lock, tmp_path) is None
    assert sync(good, tmp_path) is None
    assert outside.changes() == []


def left(cache: Path) -> list[str]:
    """What a cache holds of hostile packages, but for those that only came along."""
    found = [*cache.glob("pkgs/.*"), *cache.glob("pkgs/evil*"), *cache.glob("wheels/*/*"), *cache.glob("downloads/*")]
    return sorted(path.name for path in found if path.name != ".cache.lock")


def good_conda(channel: Path, outside: Outside) -> Lockfile:
    return lock_of(CondaArchive(name="good").add("share/good").write(channel, outside.folder), python=NO_PYTHON)


def conda_lock(archives: list[CondaArchive], outside: Outside) -> Lockfile:
    packages: list[CondaPackage] = [archive.write(outside.root / "channel", outside.folder) for archive in archives]
    return lock_of(*packages, python=NO_PYTHON)


@pytest.mark.parametrize("name", WISHES)
def test_wish_of_a_wheel(outside: Outside, name: str) -> None:
    wish = WISHES[name]
    wheel = as_wheel(wish, outside.root / "wheels", outside.folder)
    good = lock_of(make_wheel(outside.root / "wheels", "good", "1"))

    judge(outside, wish.in_wheels or wish.verdict, lock_of(wheel), good)


@pytest.mark.parametrize("name", WISHES)
def test_wish_of_a_conda_package(outside: Outside, name: str) -> None:
    wish = WISHES[name]
    good = good_conda(outside.root / "channel", outside)

    judge(outside, wish.verdict, conda_lock([as_conda(wish)], outside), good)


@pytest.mark.parametrize("name", WHEELS)
def test_what_only_a_wheel_can_say(outside: Outside, name: str) -> None:
    wheel = WHEELS[name].make(outside.root / "wheels", outside.folder)
    good = lock_of(make_wheel(outside.root / "wheels", "good", "1"))

    judge(outside, WHEELS[name].verdict, lock_of(wheel), good)


def test_there_are_at_least_eighty_kinds_in_each_world() -> None:
    assert min(len(WISHES) + len(WHEELS), len(WISHES) + len(CASES), len(WISHES)) >= 80


@pytest.mark.parametrize("depth", [1500, 3000])
def test_folders_in_folders_without_end_are_carried_over_and_removed(outside: Outside, depth: int) -> None:
    """What people make in an environment has no limits of ours."""
    first, second = (lock_of(make_wheel(outside.root / "wheels", "good", version)) for version in "12")
    assert sync(first, outside.root) is None
    here = Path.cwd()
    try:
        os.chdir(outside.root / "env")
        for _ in range(depth):
            Path("n").mkdir()
            os.chdir("n")
        Path("mine").write_text("kept")
    finally:
        os.chdir(here)

    error = sync(second, outside.root)

    if depth > 2000:  # no path of it can be named, so nothing is changed
        assert error is not None
        assert error.code == "prefix-io"
    else:
        assert error is None
        assert Path(outside.root / "env", *["n"] * depth, "mine").read_text() == "kept"
    assert remove_tree(outside.root / "env")


@pytest.mark.parametrize("name", CASES)
def test_what_only_a_conda_package_can_say(outside: Outside, name: str) -> None:
    case = CASES[name]
    good = good_conda(outside.root / "channel", outside)

    judge(outside, case.verdict, conda_lock(list(case.archives), outside), good)


@pytest.mark.parametrize("name", [name for name, wish in WISHES.items() if wish.links])
def test_links_of_an_old_archive(outside: Outside, name: str) -> None:
    archive = replace(as_conda(WISHES[name]), format="tar.bz2")
    good = good_conda(outside.root / "channel", outside)

    judge(outside, WISHES[name].verdict, conda_lock([archive], outside), good)


def slipped(outside: Outside, size: int = 1) -> Lockfile:
    """A conda package whose own record has other hashes and sizes of two of its three files."""
    archive = CondaArchive().add("share/true").add("share/y", size_in_bytes=7)
    return conda_lock([archive.add("share/z", b"x" * size, sha256="00" * 32)], outside)


def test_a_slip_of_a_conda_package_is_told_and_its_record_is_made_true(outside: Outside) -> None:
    heard = Heard()

    assert sync(slipped(outside), outside.root, heard) is None

    (warning,) = heard.warnings
    assert "evil 1.0 differs from its own info/paths.json in share/y and 1 more" in warning
    state = read_state(outside.root / "env")
    assert state is not None
    assert state.slips == {
        "share/y": {"published": "7 bytes", "installed": "1 bytes"},
        "share/z": {"published": "00" * 32, "installed": hashlib.sha256(b"x").hexdigest()},
    }
    found = verify_prefix(outside.root / "env", target=detect_target()).findings
    assert [(each.severity, each.kind) for each in found] == [("note", "record-differs")] * 2
    again = Heard()
    assert sync(slipped(outside), outside.root, again, rebuild=True) is None
    assert again.warnings == heard.warnings


@pytest.mark.parametrize("in_cache", [False, True])
def test_strict_records_refuse_a_conda_package_too(outside: Outside, in_cache: bool) -> None:
    lock = slipped(outside, LARGE + 1)
    if in_cache:
        assert sync(lock, outside.root) is None
        (outside.root / "env").rename(outside.root / "before")

    error = sync(lock, outside.root, strict_records=True)

    assert error is not None
    assert (error.code, error.exit_code) == ("conda-record-mismatch", 4)
    assert error.causes == ("evil 1.0: share/y", "evil 1.0: share/z")


def test_a_link_to_the_systems_drivers_is_installed_and_told(outside: Outside) -> None:
    """As conda-forge's ocl-icd-system has it; when it goes, what it leads to stays."""
    path, target = "etc/OpenCL/vendors/ocl-icd-system", "/etc/OpenCL/vendors"
    heard = Heard()

    assert sync(conda_lock([CondaArchive().add_link(path, target)], outside), outside.root, heard) is None

    assert str((outside.root / "env" / path).readlink()) == target
    assert heard.warnings == [f"evil has the link {path} to {target}, outside of the environment."]
    assert sync(good_conda(outside.root / "channel", outside), outside.root) is None
    assert not os.path.lexists(outside.root / "env" / path)
