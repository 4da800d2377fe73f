"""Which Python of this machine an environment stands on is said, and that it changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataloader.machine.interpreters import find_interpreters
from tests.functional.test_flow import Desk
from tests.helpers.wheels import make_wheel


def minors(tmp_path: Path) -> list[str]:
    import os

    found = find_interpreters(tmp_path / "interpreters", os.environ)
    return sorted({one.minor for one in found if not (one.free_threaded or one.debug or one.prerelease)})


def test_the_python_is_named_and_a_change_of_it_too(desk: Desk, tmp_path: Path) -> None:
    pythons = minors(tmp_path)
    if len(pythons) < 2:
        pytest.skip("this machine has one Python")
    first, second = pythons[0], pythons[-1]
    assert f"python   {first}" in desk.ok("lock", "lib", f"--python={first}")
    desk.ok("install", "lib", f"--python={first}")
    (line,) = [line for line in desk.ok("list").splitlines() if line.startswith("python")]
    assert line.split()[1].startswith(f"{first}.")
    assert desk.json("list")["python"]["version"].startswith(f"{first}.")

    told = desk.ok("lock", "lib", f"--python={second}", "--dry-run")
    assert [line.split() for line in told.splitlines() if line.startswith("python")] == [
        ["python", second, "this", "machine", "was", first]
    ]
    for words in (["--dry-run"], []):
        document = json.loads(desk.ok("install", f"--python={second}", "--json", *words))
        assert document["python_changed"] == {"old": first, "new": second}
    desk.ok("install", f"--python={first}", "-q")
    text = desk.ok("install", f"--python={second}")
    assert [line.split()[:5] for line in text.splitlines() if line.startswith("~")] == [
        ["~", "python", second, "was", first]
    ]


def test_a_dry_run_of_lock_says_what_would_be(desk: Desk) -> None:
    def last(*words: str) -> str:
        done = desk.run("lock", *words)
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()[-1].partition(desk.lock.name)[2]

    assert last("lib", "--dry-run") == " would be written: 1 wheel"
    assert not desk.lock.exists()
    assert last("lib") == " written: 1 wheel"
    assert last("lib") == " unchanged: 1 wheel"
    assert last("lib", "--dry-run") == " unchanged: 1 wheel"


def test_what_a_lock_no_longer_asks_for_is_told(desk: Desk, tmp_path: Path) -> None:
    make_wheel(tmp_path / "shelf", "other", "1.0", files={"other.py": "\n"})
    desk.ok("lock", "lib", "other")
    done = desk.run("lock", "lib")
    assert "asked for other too, and no longer does" in done.stderr


def test_what_was_done_is_said_as_done(desk: Desk) -> None:
    assert "env would be changed: 1 to install" in desk.ok("install", "lib", "-p", "env", "--dry-run")
    assert "env is ready: 1 installed" in desk.ok("install", "lib", "-p", "env")


def test_a_folder_that_is_no_environment_is_refused(desk: Desk) -> None:
    (desk.here / "etc").mkdir()
    (desk.here / "etc" / "hosts").write_text("")
    desk.fails(2, "prefix-foreign", "list", "-p", "etc")
