"""What is advised is run: in each situation every command that is told, between backticks, does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.command import program

PROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["lib"]\n'
POETRY = '[tool.poetry]\nname = "x"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.8"\nlib = "*"\n'
OURS = "[workspace]\nchannels = []\n[pypi-dependencies]\nlib = '*'\n"
EMPTY = "[workspace]\nchannels = []\n"

SITUATIONS: dict[str, tuple[dict[str, str], str]] = {
    "a new project": ({}, "init"),
    "a new project elsewhere": ({}, "init 'some where'"),
    "a new project taken over": ({"from.txt": "lib\n"}, "init new --from from.txt"),
    "files beside": (
        {"requirements.txt": "lib\n", "environment.yml": "channels: []\ndependencies: [{pip: [lib]}]\n"},
        "init",
    ),
    "a project beside": ({"pyproject.toml": PROJECT}, "init"),
    "a project beside, elsewhere": ({"sub/pyproject.toml": PROJECT}, "init sub"),
    "a Poetry project beside": ({"pyproject.toml": POETRY}, "init"),
    "settings of tools beside": ({"pyproject.toml": "[tool.ruff]\nline-length = 100\n"}, "init"),
    "a manifest there": ({"dataloader.toml": OURS}, "init"),
    "a manifest there, elsewhere": ({"sub/dataloader.toml": OURS, "r.txt": "lib\n"}, "init sub --from r.txt"),
    "pixi's beside ours": ({"dataloader.toml": OURS}, "init --pixi"),
    "ours beside pixi's": ({"sub/pixi.toml": OURS}, "init sub"),
    "ours in a pyproject": ({"pyproject.toml": PROJECT + "[tool.dataloader.workspace]\nchannels = []\n"}, "init"),
    "adding to nothing": ({}, "add lib"),
    "adding to a project": ({"pyproject.toml": PROJECT}, "add lib"),
    "adding to a Poetry project": ({"pyproject.toml": POETRY}, "add lib"),
    "removing from a project": ({"pyproject.toml": PROJECT}, "remove lib"),
    "upgrading a project": ({"pyproject.toml": PROJECT}, "upgrade"),
    "installing elsewhere": ({}, "install lib -p 'a place'"),
    "adding to another manifest": ({"dev.toml": EMPTY}, "add lib --manifest dev.toml"),
    "adding to an environment": (
        {"dataloader.toml": f"{EMPTY}[feature.f]\n[environments]\nf = ['f']\n"},
        "add lib -e f",
    ),
    **{
        f"{verb} where there is {what}": (files, verb)
        for what, files in {"a file": {"requirements.txt": "lib\n"}, "nothing": {}}.items()
        for verb in ("lock", "sync", "list", "add lib")
    },
    "listing where several files lie": (
        {"requirements.txt": "lib\n", "environment.yml": "channels: []\ndependencies: [{pip: [lib]}]\n"},
        "list",
    ),
    "installing nothing": ({"dataloader.toml": EMPTY}, "install"),
}


def advised(text: str) -> list[str]:
    found = re.findall(r"`((?:cd [^`]*? && |mv [^`]*? && )?dataloader [^`]+)`", text)
    return [re.sub(r"\bDIR\b", "else/where", re.sub(r"\b(NAME|SPEC|torch==2\.1\.0)\b", "lib", each)) for each in found]


PLACES: dict[str, dict[str, str]] = {
    "nothing": {},
    "a manifest": {"dataloader.toml": OURS},
    "a project": {"pyproject.toml": PROJECT},
    "a list": {"requirements.txt": "lib\n"},
}
"""What may lie where somebody asks for what is not made yet."""

VERBS = (
    "env list", "env remove default", "explain lib", "export pylock.toml", "bundle", "kernel install", "list",
    "outdated", "push 127.0.0.1:1/x:1", "remove lib", "run -- true", "shell", "shell-hook", "sync", "sync --frozen",
    "sync --locked", "tree", "upgrade", "verify",
)  # fmt: skip


@dataclass(frozen=True)
class Shell:
    """Command lines, run as people type them."""

    environ: dict[str, str]

    def run(self, line: str, here: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, cwd=here, env=self.environ, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip

    def works_in_a_copy(self, line: str, here: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "copy"
            shutil.copytree(here, copy)
            done = self.run(line, copy)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.fixture
def shell(desk: Desk, tmp_path: Path) -> Shell:
    folder = program(tmp_path / "bin").parent
    environ = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    return Shell({**environ, "PATH": f"{folder}{os.pathsep}{environ['PATH']}"})


def write(files: dict[str, str], here: Path) -> None:
    for name, text in files.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_command_that_is_advised_works(situation: str, desk: Desk, shell: Shell) -> None:
    files, line = SITUATIONS[situation]
    write(files, desk.here)

    said = shell.run(f"dataloader {line}", desk.here)

    lines = advised(said.stdout + said.stderr)
    assert lines or situation == "installing nothing", said.stdout + said.stderr
    for each in lines:
        shell.works_in_a_copy(each, desk.here)


@pytest.mark.parametrize("place", PLACES)
def test_each_first_step_that_a_command_advises_works(place: str, desk: Desk, shell: Shell) -> None:
    """Whatever is asked for before there is a lock or an environment: what is told to do first can be done."""
    write(PLACES[place], desk.here)
    steps: dict[str, str] = {}
    for verb in VERBS:
        copy = desk.here.with_name(verb.replace("/", "_"))
        shutil.copytree(desk.here, copy)
        said = shell.run(f"dataloader {verb}", copy)
        lines = advised(said.stderr)
        if said.returncode:
            assert lines, f"dataloader {verb}\n{said.stdout}{said.stderr}"
            steps.update(dict.fromkeys((re.sub(r"\bREF\b", "127.0.0.1:1/x:1", each) for each in lines), verb))
    for step, verb in steps.items():
        try:
            shell.works_in_a_copy(step, desk.here)
        except AssertionError as error:
            raise AssertionError(f"advised by dataloader {verb}: {error}") from error
