"""Somebody at a terminal is asked before packages of an environment are replaced or removed; nobody else is."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an environment that has lib 2.0."""
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path / "shelf", "lib", version, files={"lib.py": f"V = {version!r}\n"})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with IndexServer(tmp_path / "shelf") as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        monkeypatch.setenv("DATALOADER_CONDA", "never")
        at_a_terminal("init")
        code, said = at_a_terminal("install", "lib")
        assert (code, "Go on" in said) == (0, False)
        yield here


def at_a_terminal(*arguments: str, answer: str = "") -> tuple[int, str]:
    """Exit code, and what the terminal shows, of a command whose question is answered with what is typed ahead."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            [sys.executable, "-m", "dataloader", *arguments],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        os.write(theirs, b"END")
        said = b""
        while not said.endswith(b"END"):
            said += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, said.decode()


@pytest.mark.parametrize("answer", ["n\n", "what?\n", "\x04"])
def test_no_leaves_everything_as_it_was(here: Path, answer: str) -> None:
    before = {path: path.read_bytes() for path in (here / "dataloader.toml", here / "dataloader.lock")}

    code, said = at_a_terminal("install", "lib==1.0", answer=answer)

    assert (code, "error[declined]" in said) == (1, True)
    assert "~  lib  2.0  ->  1.0" in said
    assert {path: path.read_bytes() for path in before} == before
    assert installed(here) == "2.0"


@pytest.mark.parametrize("answer", ["\n", "Y\n", "yes\n"])
def test_yes_goes_on(here: Path, answer: str) -> None:
    code, said = at_a_terminal("install", "lib==1.0", answer=answer)

    assert (code, "Go on: 1 to replace?" in said, installed(here)) == (0, True, "1.0")


def test_who_has_said_yes_is_not_asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = at_a_terminal("install", "-y", "lib==1.0")
    assert (code, "Go on" in said, installed(here)) == (0, False, "1.0")

    monkeypatch.setenv("DATALOADER_YES", "1")
    code, said = at_a_terminal("install", "lib==2.0")
    assert (code, "Go on" in said, installed(here)) == (0, False, "2.0")


def test_where_there_is_no_terminal_nobody_is_asked(here: Path) -> None:
    command = [sys.executable, "-m", "dataloader", "install", "lib==1.0"]

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert (done.returncode, "Go on" in done.stderr, installed(here)) == (0, False, "1.0")


def installed(here: Path) -> str:
    (file,) = here.glob(".dataloader/envs/default/lib/python3*/site-packages/lib.py")
    return file.read_text().split("'")[1]
