"""Shells as somebody sits before them, at a pseudo-terminal: activation and its prompt, TAB, questions and Ctrl-C."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.server import Fault
from tests.helpers.terminal import INTERRUPT, Terminal

pytestmark = pytest.mark.slow

CLEAR = "\x15"
"""Empties the line that is typed, in each of them."""


class Shell(NamedTuple):
    """How one of them is started and spoken to."""

    command: tuple[str, ...]
    activate: str
    hook: str
    completion: str
    code: str = "$?"


_EVAL = 'eval "$(dataloader {})"'
SHELLS = {
    "bash": Shell(("bash", "--norc"), "source env/bin/activate", _EVAL.format("shell-hook -p env"), _EVAL),
    "zsh": Shell(
        ("zsh", "-f"),
        "source env/bin/activate",
        _EVAL.format("shell-hook -p env"),
        f"autoload -U compinit; compinit -u -D; {_EVAL}",
    ),
    "fish": Shell(
        ("fish", "--no-config"),
        "source env/bin/activate.fish",
        "dataloader shell-hook -p env --shell fish | source",
        "dataloader {} | source",
        "$status",
    ),
}


@pytest.fixture(params=SHELLS)
def name(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@contextmanager
def session(name: str, desk: Desk, *, columns: int = 100) -> Iterator[Terminal]:
    """A shell in the desk's folder, which finds the program on its PATH."""
    programs = desk.here.parent / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "dataloader"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dataloader "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "xterm", "LANG": "C.UTF-8"}
    environ |= {"DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    with Terminal(SHELLS[name].command, desk.here, environ, columns=columns) as terminal:
        terminal.type("echo rea''dy")
        terminal.until(r"\bready\b")
        yield terminal


def active(terminal: Terminal) -> str:
    """The environment that is active in the shell."""
    terminal.type('echo "<$VIRTUAL_ENV>"')
    return terminal.until(r"<([^$>]*)>")[1]


def code(terminal: Terminal, name: str) -> int:
    """How the last command ended."""
    terminal.type(f"echo code={SHELLS[name].code}")
    return int(terminal.until(r"code=(\d+)")[1])


def test_an_environment_is_entered_and_left(name: str, desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env")
    env = str(desk.here / "env")
    with session(name, desk) as terminal:
        terminal.type(SHELLS[name].activate)
        terminal.until(r"\(env\) ")  # the prompt says so
        assert active(terminal) == env
        terminal.type("deactivate")
        assert active(terminal) == ""
        terminal.type(SHELLS[name].hook)
        assert active(terminal) == env
        terminal.type("dataloader list")
        assert terminal.until(r"using the environment that is active:\s+(\S+)")[1] == env


def test_a_shell_in_a_shell_is_left_by_exit_alone(name: str, desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env")
    with session(name, desk) as terminal:
        terminal.type(f"dataloader shell -p env --shell {name}; echo le''ft")
        assert active(terminal) == str(desk.here / "env")
        terminal.type('python -c \'import time; print("be" + "gun", flush=True); time.sleep(600)\'')
        terminal.until("begun")
        terminal.keys(INTERRUPT)
        terminal.until("KeyboardInterrupt")
        assert active(terminal) == str(desk.here / "env")
        terminal.type("exit")
        terminal.until("left")
        assert active(terminal) == ""


def test_a_tab_completes_commands_options_values_and_paths(name: str, desk: Desk) -> None:
    (desk.here / "wheels-here").mkdir()
    with session(name, desk) as terminal:
        terminal.type(f"{SHELLS[name].completion.format(f'completion {name}')}; echo lo''aded")
        terminal.until("loaded")
        for typed, more in (
            ("ker", "nel"),
            ("lock --upgrade-p", "ackage"),
            ("completion f", "ish"),
            ("list -p wheels-h", "ere"),
        ):
            terminal.keys(f"dataloader {typed}\t")
            terminal.until(f"{typed}{more}")
            terminal.keys(CLEAR)


def test_ctrl_c_ends_what_runs_and_what_solves(name: str, desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env")
    with session(name, desk) as terminal:
        terminal.type('dataloader run -p env -- python -c \'import time; print("be" + "gun"); time.sleep(600)\'')
        terminal.until("begun")
        terminal.keys(INTERRUPT)
        terminal.until("KeyboardInterrupt")
        assert code(terminal, name) == 130

        before = {path: path.read_bytes() for path in desk.here.glob("*.lock")}
        desk.index.fault("/simple/slow/", Fault("stall"))
        terminal.type("dataloader install slow -p env")
        terminal.until("solving")
        terminal.keys(INTERRUPT)
        terminal.until("interrupted; ")
        assert code(terminal, name) == 130
        assert {path: path.read_bytes() for path in desk.here.glob("*.lock")} == before


def test_somebody_is_asked_and_may_leave_with_ctrl_c(desk: Desk) -> None:
    desk.ok("install", "lib", "-p", "env")
    with session("bash", desk) as terminal:
        for answer, told, ends in (("n\r", "", 1), (INTERRUPT, "interrupted; ", 130), ("y\r", "", 0)):
            terminal.type("dataloader env remove -p env")
            terminal.until(r"\[Y/n\] ")
            terminal.keys(answer)
            terminal.until(told)  # what is typed before is read by who asked
            assert code(terminal, "bash") == ends
            assert (desk.here / "env").exists() is (ends != 0)
