"""The verbs of every day beside uv's, on a small project with a warm cache: until the first line, and in all."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.results import Result, ratio
from tests.bench.tools import World, dataloader, uv

REQUIRED = ("rich", "attrs", "httpx", "tqdm")
VERBS: dict[str, tuple[str, str]] = {
    "help": ("--help", "--help"),
    "lock, nothing to do": ("lock", "lock"),
    "sync, the first after an edit": ("sync", "sync"),
    "sync, nothing to do": ("sync", "sync"),
    "run": ("run -- true", "run true"),
    "list": ("list", "pip list"),
    "tree": ("tree", "tree"),
    "add": ("add iniconfig", "add iniconfig"),
    "remove": ("remove iniconfig", "remove iniconfig"),
    "upgrade, what would be": ("upgrade --dry-run", "lock --upgrade --dry-run"),
}
"""Verb -> ours, and uv's. They are run in this order: what one adds the next removes."""


def verbs(world: World) -> Iterator[Result]:
    """How long somebody waits for the common verbs."""
    here = world.directory("verbs")
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"), UV_CACHE_DIR=str(here / "uv-cache"))
    env["UV_PYTHON"] = sys.executable
    ours, theirs = here / "ours", here / "theirs"
    for folder, program, name, begun in (
        (ours, dataloader(), "dataloader.toml", '[workspace]\nchannels = []\n[resolution]\nconda = "never"\n'),
        (theirs, uv(), "pyproject.toml", '[project]\nname = "theirs"\nversion = "1"\nrequires-python = ">=3.10"\n'),
    ):
        folder.mkdir()
        (folder / name).write_text(begun)
        _waited([program, "add", *REQUIRED], folder, env)
    seen: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {verb: ([], []) for verb in VERBS}
    for _ in range(world.runs):
        for verb, words in VERBS.items():
            tools = zip(seen[verb], (dataloader(), uv()), words, (ours, theirs), strict=True)
            for taken, program, line, folder in tools:
                taken.append(_waited([program, *line.split()], folder, env))
    for verb, both in seen.items():
        for place, what in enumerate(("first line", "answer")):
            medians = [statistics.median(each[place] for each in taken) for taken in both]
            yield ratio(f"{verb}: {what}", medians, None, "uv")


def _waited(command: list[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Run a command; seconds until the first line, or until the end where there is none, and in all."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        first = time.perf_counter() - started
        said += process.stdout.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed ({process.returncode}):\n{said.decode()}")
    return first, time.perf_counter() - started
