"""Environments without a manifest: each keeps its own lock and what it was asked for, wherever a command is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("one", "two", "three"):
        for version in ("1.0", "2.0"):
            make_wheel(tmp_path / "shelf", name, version, files={f"{name}.py": f"V = '{version}'\n"})
    with IndexServer(tmp_path / "shelf") as index:
        yield Desk(here, index)


def held(desk: Desk, prefix: str | None = None) -> dict[str, str]:
    packages = desk.json("list", *(["-p", prefix] if prefix else []))["packages"]
    return {package["name"]: package["version"] for package in packages}


@pytest.mark.parametrize("first", [[], ["-p", "env"]])
def test_another_environment_does_not_take_over_the_lock(first: list[str], desk: Desk) -> None:
    desk.ok("install", "one", *first)
    before = desk.lock.read_bytes()

    error = desk.fails(2, "lock-of-another", "install", "two", "-p", "other")

    assert "one" in error["message"]
    assert desk.lock.read_bytes() == before
    assert not (desk.here / "other").exists()
    desk.ok("install", "two", "-p", "other", *error["suggestions"][0].split(": ")[1].split())
    desk.ok("install", "three", "-p", "other")
    assert held(desk, "other") == {"two": "2.0", "three": "2.0"}
    for words in (["sync", *first], ["sync", "-p", "other"], ["sync", "-p", "other", "--frozen"]):
        assert "matches the lock already" in desk.ok(*words)
    assert desk.lock.read_bytes() == before


def test_an_environment_that_is_gone_is_made_again(desk: Desk) -> None:
    for _ in range(2):
        desk.ok("install", "one==1.0", "-p", "env")
        assert held(desk, "env") == {"one": "1.0"}
        (desk.here / "env").rename(desk.here / "gone")
        desk.ok("install", "one==1.0", "-p", "env")
        (desk.here / "gone").rename(desk.here / f"gone-{_}")


@pytest.mark.parametrize("with_lock", [True, False], ids=["its lock", "its lock is gone"])
def test_an_environment_is_added_to_from_anywhere(with_lock: bool, desk: Desk, tmp_path: Path) -> None:
    desk.ok("install", "one<2", "-p", "env")
    if not with_lock:
        desk.lock.unlink()
    elsewhere = replace(desk, here=tmp_path / "elsewhere")
    elsewhere.here.mkdir()

    elsewhere.ok("install", "two<2", "-p", str(desk.here / "env"))

    assert held(desk, "env") == {"one": "1.0", "two": "1.0"}
    assert elsewhere.lock.exists() is not with_lock
    again = elsewhere.ok("sync", "-p", str(desk.here / "env"))
    assert "matches the lock already" in again
    assert elsewhere.run("verify", "-p", str(desk.here / "env")).returncode == 0


def test_a_lock_that_is_gone_is_told_before_another_is_followed(desk: Desk) -> None:
    desk.ok("install", "one")
    desk.ok("install", "two", "-p", "other", "--lockfile", "other.lock")
    (desk.here / "other.lock").rename(desk.here / "gone.lock")
    told = desk.run("sync", "-p", "other", "--dry-run").stderr
    assert f"was made from {desk.here / 'other.lock'}, which is gone" in told
    assert "which is gone" not in desk.run("sync", "-p", "other", "--lockfile", "gone.lock").stderr
    assert "which is gone" not in desk.run("sync").stderr


def test_a_lock_that_was_made_by_hand_is_added_to(desk: Desk) -> None:
    desk.ok("lock", "one<2")
    desk.ok("install", "two")
    assert held(desk) == {"one": "1.0", "two": "2.0"}

    desk.ok("lock", "three")
    desk.ok("sync")
    assert held(desk) == {"three": "2.0"}


def test_an_environment_of_a_project_is_not_added_to_behind_its_back(desk: Desk, tmp_path: Path) -> None:
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\none = "<2"\n')
    desk.ok("sync")
    before = desk.lock.read_bytes()
    prefix = desk.here / ".dataloader" / "envs" / "default"
    elsewhere = replace(desk, here=tmp_path / "elsewhere")
    elsewhere.here.mkdir()

    error = elsewhere.fails(2, "environment-of-project", "install", "two", "-p", str(prefix))

    assert str(desk.here / "dataloader.toml") in error["message"]
    elsewhere.ok("install", "two", "-p", str(prefix), *error["suggestions"][0].split(": ")[1].split())
    assert held(desk) == {"one": "1.0", "two": "2.0"}
    assert desk.lock.read_bytes() != before
    assert "two" in (desk.here / "dataloader.toml").read_text()


@pytest.mark.parametrize("way", ["--find-links", "--index-url", "--extra-index-url", "a file"])
def test_an_environment_knows_where_its_packages_come_from(way: str, desk: Desk, tmp_path: Path) -> None:
    make_wheel(tmp_path / "own", "only-here", "1.0", files={"only_here.py": "\n"})
    with IndexServer(tmp_path / "own") as own:
        place = str(tmp_path / "own") if way == "--find-links" else own.index_url
        (desk.here / "asked.txt").write_text(f"--extra-index-url {place}\nonly-here\n")
        words = ["-r", "asked.txt"] if way == "a file" else ["only-here", way, place]
        more = ["only-here"] if way == "--index-url" else ["one"]
        for each in (["install", *words], ["install", *more], ["upgrade"]):
            done = desk.run(*each, "-p", "env", index=way != "--index-url")
            assert done.returncode == 0, done.stderr


def test_what_a_variable_says_is_not_kept(desk: Desk) -> None:
    desk.ok("install", "one", "-p", "env")  # its index is the machine's
    assert "sources" not in json.loads((desk.here / "env/.dataloader/state.json").read_text())["inputs"]
