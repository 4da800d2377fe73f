"""Small mistakes of every day, each told where it is, and with what helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataloader.cli import quick
from tests.functional.test_flow import Desk
from tests.functional.test_python_told import minors
from tests.helpers.wheels import make_wheel

MANIFEST = """
[workspace]
channels = []
[pypi-dependencies]
lib = "*"
[feature.shared]
[environments]
one = ["shared"]
two = ["shared"]
"""
HEADER = "# /// script\n# dependencies = [{}]\n# ///\n"


def test_what_is_written_for_one_environment_is_told_of_the_others_that_get_it(desk: Desk, tmp_path: Path) -> None:
    make_wheel(tmp_path / "shelf", "more", "1.0", files={"more.py": "\n"})
    (desk.here / "dataloader.toml").write_text(MANIFEST)
    done = desk.run("add", "more", "-e", "one", "--no-sync")
    assert "this is so for two too: the feature shared is theirs as well" in done.stderr
    assert "is so for" not in desk.run("add", "lib>=1", "--no-sync").stderr


def test_list_and_tree_know_what_they_are_asked_about(desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env", "--lockfile", "own.lock")
    error = desk.fails(2, "package-not-installed", "list", "lub", "-p", "env")
    assert error["suggestions"] == ["did you mean lib?"]
    assert "nothing that is installed is meant" in desk.ok("list", "zz*", "-p", "env")
    assert desk.json("tree", "-p", "env")["roots"] == ["lib"]
    desk.fails(2, "lockfile-invalid", "tree", "-p", "elsewhere")


def test_what_is_not_ours_stays_and_the_rest_is_removed(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text(MANIFEST)
    error = desk.fails(2, "prefix-missing", "env", "remove", "default")
    assert "is not made" in error["message"]
    desk.ok("sync")
    foreign = desk.here / ".dataloader" / "envs" / "foreign"
    foreign.mkdir()
    (foreign / "kept").write_text("")
    done = desk.run("clean")
    assert (done.returncode, "foreign is not this program's, and stays" in done.stderr) == (0, True)
    assert [path.name for path in foreign.parent.iterdir() if not path.name.startswith(".")] == ["foreign"]

    cache = desk.here / "cache"
    (cache / "scripts" / "foreign").mkdir(parents=True)
    desk.ok("clean", "--scripts", DATALOADER_CACHE_DIR=str(cache))
    assert (cache / "scripts" / "foreign").is_dir()


def test_mistakes_of_a_script_are_told_of_the_script(desk: Desk) -> None:
    (desk.here / "wrong.py").write_text(HEADER.format("'lib=='"))
    done = desk.run("run", "wrong.py")
    assert (done.returncode, "script-invalid" in done.stderr) == (2, True)
    assert "wrong.py: dependencies: 'lib==' is not a requirement" in done.stderr
    (desk.here / "high.py").write_text(HEADER.format("'lib>=99'"))
    done = desk.run("run", "high.py")
    assert done.returncode == 1
    assert "in its header: leave the version of lib open" in done.stderr
    assert "asked for by high.py" in done.stderr
    assert "script.toml" not in done.stderr


def test_a_shell_has_no_document(desk: Desk) -> None:
    desk.fails(2, "usage", "shell")


def test_outdated_asks_what_the_manifest_says_now(desk: Desk, tmp_path: Path) -> None:
    make_wheel(tmp_path / "shelf", "lib", "2.0", files={"lib.py": "\n"})
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(MANIFEST.replace('"*"', '"==1.0"'))
    desk.ok("lock")
    manifest.write_text(MANIFEST)
    (found,) = desk.json("outdated")["packages"]
    assert (found["version"], found["upgrade"]) == ("1.0", "2.0")


def test_an_edit_leaves_the_next_sync_nothing_to_look_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[resolution]\nconda = "never"\n')
    monkeypatch.chdir(desk.here)
    for edit in (["add", "lib"], ["upgrade"], ["remove", "lib"]):
        done = desk.run(*edit, index=False, DATALOADER_CONDA="", PIP_INDEX_URL=desk.index.index_url)
        assert done.returncode == 0, done.stderr
        environ = {**os.environ, "DATALOADER_CONDA": "", "PIP_INDEX_URL": desk.index.index_url}
        assert quick.answer(["sync"], environ) == 0, edit


def test_axes_alone_are_asked_of_the_project_that_lies_here(desk: Desk, tmp_path: Path) -> None:
    pythons = minors(tmp_path)
    (desk.here / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["lib"]\n')
    assert "lib" in desk.ok("lock", f"--python={pythons[0]}")
    assert "lib" in (desk.here / "dataloader.lock").read_text()


def test_a_project_that_has_no_part_in_a_command_is_named(desk: Desk) -> None:
    (desk.here / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["lib"]\n')
    said = "pyproject.toml has no part in this"
    assert said in desk.run("lock", "lib").stderr
    assert said in desk.run("install", "lib").stderr
    assert said not in desk.run("install", "lib", "-p", "elsewhere").stderr
    assert said not in desk.run("lock", "--lockfile", "other.lock", "-r", "pyproject.toml").stderr


@pytest.mark.parametrize("words", [["--python={}"], ["python=={}.*"], ["python>={0}", "python<={0}.99"]])
def test_a_python_that_is_typed_goes_where_the_project_has_its_own(
    words: list[str], desk: Desk, tmp_path: Path
) -> None:
    pythons = minors(tmp_path)
    if len(pythons) < 2:
        pytest.skip("this machine has one Python")
    first, second = pythons[0], pythons[-1]
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(f'[workspace]\nchannels = []\n[dependencies]\npython = "{first}.*"\n')
    desk.ok("add", "lib")
    assert desk.json("list")["python"]["version"].startswith(f"{first}.")
    done = desk.run("add", *(word.format(second) for word in words))
    assert done.returncode == 0, done.stderr
    assert "takes the place of" in done.stderr
    assert desk.json("list")["python"]["version"].startswith(f"{second}.")
    assert first not in manifest.read_text()
    assert "[stack]" not in manifest.read_text()
    assert desk.json("sync", "--locked")["changed"] is False


def test_what_a_fix_wrote_is_told_as_it_was_written(desk: Desk) -> None:
    begun = '[workspace]\nchannels = []\n[pypi-dependencies]\nlib = "==1.0"\n'
    for held, fix, told in (
        (begun, "1", "dataloader.toml has lib now"),
        ("[workspace]\nchannels = []\n", "1", "dataloader.toml has lib now"),
    ):
        (desk.here / "dataloader.toml").write_text(held)
        done = desk.run("add", "lib>=9", "--fix", fix)
        assert (done.returncode, told in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize("words", [["cache"], ["env"], ["kernel"], ["k8s"], ["list", "--jsn"]])
def test_a_mistake_of_the_line_is_told_in_one(words: list[str], desk: Desk) -> None:
    assert "\n" not in desk.fails(2, "usage", *words)["message"]


def test_a_file_that_is_not_there_is_told_before_a_manifest_that_is(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text(MANIFEST)
    assert desk.fails(2, "path-unusable", "init", "--from", "gone.txt")["message"] == "there is no file gone.txt"


def test_advice_about_a_line_is_about_its_command(desk: Desk) -> None:
    done = desk.run("list", "--prefix")
    assert (done.returncode, "`dataloader list --help`" in done.stderr) == (2, True), done.stderr


def test_who_asks_nobody_does_not_know_that_nothing_is_newer(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text(MANIFEST)
    desk.ok("lock")
    assert "--offline asks nobody" in desk.ok("outdated", "--offline")
    assert "as new as it can be" in desk.ok("outdated")
