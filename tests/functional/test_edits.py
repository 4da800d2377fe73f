"""add, remove, upgrade as they are typed: all files change together, and nothing moves that need not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from dataloader.cli.commands import COMMANDS
from dataloader.cli.line.elsewhere import INSTEAD, OTHERWISE
from tests.functional.test_flow import Desk
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "app", "1.0", requires=["lib<3", "dep"])
    make_wheel(shelf, "app", "2.0", requires=["lib<3", "dep>=2"])
    for version in ("1.0", "2.0", "3.0"):
        make_wheel(shelf, "lib", version)
        make_wheel(shelf, "dep", version)
    with IndexServer(shelf) as index:
        (here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
        yield Desk(here, index)


def manifest(desk: Desk) -> dict[str, Any]:
    return tomli.loads((desk.here / "dataloader.toml").read_text())


def asked(desk: Desk) -> dict[str, Any]:
    return manifest(desk).get("pypi-dependencies", {})  # type: ignore[no-any-return]


def installed(desk: Desk) -> dict[str, str]:
    return {p["name"]: p["version"] for p in desk.json("list")["packages"]}


def old_lock(desk: Desk) -> None:
    """A project of which everything is old: app 1.0, lib 1.0, dep 1.0."""
    path = desk.here / "dataloader.toml"
    path.write_text(path.read_text() + '[pypi-dependencies]\napp = "==1.0"\nlib = "==1.0"\ndep = "==1.0"\n')
    desk.ok("sync")
    path.write_text(path.read_text().replace('"==1.0"', '"*"'))
    desk.ok("sync")
    assert installed(desk) == {"app": "1.0", "lib": "1.0", "dep": "1.0"}


def test_a_bare_name_is_saved_with_its_lower_bound_and_what_was_typed_as_it_was_typed(desk: Desk) -> None:
    found = desk.json("add", "app", "lib<3")

    assert asked(desk) == {"app": ">=2.0", "lib": "<3"}
    assert found["added"] == ["app>=2.0", "lib<3"]
    assert installed(desk) == {"app": "2.0", "lib": "2.0", "dep": "3.0"}
    assert desk.json("sync", "--locked")["changed"] is False
    desk.ok("add", "dep", "--bounds", "exact", "--no-sync")
    desk.ok("add", "lib", "--bounds", "exact")
    assert asked(desk) == {"app": ">=2.0", "lib": "<3", "dep": "==3.0"}


def test_any_version_where_that_is_asked_for(desk: Desk) -> None:
    desk.ok("add", "app", "--bounds", "none", "--no-sync")

    assert asked(desk) == {"app": "*"}
    assert not (desk.here / ".dataloader").exists()


def test_a_wheel_of_a_label_is_saved_without_it(desk: Desk) -> None:
    make_wheel(desk.index.folder, "labelled", "1.5+cu118")
    desk.ok("add", "labelled")

    assert asked(desk) == {"labelled": ">=1.5"}


def test_adding_moves_nothing_else(desk: Desk) -> None:
    old_lock(desk)
    make_wheel(desk.index.folder, "more", "1.0", requires=["lib"])
    desk.ok("add", "more", "--refresh")

    assert installed(desk) == {"app": "1.0", "lib": "1.0", "dep": "1.0", "more": "1.0"}


def test_add_without_a_manifest_or_a_name_says_what_to_do(desk: Desk) -> None:
    desk.fails(2, "nothing-asked", "add")
    desk.fails(2, "usage", "add", "lib", "--no-sync", "--prefix", "env")
    (desk.here / "dataloader.toml").unlink()
    error = desk.fails(2, "manifest-missing", "add", "lib")
    assert any("dataloader init" in each for each in error["suggestions"])


def test_what_is_removed_goes_with_what_it_brought_unless_that_is_needed(desk: Desk) -> None:
    old_lock(desk)
    found = desk.json("remove", "Lib")

    assert (found["taken_out"], found["still_needed"]) == (["lib"], [{"name": "lib", "by": ["app 1.0 needs lib<3"]}])
    assert installed(desk) == {"app": "1.0", "lib": "1.0", "dep": "1.0"}
    desk.ok("remove", "app")
    assert installed(desk) == {"dep": "1.0"}
    assert desk.json("sync", "--locked")["changed"] is False
    desk.ok("remove", "dep")
    assert (installed(desk), asked(desk)) == ({}, {})


def test_what_was_not_asked_for_is_refused_with_what_needs_it(desk: Desk) -> None:
    desk.ok("add", "app")
    before = (desk.here / "dataloader.toml").read_bytes(), desk.lock.read_bytes()

    error = desk.fails(2, "not-asked-for", "remove", "dep")
    assert error["causes"] == ["app 2.0 needs it (dep>=2)"]
    assert "did you mean app?" in desk.fails(2, "not-asked-for", "remove", "appp")["suggestions"]
    desk.fails(2, "not-asked-for", "remove", "app", "dep")
    desk.fails(2, "usage", "remove", "npm:app")
    assert (before, installed(desk)) == (
        ((desk.here / "dataloader.toml").read_bytes(), desk.lock.read_bytes()),
        {"app": "2.0", "lib": "2.0", "dep": "3.0"},
    )


def test_what_another_table_asks_for_is_named(desk: Desk) -> None:
    path = desk.here / "dataloader.toml"
    path.write_text(
        path.read_text()
        + '[feature.dev.pypi-dependencies]\nlib = "*"\n[target.linux-64.pypi-dependencies]\ndep = "*"\n'
        + '[environments]\ndev = ["dev"]\n'
    )
    assert "--environment dev" in str(desk.fails(2, "not-asked-for", "remove", "lib")["causes"])
    assert "dataloader.toml:6 asks for it" in str(desk.fails(2, "not-asked-for", "remove", "dep")["causes"])
    desk.ok("remove", "lib", "--environment", "dev", "--no-sync")
    assert manifest(desk)["feature"]["dev"]["pypi-dependencies"] == {}


def test_what_does_not_matter_on_this_machine_is_removed_too(desk: Desk) -> None:
    path = desk.here / "dataloader.toml"
    path.write_text(
        path.read_text() + '[pypi-dependencies]\nlib = { version = "*", env-markers = "sys_platform == \'win32\'" }\n'
    )
    desk.ok("remove", "lib")
    assert asked(desk) == {}


@pytest.mark.parametrize(
    "table",
    [
        '[tool.poetry.dependencies]\npython = ">=3.8"\nlib = "^2.0"\n',
        '[tool.poetry.dependencies]\nlib = { version = "^2.0", markers = "sys_platform == \'win32\'" }\n',
        '[tool.poetry.group.dev.dependencies]\nlib = "^2.0"\n',
        '[project]\nname = "x"\nversion = "1"\n[tool.uv]\ndev-dependencies = ["lib>=2"]\n',
    ],
)
def test_what_stands_where_nothing_is_written_is_not_said_to_be_out(table: str, desk: Desk) -> None:
    (desk.here / "dataloader.toml").unlink()
    path = desk.here / "pyproject.toml"
    path.write_text(table)
    desk.ok("sync")
    before = path.read_bytes(), desk.lock.read_bytes(), installed(desk)
    own = ["--environment", "dev", "--no-sync"] if "dev" in table else []
    desk.fails(2, "not-in-manifest", "remove", "lib", *own, "--dry-run")
    error = desk.fails(2, "not-in-manifest", "remove", "lib", *own)
    assert f"pyproject.toml:{table[: table.index('lib')].count(chr(10)) + 1}" in str(error["causes"])
    assert (path.read_bytes(), desk.lock.read_bytes(), installed(desk)) == before


def test_remove_without_a_manifest_takes_out_of_what_the_prefix_was_made_from(desk: Desk) -> None:
    (desk.here / "dataloader.toml").unlink()
    desk.fails(2, "nothing-asked", "remove", "lib")
    desk.fails(2, "nothing-asked", "upgrade")
    desk.ok("install", "app==1.0", "lib", "-p", "env")
    desk.ok("remove", "app", "-p", "env")
    assert {p["name"] for p in desk.json("list", "-p", "env")["packages"]} == {"lib"}


def test_upgrading_one_moves_what_it_needs_and_no_more(desk: Desk) -> None:
    old_lock(desk)
    found = desk.json("upgrade", "app")

    assert {c["name"]: (c["old"], c["new"]) for c in found["changes"]} == {
        "app": ("1.0", "2.0"),
        "dep": ("1.0", "3.0"),
    }
    assert (installed(desk)["lib"], found["held_back"]) == ("1.0", [])
    assert desk.json("sync", "--locked")["changed"] is False


def test_upgrading_all_is_solving_afresh_and_a_dry_run_says_what_holds_back(desk: Desk) -> None:
    old_lock(desk)
    lock = desk.lock.read_bytes()
    found = desk.json("upgrade", "--dry-run")

    assert found["held_back"] == [
        {"name": "lib", "version": "2.0", "newest": "3.0", "why": ["app 2.0 needs lib<3"]},
    ]
    assert (desk.lock.read_bytes(), installed(desk)["app"]) == (lock, "1.0")
    assert desk.json("upgrade")["changes"] == found["changes"]
    assert installed(desk) == {"app": "2.0", "lib": "2.0", "dep": "3.0"}


def test_a_requirement_and_the_solver_hold_back_too(desk: Desk) -> None:
    make_wheel(desk.index.folder, "peer", "1.0", requires=["lib"])
    make_wheel(desk.index.folder, "peer", "2.0", requires=["lib>=3"])
    make_wheel(desk.index.folder, "elsewhere", "1.0")
    make_wheel(desk.index.folder, "elsewhere", "2.0", requires=["absent-everywhere"])
    desk.ok("add", "dep<3", "app", "peer", "elsewhere", "--no-sync")
    found = {each["name"]: each["why"] for each in desk.json("upgrade", "--dry-run")["held_back"]}

    assert found["dep"] == ["dataloader.toml:5 asks for dep<3"]
    assert found["lib"] == ["app 2.0 needs lib<3"]
    assert "peer" in found["peer"][0]
    assert "lib" in found["peer"][0]
    assert "absent-everywhere" in found["elsewhere"][0]


def test_conda_packages_are_edited_alike(desk: Desk, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        make_conda_package(tmp_path / "channel", "tool", version, noarch="generic", depends=["data"])
        make_conda_package(tmp_path / "channel", "data", version, noarch="generic")
    index_channel(tmp_path / "channel")
    channel = (tmp_path / "channel").as_uri()
    (desk.here / "dataloader.toml").write_text(f"[workspace]\nchannels = ['{channel}']\n")

    def conda(*words: str) -> dict[str, Any]:
        return json.loads(desk.ok(*words, "--json", DATALOADER_CONDA="always"))  # type: ignore[no-any-return]

    conda("add", "conda:tool<2", "conda:data==1.0", "--no-sync")
    assert manifest(desk)["dependencies"] == {"tool": "<2", "data": "==1.0"}
    held = {each["name"]: each["why"] for each in conda("upgrade", "--dry-run")["held_back"]}
    assert held["tool"] == ["dataloader.toml:6 asks for conda:tool <2"]
    conda("remove", "conda:data", "--no-sync")
    assert [(c["name"], c["new"]) for c in conda("upgrade", "data", "--no-sync")["changes"]] == [("data", "2.0")]
    conda("remove", "tool", "--no-sync")
    conda("add", "conda:tool", "--no-sync")
    assert manifest(desk)["dependencies"] == {"tool": ">=2.0"}


def test_lock_upgrades_without_touching_the_prefix(desk: Desk) -> None:
    old_lock(desk)
    assert desk.fails(2, "usage", "lock", "-U", "-P", "app")
    desk.fails(2, "package-not-locked", "lock", "-P", "apq")
    named = {p["name"]: p["version"] for p in desk.json("lock", "-P", "dep")["packages"]}
    assert named == {"app": "1.0", "lib": "1.0", "dep": "3.0"}
    everything = {p["name"]: p["version"] for p in desk.json("lock", "--upgrade")["packages"]}
    assert everything == {"app": "2.0", "lib": "2.0", "dep": "3.0"}
    assert installed(desk) == {"app": "1.0", "lib": "1.0", "dep": "1.0"}


@pytest.mark.parametrize("verb", [["add", "nobody-has-this"], ["add", "app", "lib>=3"], ["upgrade", "nobody"]])
def test_a_failed_edit_leaves_everything_as_it_was(verb: list[str], desk: Desk) -> None:
    desk.ok("add", "app")
    before = {p: p.read_bytes() for p in (desk.here / "dataloader.toml", desk.lock)}
    assert desk.run(*verb).returncode in (1, 2)
    assert {p: p.read_bytes() for p in before} == before
    assert desk.json("sync", "--locked")["changed"] is False


def test_words_of_other_tools_lead_to_ours(desk: Desk) -> None:
    assert not {*INSTEAD, *OTHERWISE} & COMMANDS.keys()
    assert "`dataloader remove NAME`" in desk.fails(2, "usage", "uninstall", "lib")["suggestions"]
    assert "`dataloader --version`" in desk.fails(2, "usage", "version")["suggestions"]
    assert "dataloader add NAME" in str(desk.fails(2, "usage", "pip", "install", "lib")["suggestions"])
