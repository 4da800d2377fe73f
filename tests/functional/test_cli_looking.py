"""The commands that look: diff, outdated, search, tree --invert, help; against a local index and channel."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.answers.help import error_pages
from dataloader.cli.commands import COMMANDS
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel
from tests.unit.test_docs import error_codes


class Desk:
    """A directory, a channel and an index that grow."""

    def __init__(self, here: Path) -> None:
        self.here, self.shelf, self.channel = here / "work", here / "shelf", here / "channel"
        self.here.mkdir()
        self.shelf.mkdir()
        self.index = IndexServer(self.shelf)

    def run(self, *words: str, code: int = 0) -> str:
        environ = {
            **os.environ,
            "DATALOADER_INDEX_URL": self.index.index_url,
            "DATALOADER_CHANNEL": self.channel.as_uri(),
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        done = run_command(*words, cwd=self.here, env=environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(("git", *who, *words), cwd=self.here, check=True, capture_output=True)

    def add_conda(self, *packages: tuple[str, str]) -> None:
        for name, version in packages:
            make_conda_package(self.channel, name, version, noarch="generic")
        index_channel(self.channel)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"))
    make_python_package(made.channel)
    make_wheel(made.shelf, "app", "1.0", requires=["lib<3"])
    make_wheel(made.shelf, "lib", "1.0")
    made.add_conda(("alpha", "1.0"))
    with made.index:
        yield made


@pytest.fixture
def locked(desk: Desk) -> Desk:
    """Locked before newer releases came."""
    if not (desk.here / "dataloader.lock").exists():
        desk.run("lock", "app", "conda:alpha", "--conda=always")
        desk.git("init", "-q")
        desk.git("add", "dataloader.lock")
        desk.git("commit", "-qm", "one")
        for version in ("2.0", "3.0", "4.0rc1"):
            make_wheel(desk.shelf, "lib", version)
        desk.add_conda(("alpha", "2.0"))
    return desk


def test_outdated_tells_what_would_go_together_from_what_there_is(locked: Desk) -> None:
    found = locked.json("outdated", "--conda=always", "--refresh")["packages"]

    assert {p["name"]: (p["version"], p["upgrade"], p["newest"]) for p in found} == {
        "lib": ("1.0", "2.0", "3.0"),
        "alpha": ("1.0", "2.0", "2.0"),
    }


def test_diff_names_what_came_went_and_moved(locked: Desk) -> None:
    assert locked.run("diff") == "nothing differs\n"
    old = (locked.here / "dataloader.lock").read_bytes()
    make_wheel(locked.shelf, "another", "1.0")
    locked.run("lock", "app", "another", "lib==2.0", "--conda=always", "--lockfile", "new.lock", "--refresh")

    found = locked.json("diff", "dataloader.lock", "new.lock")["changes"]

    kinds = {each["name"]: each["kind"] for each in found}
    assert (kinds["another"], kinds["alpha"], kinds["lib"]) == ("added", "removed", "upgraded")
    backwards = locked.json("diff", "new.lock", "dataloader.lock")["changes"]
    kinds = {each["name"]: each["kind"] for each in backwards}
    assert (kinds["another"], kinds["lib"]) == ("removed", "downgraded")
    (locked.here / "dataloader.lock").write_bytes((locked.here / "new.lock").read_bytes())
    try:
        assert locked.json("diff")["changes"] == found
    finally:
        (locked.here / "dataloader.lock").write_bytes(old)


def test_diff_of_what_is_no_lock_says_so(locked: Desk) -> None:
    said = locked.run("diff", "nothing-of-that-name", code=2)

    assert "nothing-of-that-name is no lockfile, and no revision of git" in said


def test_search_shows_both_worlds_newest_first(locked: Desk) -> None:
    wheels = [row["version"] for row in locked.json("search", "Lib", "--refresh")["versions"]]
    conda = [(row["world"], row["version"]) for row in locked.json("search", "alpha", "--refresh")["versions"]]

    assert wheels == ["4.0rc1", "3.0", "2.0", "1.0"]
    assert conda == [("conda", "2.0"), ("conda", "1.0")]
    assert "unknown-package" in locked.run("search", "nobody-has-this", code=1)


def test_an_inverted_tree_begins_at_what_is_needed(locked: Desk) -> None:
    assert locked.run("tree", "--invert", "lib") == "lib 1.0\n  app 1.0\n"


def test_help_knows_every_error_and_every_command(desk: Desk) -> None:
    assert set(error_pages()) == error_codes()
    assert all(len(page.splitlines()) > 2 for page in error_pages().values())
    assert "Usage: dataloader verify" in desk.run("help", "verify")
    assert all(f"  {name} " in desk.run("help") for name in COMMANDS)
    assert "dataloader help no-solution" in desk.run("help", "no-solutoin", code=2)


def test_a_project_that_asks_for_nothing_has_an_environment(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.add_conda(("alpha", "1.0"))
    with desk.index:
        desk.run("init", "-c", desk.channel.as_uri())
        desk.run("sync")

        assert desk.run("run", "--", "sh", "-c", "echo $CONDA_PREFIX") == f"{desk.here}/.dataloader/envs/default\n"
        assert desk.run("list") == "nothing is installed\n"
        assert desk.json("verify")["findings"] == []
        assert "export CONDA_PREFIX" in desk.run("shell-hook")
        assert "matches the lock already" in desk.run("sync")
        desk.run("add", "conda:alpha")
        desk.run("remove", "alpha")
        desk.run("run", "--", "true")


@pytest.mark.parametrize(
    ("said", "planned"),
    [
        ("3.11.*", "3.11"),
        (">=3.10,<3.12", "3.10 to 3.11"),
        ("3.10.*|3.12.*", None),  # which no specifier can say
    ],
)
def test_a_plan_has_the_python_that_a_project_asks_for(said: str, planned: str | None, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.here / "dataloader.toml").write_text(
        f'[workspace]\nchannels = []\nplatforms = ["linux-64"]\n[dependencies]\npython = "{said}"\n'
    )
    with desk.index:
        assert desk.json("plan")["stack"]["axes"].get("python") == planned
        assert desk.json("plan", "--python=3.12")["stack"]["axes"]["python"] == "3.12"


def test_a_diff_with_nothing_to_compare_says_what_is_missing(locked: Desk, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.here / "dataloader.lock").write_bytes((locked.here / "dataloader.lock").read_bytes())
    with desk.index:
        told = desk.run("diff", code=2)
        assert "git has no dataloader.lock of before" in told
        assert "HEAD" not in told
        assert "HEAD is no lockfile" in desk.run("diff", "HEAD", code=2)
