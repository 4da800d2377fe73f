"""An environment whose Python was uninstalled: verify says so, and nothing else runs in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk


def uninstall(prefix: Path) -> None:
    (prefix / "bin" / "python").unlink()
    (prefix / "bin" / "python").symlink_to("/nowhere/bin/python3.11")


def remove(prefix: Path) -> None:
    for link in prefix.glob("bin/python*"):
        link.unlink()


def spoil(prefix: Path) -> None:
    remove(prefix)
    (prefix / "bin" / "python").write_text("not a program")


@pytest.mark.parametrize("damage", [uninstall, remove, spoil])
def test_verify_says_it_and_nothing_runs(damage: object, desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env", "--conda", "never")
    assert desk.run("verify", "-p", "env").returncode == 0  # and is remembered
    damage(desk.here / "env")  # type: ignore[operator]

    for again in range(2):
        done = desk.run("verify", "-p", "env", "--json")
        assert done.returncode == 1, again
        (finding,) = [f for f in json.loads(done.stdout)["findings"] if f["kind"] == "python-missing"]
        assert finding["severity"] == "error"
        assert "dataloader sync" in finding["fix"]
    for words in (["run", "-p", "env", "--", "python", "-c", "print('hello')"], ["shell-hook", "-p", "env"]):
        done = desk.run(*words)
        assert done.returncode == 2
        assert "hello" not in done.stdout
        assert "error[python-missing]" in done.stderr

    desk.ok("sync", "-p", "env")
    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import lib; print('hello')") == "hello\n"
    assert desk.run("verify", "-p", "env").returncode == 0


def test_another_machine_may_have_it(desk: Desk, tmp_path: Path) -> None:
    desk.ok("install", "lib", "-p", "env", "--conda", "never")
    uninstall(desk.here / "env")
    (desk.here / "pool.toml").write_text('glibc = "2.31"\n')

    done = desk.run("verify", "-p", "env", "--target", "pool.toml", "--json")

    (finding,) = [f for f in json.loads(done.stdout)["findings"] if f["kind"] == "python-missing"]
    assert (done.returncode, finding["severity"]) == (0, "note")


def test_a_directory_of_packages_has_no_python(desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env", "--conda", "never")
    packages = next((desk.here / "env").glob("lib/python*/site-packages"))
    packages.rename(desk.here / "packages")
    assert desk.run("verify", "-p", "packages").returncode == 0
