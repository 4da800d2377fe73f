"""Environments and settings of a project: env, clean, config, list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

MANIFEST = """
[workspace]
channels = []
[pypi-dependencies]
app = "*"
[feature.dev.pypi-dependencies]
lib = "*"
[environments]
dev = ["dev"]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "app", "1.0", requires=["lib", "my-part"])
    make_wheel(shelf, "lib", "1.0", files={"lib.py": "#" * 5000})
    make_wheel(shelf, "my-part", "1.0")
    with IndexServer(shelf) as index:
        (here / "dataloader.toml").write_text(MANIFEST)
        yield Desk(here, index)


def test_environments_are_listed_and_removed(desk: Desk) -> None:
    def made() -> dict[str, bool]:
        return {e["name"]: e["made"] for e in desk.json("env", "list")["environments"]}

    assert made() == {"default": False, "dev": False}
    assert desk.ok("env", "list").count("not made") == 2
    desk.ok("sync")
    desk.ok("sync", "-e", "dev")
    (desk.here / "dataloader.toml").write_text(MANIFEST.replace('dev = ["dev"]', ""))
    assert "not in the manifest" in desk.ok("env", "list")

    desk.fails(2, "usage", "env", "remove")
    desk.fails(2, "usage", "env", "list", "dev")
    desk.fails(2, "environment-unknown", "env", "remove", "dev", "nobody")
    assert [r["name"] for r in desk.json("env", "remove", "dev", "--dry-run")["removed"]] == ["dev"]
    assert made() == {"default": True, "dev": True}
    desk.ok("env", "remove", "dev")
    assert made() == {"default": True}
    assert desk.lock.exists()
    desk.ok("clean")
    assert made() == {"default": False}
    assert desk.ok("clean") == "there is nothing to remove\n"
    assert desk.json("sync", "--locked")["changed"] is True


def test_only_environments_of_ours_are_removed(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("here")
    desk.fails(2, "prefix-foreign", "env", "remove", "-p", str(tmp_path / "precious"))
    desk.fails(2, "prefix-missing", "env", "remove", "-p", str(tmp_path / "nothing"))
    desk.ok("sync", "--root", str(tmp_path / "volume"), "--name", "train")
    desk.fails(2, "prefix-foreign", "env", "remove", "-p", str(tmp_path / "volume" / "train"))
    assert (tmp_path / "precious" / "file").exists()
    assert (tmp_path / "volume" / "train" / "bin" / "python").exists()
    desk.ok("sync", "-p", str(tmp_path / "own"))
    desk.ok("env", "remove", "-p", str(tmp_path / "own"))
    assert not (tmp_path / "own").exists()


def test_environments_of_scripts_are_cleaned_by_name(desk: Desk) -> None:
    (desk.here / "script.py").write_text("# /// script\n# dependencies = ['lib']\n# ///\nprint('ran')\n")
    desk.ok("run", "script.py")
    assert len(desk.json("clean", "--scripts", "--dry-run")["removed"]) == 1
    desk.ok("clean", "--scripts")
    assert desk.json("clean", "--scripts")["removed"] == []
    assert desk.ok("run", "script.py") == "ran\n"


def test_settings_say_where_they_come_from(desk: Desk, tmp_path: Path) -> None:
    path = desk.here / "dataloader.toml"
    path.write_text(path.read_text() + "[resolution]\nexclude-newer = 2024-01-31\n[stack]\ncuda = 'none'\n")
    pip = tmp_path / "pip.conf"
    pip.write_text("[global]\ntimeout = 33\n")
    said = json.loads(
        desk.ok(
            *("config", "--json", "--all", "--limit-rate", "1M", "--extra-index-url", "https://me:secret@example.org/x"),
            PIP_CONFIG_FILE=str(pip), PIP_RETRIES="9",
        )
    )  # fmt: skip
    found = {each["name"]: (each["value"], each["source"]) for each in said["settings"]}

    assert found["manifest"] == (str(path), "found here")
    assert found["index-url"] == (desk.index.index_url, "DATALOADER_INDEX_URL")
    assert found["limit-rate"] == (1 << 20, "--limit-rate")
    assert found["extra-index-urls"] == (["https://example.org/x"], "--extra-index-url")
    assert found["timeout"] == (33.0, "timeout in pip's configuration")
    assert found["retries"] == (9, "PIP_RETRIES")
    assert found["exclude-newer"] == ("2024-01-31", "dataloader.toml")
    assert found["conda"] == ("never", "DATALOADER_CONDA")
    assert found["stack.cuda"] == ("none", "dataloader.toml")
    assert found["prerelease"] == ("if-necessary", "default")
    assert "secret" not in str(said)
    assert "prerelease" not in desk.ok("config")


def test_packages_are_listed_by_name_pattern_and_wish_with_their_sizes(desk: Desk) -> None:
    desk.ok("sync")

    def names(*words: str) -> list[str]:
        return [p["name"] for p in desk.json("list", *words)["packages"]]

    assert names() == ["app", "lib", "my-part"]
    assert names("LIB", "my_p*") == ["lib", "my-part"]
    assert names("--explicit") == ["app"]
    assert names("noth*") == []
    assert "is meant by that" in desk.ok("list", "noth*")
    assert "has no nothing" in desk.fails(2, "package-not-installed", "list", "nothing")["message"]
    (lib,) = desk.json("list", "lib")["packages"]
    record = next((desk.here / ".dataloader/envs/default/lib").glob("python3*/site-packages/lib-1.0.dist-info/RECORD"))
    files = [record.parents[1] / line.split(",")[0] for line in record.read_text().splitlines()]
    assert lib["size"] == sum(f.stat().st_size for f in files if f.name != "RECORD")


def test_sizes_and_wishes_of_conda_packages(desk: Desk, tmp_path: Path) -> None:
    make_conda_package(tmp_path / "channel", "data", "1.0", noarch="generic", files={"share/data": b"x" * 4000})
    make_conda_package(tmp_path / "channel", "tool", "1.0", noarch="generic", depends=["data"])
    index_channel(tmp_path / "channel")
    (desk.here / "dataloader.toml").unlink()
    channel = (tmp_path / "channel").as_uri()
    desk.ok("install", "conda:tool", "-c", channel, "-p", "env", DATALOADER_CONDA="always")
    found = {p["name"]: (p["explicit"], p["size"] >= 4000) for p in desk.json("list", "-p", "env")["packages"]}
    assert found == {"data": (False, True), "tool": (True, False)}
