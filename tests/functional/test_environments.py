"""The environments of a manifest in one lock: each is what a lock for it alone holds, a solve-group shares versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rattler
import yaml

from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

MANIFEST = """
[workspace]
channels = []
platforms = ["linux-64", "win-64"]
[pypi-dependencies]
app = "*"
[feature.test.pypi-dependencies]
check = "*"
[feature.old.pypi-dependencies]
lib = "<2"
[environments]
test = ["test"]
old = { features = ["old"], solve-group = "g" }
both = { features = ["old", "test"], solve-group = "g" }
wide = { features = ["test"], solve-group = "g" }
"""
HELD = {
    "default": {"app-1.0", "lib-2.0"},
    "test": {"app-1.0", "lib-2.0", "check-2.0"},
    "old": {"app-1.0", "lib-1.0"},
    "both": {"app-1.0", "lib-1.0", "check-1.0"},
    "wide": {"app-1.0", "lib-1.0", "check-1.0"},  # check 2.0 needs lib 2, which its solve-group has not
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_wheel(folder, "app", "1.0", requires=["lib", "winonly ; sys_platform == 'win32'"])
    make_wheel(folder, "lib", "1.0")
    make_wheel(folder, "lib", "2.0")
    make_wheel(folder, "check", "1.0", requires=["lib"])
    make_wheel(folder, "check", "2.0", requires=["lib>=2"])
    make_wheel(folder, "winonly", "1.0")
    make_wheel(folder, "extra", "1.0")
    return folder


@pytest.fixture
def desk(shelf: Path, tmp_path: Path) -> Iterator[Desk]:
    here = tmp_path / "here"
    here.mkdir()
    (here / "dataloader.toml").write_text(MANIFEST)
    with IndexServer(shelf) as index:
        yield Desk(here, index)


def held(lock: Path) -> dict[str, dict[str, set[str]]]:
    """Environment -> platform -> NAME-VERSION of what is locked."""
    environments = yaml.safe_load(lock.read_text())["environments"]
    return {
        name: {
            platform: {"-".join(next(iter(p.values())).rsplit("/", 1)[-1].split("-")[:2]) for p in packages}
            for platform, packages in one["packages"].items()
        }
        for name, one in environments.items()
    }


def on_both(names: dict[str, set[str]]) -> dict[str, dict[str, set[str]]]:
    return {name: {"linux-64": files, "win-64": {*files, "winonly-1.0"}} for name, files in names.items()}


def test_all_are_locked_in_one_go_and_each_takes_its_own(desk: Desk) -> None:
    document = desk.json("lock")

    assert [p.name for p in desk.here.glob("*.lock")] == ["dataloader.lock"]
    assert held(desk.lock) == on_both(HELD)
    told = {(part.get("environment", "default"), part["platform"]) for part in (document, *document["others"])}
    assert told == {(name, platform) for name in HELD for platform in ("linux-64", "win-64")}
    whole = desk.lock.read_bytes()
    desk.ok("lock")
    assert desk.lock.read_bytes() == whole

    for name, files in HELD.items():
        desk.ok("sync", "-e", name, "--locked", "--platform", "linux-64")
        installed = desk.json("list", "-e", name)["packages"]
        assert {f"{p['name']}-{p['version']}" for p in installed} == files
        assert desk.json("verify", "-e", name)["findings"] == []
        assert desk.json("sync", "-e", name, "--frozen", "--platform", "linux-64")["changed"] is False
    assert desk.ok("run", "-e", "both", "--", "python", "-c", "import lib; print(lib.__version__)") == "1.0\n"
    assert desk.lock.read_bytes() == whole


@pytest.mark.parametrize("name", ["default", "test"])
def test_each_is_what_a_lock_for_it_alone_holds(desk: Desk, name: str) -> None:
    desk.ok("lock")
    together = held(desk.lock)[name]
    desk.lock.unlink()
    desk.ok("lock", "-e", name)
    assert held(desk.lock) == {name: together}


def test_a_solve_group_is_the_same_whichever_of_it_is_solved_for_first(desk: Desk) -> None:
    desk.ok("lock")
    together = held(desk.lock)
    for name in ("wide", "both", "old"):
        desk.lock.unlink()
        desk.ok("lock", "-e", name)
        assert held(desk.lock) == {name: together[name]}
        packages = yaml.safe_load(desk.lock.read_text())["packages"]
        assert len({p["name"] for p in packages}) == len(packages)


def test_one_that_is_named_changes_and_the_others_stay(desk: Desk) -> None:
    desk.ok("lock")
    manifest = desk.here / "dataloader.toml"
    before = held(desk.lock)

    desk.ok("add", "extra", "-e", "test", "--no-sync")
    now = held(desk.lock)
    assert {name for name in HELD if now[name] != before[name]} == {"test"}
    assert "extra-1.0" in now["test"]["linux-64"]

    # `test` is a feature of two others: they are of a solve-group, and are told of, or locked by `lock`
    assert "feature.test" in manifest.read_text()
    error = desk.fails(1, "lock-outdated", "sync", "--locked")
    assert {cause.split(":")[0] for cause in error["causes"]} == {
        f"{name} on {platform}" for name in ("old", "both", "wide") for platform in ("linux-64", "win-64")
    }
    desk.ok("lock")
    assert "extra-1.0" in held(desk.lock)["both"]["win-64"]
    desk.ok("sync", "--locked")


def test_an_edit_of_what_all_have_is_made_for_all_or_for_none(desk: Desk) -> None:
    desk.ok("lock")
    before = desk.lock.read_bytes(), (desk.here / "dataloader.toml").read_bytes()

    error = desk.fails(1, "no-matching-version", "add", "lib>=2", "--no-sync")
    assert any(cause.startswith("this is of old") for cause in error["causes"])
    assert (desk.lock.read_bytes(), (desk.here / "dataloader.toml").read_bytes()) == before
    desk.ok("add", "extra", "--no-sync")
    assert all("extra-1.0" in files for one in held(desk.lock).values() for files in one.values())
    desk.ok("remove", "extra", "--no-sync")
    assert desk.lock.read_bytes() == before[0]


def test_an_environment_that_the_manifest_no_longer_has_goes(desk: Desk) -> None:
    desk.ok("lock")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(MANIFEST.replace('test = ["test"]\n', ""))
    desk.ok("lock")
    assert set(held(desk.lock)) == set(HELD) - {"test"}
    desk.fails(2, "environment-unknown", "sync", "-e", "test")


def test_what_cannot_go_together_is_refused_by_name(desk: Desk) -> None:
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(MANIFEST + '[feature.new.pypi-dependencies]\nlib = ">=2"\n')
    text = manifest.read_text().replace(
        "[environments]\n", '[environments]\nnew = {features = ["new"], solve-group = "g"}\n'
    )
    manifest.write_text(text)
    error = desk.fails(1, "no-matching-version", "lock")
    assert any("solve-group of both, new, old, wide" in cause for cause in error["causes"])
    manifest.write_text(
        MANIFEST.replace("old = {", 'cpu = {features = ["cpu"], solve-group = "g"}\nold = {')
        + '[feature.cpu.stack]\ncuda = "none"\n[feature.old.stack]\ncuda = "12.1"\n'
    )
    error = desk.fails(2, "solve-group-conflict", "lock")
    assert "cuda" in error["causes"][0]


def test_commands_that_read_a_lock_read_the_environment_that_is_named(desk: Desk) -> None:
    desk.ok("lock")
    desk.lock.rename(desk.here / "old.lock")
    (desk.here / "dataloader.toml").write_text(MANIFEST.replace('check = "*"', 'check = "*"\nextra = "*"'))
    desk.ok("lock")

    linux = ("--platform", "linux-64")
    assert "check" in desk.ok("tree", "-e", "test", *linux)
    assert "check" not in desk.ok("tree", *linux)
    assert "lib==1.0" in desk.ok("export", "requirements.txt", "-e", "old", *linux)
    assert "lib==2.0" in desk.ok("export", "requirements.txt", *linux)
    document = desk.json("diff", "old.lock", "dataloader.lock")["environments"]
    changed = {name: {c["name"] for c in one["linux-64"]["changes"]} for name, one in document.items()}
    assert changed == {
        name: {"extra"} if "check-1.0" in files or name == "test" else set() for name, files in HELD.items()
    }
    own: dict[str, Any] = desk.json("diff", "old.lock", "dataloader.lock", "-e", "test", *linux)
    assert [c["name"] for c in own["changes"]] == ["extra"]
    read = rattler.LockFile.from_path(desk.lock)
    assert {name for name, _ in read.environments()} == set(HELD)
    desk.ok("export", "pixi.lock", "-o", "pixi.lock")
    theirs = rattler.LockFile.from_path(desk.here / "pixi.lock")
    assert {name for name, _ in theirs.environments()} == set(HELD)
    locked = yaml.safe_load(desk.ok("export", "conda-lock.yml", "-e", "old"))
    assert {p["version"] for p in locked["package"] if p["name"] == "lib"} == {"1.0"}
    assert "left out: both, old, test, wide" in desk.run("export", "conda-lock.yml").stderr


def test_a_lock_alone_serves_its_environments(desk: Desk) -> None:
    desk.ok("lock")
    other = desk.here.parent / "other"
    other.mkdir()
    (other / "dataloader.lock").write_bytes(desk.lock.read_bytes())
    there = Desk(other, desk.index)

    there.ok("sync", "-e", "old", "--platform", "linux-64")
    found = there.json("list", "-p", ".dataloader/envs/old")["packages"]
    assert {f"{p['name']}-{p['version']}" for p in found} == HELD["old"]
    assert json.loads(there.ok("verify", "-p", ".dataloader/envs/old", "--json"))["findings"] == []
    error = there.fails(2, "lock-unfit", "sync", "-e", "none", "--lockfile", "dataloader.lock")
    assert "default, both, old, test, wide" in error["message"]


def test_a_lock_of_its_own_stays_one(desk: Desk) -> None:
    desk.ok("lock", "-e", "default")
    (desk.here / "dataloader.test.lock").write_bytes(desk.lock.read_bytes())
    desk.ok("lock", "-e", "test")
    own = desk.here / "dataloader.test.lock"
    assert held(own) == {"default": on_both(HELD)["test"]}
    told = desk.run("lock").stderr
    assert "test has a lock of its own, dataloader.test.lock" in told
    assert set(held(desk.lock)) == set(HELD) - {"test"}
    desk.ok("sync", "-e", "test", "--locked", "--platform", "linux-64")
