"""Local trees: built or led to, noticed when they change, and left alone when they do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tomli

from tests.functional.test_builds import Bench, desk, shelf
from tests.helpers.builds import make_source

__all__ = ["desk", "shelf"]


def _tree(folder: Path, version: str = "1.0", text: str = "WORD = 'first'\n") -> Path:
    lines = f'name = "demo"\nversion = "{version}"\ndependencies = ["lib"]'
    make_source(folder, "demo", version, requires=["lib"], project=lines, taken=["mod.py"], as_tree=True)
    (folder / "mod.py").write_text(text)
    return folder


def _info(desk: Bench, name: str) -> Path:
    (found,) = (desk.here / "env" / "lib").glob(f"python*/site-packages/demo-*.dist-info/{name}")
    return found


def test_a_tree_is_built_anew_when_its_files_change(desk: Bench) -> None:
    tree = _tree(desk.here / "packages" / "demo")
    (tree / "build" / "lib").mkdir(parents=True)  # what a build of setuptools left

    desk.ok("install", "./packages/demo", "--build", "demo", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]  # its [project] says what it needs
    assert desk.locked("demo")["pypi"] == "./packages/demo"
    assert json.loads(_info(desk, "direct_url.json").read_text()) == {"dir_info": {}, "url": tree.as_uri()}
    before = set(tree.rglob("*"))

    desk.ok("sync", "-p", "env")
    assert desk.ran() == []
    (tree / "mod.py").write_text("WORD = 'second'\n")
    desk.fails(1, "changes-needed", "sync", "-p", "env", "--check")
    desk.ok("sync", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]
    assert desk.python("import mod; print(mod.WORD)") == "second\n"
    (tree / "mod.py").write_text("WORD = 'first'\n")
    desk.ok("sync", "-p", "env")
    assert desk.ran() == []  # what was built before is built no more
    assert desk.python("import mod; print(mod.WORD)") == "first\n"
    assert set(tree.rglob("*")) == before  # nothing was left there


def test_what_says_what_it_needs_has_it_locked_again(desk: Bench) -> None:
    tree = _tree(desk.here / "demo")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text("[workspace]\nchannels = []\n")
    desk.ok("add", "./demo", "--build", "demo")
    assert tomli.loads(manifest.read_text())["pypi-dependencies"]["demo"] == {"path": "./demo"}
    desk.ok("sync", "--locked")
    desk.ran()

    _tree(tree, "2.0")
    error = desk.fails(1, "lock-outdated", "sync", "--locked")
    assert "demo" in error["causes"][0]
    error = desk.fails(4, "built-wheel-differs", "sync", "--frozen")
    assert "`dataloader lock`" in error["suggestions"][0]
    desk.ran()
    desk.ok("sync")
    assert desk.locked("demo")["version"] == "2.0"
    assert desk.ran() == ["built demo 2.0"]


def test_an_editable_tree_is_led_to(desk: Bench) -> None:
    tree = _tree(desk.here / "demo")
    (desk.here / "requirements.txt").write_text("-e ./demo\n")

    desk.ok("install", "-r", "requirements.txt", "--build", "demo", "-p", "env")

    entry = desk.locked("demo")
    assert (entry["pypi"], entry["editable"]) == ("./demo", True)
    assert desk.ran() == ["led to demo 1.0"]
    assert json.loads(_info(desk, "direct_url.json").read_text())["dir_info"] == {"editable": True}
    (tree / "mod.py").write_text("WORD = 'second'\n")
    assert desk.python("import mod; print(mod.WORD)") == "second\n"
    desk.ok("sync", "-p", "env")
    assert desk.ran() == []  # that is what it is for
    (tree / "pyproject.toml").write_text((tree / "pyproject.toml").read_text() + "[tool.other]\n")
    desk.ok("sync", "-p", "env")
    assert desk.ran() == ["led to demo 1.0"]
    assert desk.json("verify", "-p", "env")["findings"] == []
    assert "-e " in desk.ok("export", "requirements.txt")
    desk.ok("export", "pyproject.toml", "-o", "exported/pyproject.toml")
    project = tomli.loads((desk.here / "exported" / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == ["demo"]
    assert project["tool"]["uv"]["sources"] == {"demo": {"path": str(tree), "editable": True}}
    assert f"editable, from {tree}" in desk.ok("explain", "demo")
    error = desk.fails(2, "environment-unknown", "install", "-e", "./demo")  # pip's -e
    assert "editable = true" in error["suggestions"][0]
    desk.fails(2, "not-bundled", "push", "localhost:9/a", "-p", "env")


def test_a_project_that_moves_takes_its_lock_along(desk: Bench, tmp_path: Path) -> None:
    _tree(desk.here / "demo")
    (desk.here / "dataloader.toml").write_text(
        '[workspace]\nchannels = []\n[pypi-dependencies]\ndemo = { path = "demo", editable = true }\n'
        '[build]\nallow = ["demo"]\n'
    )
    desk.ok("lock")
    there = tmp_path / "elsewhere"
    shutil.copytree(desk.here, there)

    moved = Bench(there, desk.index)
    moved.ok("sync", "--locked", "-p", "env")

    assert moved.python("import mod; print(mod.__file__)") == f"{there}/demo/mod.py\n"


def test_a_tree_that_is_gone_or_of_another_project_is_named(desk: Bench) -> None:
    tree = _tree(desk.here / "demo")
    desk.fails(2, "requirement-invalid", "lock", "other @ ./demo", "--build", "other")
    desk.fails(2, "requirement-invalid", "lock", "demo @ ./nowhere", "--build", "demo")
    (desk.here / "empty").mkdir()
    error = desk.fails(2, "requirement-invalid", "lock", "demo @ ./empty", "--build", "demo")
    assert f"nor a setup.py in {desk.here}/empty" in error["message"]  # and not in a copy of it
    desk.ok("lock", "./demo", "--build", "demo")
    shutil.rmtree(tree)
    error = desk.fails(2, "tree-missing", "sync", "-p", "env")
    assert str(tree) in error["message"]


@pytest.mark.parametrize("member", [True, False])
def test_a_workspace_of_uv(desk: Bench, member: bool) -> None:
    _tree(desk.here / "packages" / "demo")
    source = "workspace = true" if member else 'path = "packages/demo", editable = true'
    workspace = '[tool.uv.workspace]\nmembers = ["packages/*"]\n' if member else ""
    (desk.here / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\ndependencies = ["demo"]\n[tool.uv.sources]\ndemo = {{ {source} }}\n'
        f'{workspace}[tool.dataloader.build]\nallow = ["demo"]\n'
    )

    desk.ok("sync", "-p", "env")

    assert desk.ran() == ["led to demo 1.0"]
    assert desk.python("import mod, lib; print(mod.WORD)") == "first\n"


def test_the_project_itself_is_led_to_where_that_is_allowed(desk: Bench) -> None:
    tree = _tree(desk.here)
    text = (tree / "pyproject.toml").read_text()

    desk.ok("sync", "-p", "env")
    assert desk.ran() == []  # what it needs, without itself

    (tree / "pyproject.toml").write_text(text + '[tool.dataloader.build]\nallow = ["demo"]\n')
    desk.ok("sync", "-p", "env")
    assert desk.ran() == ["led to demo 1.0"]
    assert (desk.locked("demo")["pypi"], desk.locked("demo")["editable"]) == (".", True)
    assert desk.python("import mod, lib; print(mod.__file__)") == f"{tree}/mod.py\n"
