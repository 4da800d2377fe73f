"""What is advised is run: in each situation every command that is told, between backticks, does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk

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
    "running in an empty project": ({"dataloader.toml": EMPTY}, "run -- python -V"),
    "installing nothing": ({"dataloader.toml": EMPTY}, "install"),
}


def advised(text: str) -> list[str]:
    found = re.findall(r"`((?:cd [^`]*? && |mv [^`]*? && )?dataloader [^`]+)`", text)
    return [re.sub(r"\bDIR\b", "else/where", re.sub(r"\b(NAME|SPEC|torch==2\.1\.0)\b", "lib", each)) for each in found]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_command_that_is_advised_works(situation: str, desk: Desk, tmp_path: Path) -> None:
    files, line = SITUATIONS[situation]
    for name, text in files.items():
        path = desk.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = tmp_path / "bin" / "dataloader"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dataloader "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    environ["PATH"] = f"{program.parent}{os.pathsep}{environ['PATH']}"

    def run(line: str, here: Path) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", line]
        return subprocess.run(command, capture_output=True, text=True, cwd=here, env=environ, check=False)

    said = run(f"dataloader {line}", desk.here)
    lines = advised(said.stdout + said.stderr)
    assert lines or situation == "installing nothing", said.stdout + said.stderr
    for number, each in enumerate(lines):
        here = tmp_path / f"copy-{number}"
        shutil.copytree(desk.here, here)
        done = run(each, here)
        assert done.returncode == 0, f"{each}\n{done.stdout}{done.stderr}"
