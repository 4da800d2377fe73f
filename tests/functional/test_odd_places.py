"""Places that are no plain files, names that are no plain text: nothing is destroyed, nothing ends in a traceback."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.base.files import replace_file, replace_named
from tests.functional.test_flow import Desk
from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    here = tmp_path / "here"
    here.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "shelf", "lib", version, files={"lib.py": "\n"})
    with IndexServer(tmp_path / "shelf") as index:
        yield Desk(here, index)


def test_a_pipe_is_written_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_named(pipe, b"said")
        assert os.read(reader, 10) == b"said"
        with pytest.raises(FileExistsError):
            replace_file(pipe, b"said")
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    for data in (b"one", b"two"):
        replace_named(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_bytes() == data


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["install", "lib", "--manifest", "pipe"], "manifest-invalid"),
        (["lock", "lib", "--lockfile", "pipe"], "path-unusable"),
        (["install", "lib", "--lockfile", "pipe"], "path-unusable"),
        (["sync", "--lockfile", "here"], "path-unusable"),
    ],
)
def test_what_is_no_file_is_no_manifest_and_no_lock(words: list[str], code: str, desk: Desk) -> None:
    os.mkfifo(desk.here / "pipe")
    (desk.here / "here").mkdir()
    desk.fails(2, code, *words)
    assert stat.S_ISFIFO((desk.here / "pipe").stat().st_mode)


def test_outlets_may_be_pipes(desk: Desk) -> None:
    desk.ok("lock", "lib")
    for words in (["export", "requirements.txt", "-o", "pipe"], ["sync", "--metrics-file", "pipe"]):
        os.mkfifo(desk.here / "pipe")
        reading = subprocess.Popen(["cat", "pipe"], cwd=desk.here, stdout=subprocess.PIPE)
        desk.ok(*words)
        said, _ = reading.communicate(timeout=60)
        assert b"lib" in said or b"dataloader_sync" in said
        assert stat.S_ISFIFO((desk.here / "pipe").stat().st_mode)
        (desk.here / "pipe").unlink()


@pytest.mark.parametrize("name", [b"n\xff", "größe".encode(), b"a b'c", b"-p"])
def test_folders_of_any_name(name: bytes, desk: Desk) -> None:
    folder = Path(os.fsdecode(os.fsencode(desk.here) + b"/" + name))
    folder.mkdir()
    env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    lines = (["init"], ["install", "lib<2"], ["list"], ["verify"], ["lock", "--json"], ["sync"])
    for words in lines:
        done = run_command(*words, cwd=folder, env=env)
        assert done.returncode == 0, (words, done.stderr)
    assert (folder / "dataloader.lock").is_file()


def test_a_name_that_no_file_can_hold_is_refused(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    wheels = Path(os.fsdecode(os.fsencode(desk.here) + b"/w\xff"))
    make_wheel(wheels, "own", "1.0", files={"own.py": "\n"})
    done = desk.run("install", "own", "--find-links", os.fsdecode(b"w\xff"))
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "internal-error" not in done.stderr


def test_a_manifest_with_a_byte_order_mark_is_read_and_keeps_it(desk: Desk) -> None:
    path = desk.here / "dataloader.toml"
    path.write_bytes(b"\xef\xbb\xbf[workspace]\nchannels = []\n")
    desk.ok("install", "lib<2")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf[workspace]")
    assert b"lib" in path.read_bytes()
    desk.ok("sync", "--locked")


def test_an_environment_that_lost_its_notes_is_taken_over(desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env")
    for path in (desk.here / "env" / ".dataloader").iterdir():
        path.unlink()
    (desk.here / "env" / ".dataloader").rmdir()
    error = desk.fails(2, "prefix-foreign", "sync", "-p", "env")
    (advised,) = re.findall(r"`dataloader ([^`]*)`", error["suggestions"][0])
    desk.ok(*advised.split())
    assert "matches the lock already" in desk.ok("sync", "-p", "env")


def test_the_advice_on_a_broken_lock_works(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nlib = "*"\n')
    desk.lock.write_text("junk\n")
    error = desk.fails(2, "lockfile-invalid", "sync")
    assert "delete it and run `dataloader lock`" in error["suggestions"][0]
    desk.lock.unlink()
    desk.ok("lock")
    desk.ok("sync")


def test_what_contradicts_is_not_told_to_say_one_more(desk: Desk) -> None:
    error = desk.fails(1, "no-matching-version", "lock", "lib==1.0", "lib==2.0", "--fix", "9")
    assert [s for s in error["suggestions"] if s.startswith("--fix 1: leave out that lib has to be")]
    assert not [s for s in error["suggestions"] if s.startswith("ask for")]
    error = desk.fails(1, "no-matching-version", "lock", "lib>5", "--fix", "9")
    assert error["suggestions"] == ["--fix 1: leave the version of lib open (lib 2.0)"]


def test_names_in_any_spelling(desk: Desk) -> None:
    desk.ok("lock", "lib")
    assert desk.ok("tree", "LIB") == "lib 2.0\n"
    desk.fails(2, "usage", "run", "--json", "true")


def test_a_dry_run_of_prune_says_what_prune_would_remove(desk: Desk) -> None:
    place = ["--root", "volume", "--name", "x"]
    for version in ("1.0", "2.0", "1.0", "2.0"):
        desk.ok("lock", f"lib=={version}")
        desk.ok("sync", *place, "--reinstall")
    told = desk.json("prune", *place, "--keep", "1", "--dry-run")
    before = desk.json("generations", *place)["generations"]
    done = desk.json("prune", *place, "--keep", "1")
    assert told["removed"] == done["removed"]
    assert (told["dry_run"], done["dry_run"]) == (True, False)
    after = {g["path"] for g in desk.json("generations", *place)["generations"]}
    assert {g["path"] for g in before} - after == set(done["removed"])
    assert desk.json("prune", *place, "--keep", "1", "--dry-run")["removed"] == []


def test_who_asks_for_which_python_is_told(desk: Desk) -> None:
    (desk.here / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n[tool.dataloader]\n'
    )
    error = desk.fails(1, "no-python", "lock", "lib", "--python", "3.10", "--fix", "9")
    assert "Python is asked for by pyproject.toml:4 (>=3.11) and --python (3.10)" in error["causes"]


def test_two_revisions_are_compared(desk: Desk) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
            cwd=desk.here,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    for version in ("1.0", "2.0"):
        desk.ok("lock", f"lib=={version}")
        git("add", "dataloader.lock")
        git("commit", "-qm", version)
    assert "lib" in desk.ok("diff", "HEAD~1", "HEAD")
    assert desk.ok("diff", "HEAD", "HEAD") == "nothing differs\n"
