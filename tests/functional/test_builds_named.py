"""Source archives named by path or URL: refused with the line that allows them, then built like those of an index."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import tomli

from tests.functional.test_builds import Bench, desk, shelf
from tests.helpers.builds import make_source
from tests.helpers.wheels import sha256_of

__all__ = ["desk", "shelf"]


def test_an_archive_by_its_path(desk: Bench) -> None:
    make_source(desk.here / "vendor", "demo", requires=["lib"])

    error = desk.fails(2, "requirement-unsupported", "install", "./vendor/demo-1.0.tar.gz", "-p", "env")
    assert any(text.startswith("--build demo ") for text in error["suggestions"]), error

    desk.ok("install", "./vendor/demo-1.0.tar.gz", "--build", "demo", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]
    assert desk.python("import demo, lib; print(demo.VERSION)") == "1.0\n"
    assert desk.locked("demo")["pypi"] == "./vendor/demo-1.0.tar.gz"
    desk.ok("sync", "-p", "other", "--lockfile", "dataloader.lock")
    assert desk.ran() == []


def test_an_archive_by_its_url_in_a_manifest(desk: Bench, shelf: Path) -> None:
    source = make_source(shelf, "demo")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text("[workspace]\nchannels = []\n")
    url = desk.index.file_url(source)

    desk.ok("install", f"demo @ {url}", "--build", "demo")

    said = tomli.loads(manifest.read_text())
    assert said["pypi-dependencies"] == {"demo": {"url": url}}
    assert said["build"] == {"allow": ["demo"]}
    assert desk.locked("demo")["pypi"] == url
    desk.ok("sync", "--locked")
    assert desk.ran() == ["built demo 1.0"]


@pytest.mark.parametrize("static", [True, False])
def test_a_version_that_its_name_does_not_say(desk: Bench, static: bool) -> None:
    source = make_source(desk.here, "demo", "1.5", static=static)
    source.rename(desk.here / "main.tar.gz")

    desk.ok("lock", "demo @ ./main.tar.gz", "--build", "demo")

    assert desk.locked("demo")["version"] == "1.5"
    assert desk.ran() == ([] if static else ["asked demo 1.5"])


def test_its_hash_is_checked(desk: Bench) -> None:
    source = make_source(desk.here, "demo")
    file = desk.here / "requirements.txt"

    file.write_text(f"./demo-1.0.tar.gz#sha256={'0' * 64}\n")
    desk.fails(4, "hash-mismatch", "lock", "-r", "requirements.txt", "--build", "demo")
    file.write_text(f"demo @ {source.as_uri()}#sha256={sha256_of(source)}\n")
    desk.ok("lock", "-r", "requirements.txt", "--build", "demo")
    assert desk.locked("demo")["sha256"] == sha256_of(source)
    assert desk.ran() == []


def test_what_is_not_there_or_another_project_is_named(desk: Bench) -> None:
    desk.fails(2, "requirement-invalid", "lock", "demo @ ./none-1.0.tar.gz", "--build", "demo")
    make_source(desk.here, "other")
    error = desk.fails(2, "requirement-invalid", "lock", "demo @ ./other-1.0.tar.gz", "--build", "demo")
    assert "other" in error["message"]


@pytest.mark.parametrize(
    "said",
    ["demo @ hg+https://h.example/demo", "demo @ https://h.example/demo", "demo @ ftp://h.example/demo-1.0.tar.gz"],
)
def test_what_cannot_be_built_stays_refused(desk: Bench, said: str) -> None:
    (desk.here / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\n')

    error = desk.fails(2, "requirement-unsupported", "lock", said, "--build", "demo")

    assert not any("--build" in text for text in error["suggestions"])


@pytest.mark.parametrize("option", [[], ["--build", "two-words"]])
def test_a_tree_that_nothing_names_is_to_be_named(desk: Bench, option: list[str]) -> None:
    """Its folder's name is no project's: ``--build two words`` could not be typed."""
    tree = desk.here / "two words"
    tree.mkdir()
    (tree / "setup.py").write_text("from setuptools import setup\nsetup(name='zz')\n")

    error = desk.fails(2, "requirement-unsupported", "lock", "./two words", *option)
    assert error["suggestions"][0] == f"give its name: `NAME @ {tree.as_uri()}`, and --build NAME"

    error = desk.fails(2, "requirement-unsupported", "lock", f"zz @ {tree.as_uri()}")
    assert error["suggestions"][0].startswith("--build zz ")


def test_a_path_in_advice_can_be_typed(desk: Bench) -> None:
    desk.ok("lock", "lib")
    folder = desk.here / "two words"
    folder.mkdir()
    shutil.move(desk.here / "dataloader.lock", folder)

    error = desk.fails(2, "requirements-invalid", "lock", "-r", "two words/dataloader.lock")
    words = shlex.split(error["suggestions"][0].split("`")[1])
    desk.ok(*words[1:], "-p", "env")
    assert (desk.here / "env").is_dir()
