"""Type what the story says at a pseudo-terminal, and keep what the screen shows.

    python -m tests.sessions [VERB...] [--to FOLDER]

Paths and addresses of this machine are shown as others of the same length: a folder in /home, a host that is nobody's.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.helpers.registry import running_registry
from tests.helpers.server import IndexServer
from tests.helpers.terminal import INTERRUPT, Terminal
from tests.sessions.story import Step, arrive, fill, story

FOLDER = Path(__file__).parents[2] / "docs" / "sessions"
WIDTHS = (80, 100)
HOME = "/home/anna"
INDEX = "https://wheels.example"
PYTHON = "/opt/interpreters/python"
REGISTRY = "hub.example:443"
PROMPT = "$ "
MOST_LINES = 400


def main(arguments: list[str]) -> int:
    """Make the sessions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verbs", nargs="*")
    parser.add_argument("--to", type=Path, default=FOLDER)
    chosen = parser.parse_args(arguments)
    chosen.to.mkdir(parents=True, exist_ok=True)
    for columns in WIDTHS:
        with world() as (environ, registry, shelf):
            told = dict(played(environ, registry, shelf, columns, chosen.verbs))
        (chosen.to / f"{columns}-columns.txt").write_text("\n".join(told.values()))
    return 0


@contextmanager
def world() -> Iterator[tuple[Mapping[str, str], str, Path]]:
    """A home with a project, an index and a registry: the variables that lead there, the registry's address, and the
    folder of the index."""
    with (
        tempfile.TemporaryDirectory(prefix="", dir="/tmp") as folder,
        running_registry(Path(folder) / "registry") as registry,
        IndexServer(Path(folder) / "shelf", metadata="hashed", json=True) as index,
    ):
        home = Path(tempfile.gettempdir()) / f"ada{os.getpid() % 100:02d}"
        assert len(str(home)) == len(HOME), home
        project, programs = home / "tides", Path(folder) / "programs"
        for each in (Path(folder) / "shelf", project, programs):
            each.mkdir(parents=True)
        fill(Path(folder) / "shelf", project)
        program = programs / "dataloader"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dataloader "$@"\n')
        program.chmod(0o755)
        kept = {name: os.environ[name] for name in ("SSL_CERT_FILE", "LD_LIBRARY_PATH") if name in os.environ}
        environ = {
            **kept,
            "HOME": str(home),
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PIP_CONFIG_FILE": os.devnull,
            "DATALOADER_CONDA": "never",
            "DATALOADER_INDEX_URL": index.index_url,
        }
        try:
            yield environ, registry, Path(folder) / "shelf"
        finally:
            import shutil

            shutil.rmtree(home, ignore_errors=True)


def played(
    environ: Mapping[str, str], registry: str, shelf: Path, columns: int, verbs: list[str]
) -> Iterator[tuple[str, str]]:
    """Type everything; yield what is shown for each verb, those that are asked for or all."""
    project = Path(environ["HOME"]) / "tides"
    for verb, steps in story(registry).items():
        if verb == "lock":
            (project / "before.lock").write_bytes((project / "dataloader.lock").read_bytes())
        found: list[str] = []
        for step in steps:
            if step.arrives:
                arrive(shelf)
            found += typed(step, project, environ, columns)
        if not verbs or verb in verbs:
            head = f"==== {verb} "
            yield verb, "\n".join([head + "=" * (columns - len(head)), "", *found, ""])
        sys.stderr.write(f"{columns} {verb}\n")


def typed(step: Step, project: Path, environ: Mapping[str, str], columns: int) -> Iterator[str]:
    """Run one line at a terminal of its own; yield it and what the screen shows of it, in between and at the end."""
    screen = pyte.Screen(columns, MOST_LINES)
    stream = pyte.ByteStream(screen)
    seen: list[str] = []

    def hear(text: bytes) -> None:
        stream.feed(text)
        if step.watched and not seen and re.search(step.watched, "\n".join(screen.display)):
            seen.extend(rows(screen))
            if step.interrupt:
                terminal.keys(INTERRUPT)

    stream.feed(f"{PROMPT}{step.line}\r\n".encode())
    with Terminal(
        ["bash", "--norc", "-c", step.line], project, environ, columns=columns, lines=MOST_LINES, hear=hear
    ) as terminal:
        if step.keys:
            terminal.until(step.until)
            terminal.keys(step.keys)
        terminal.ended()
    port = environ["DATALOADER_INDEX_URL"].rpartition(":")[2].partition("/")[0]
    python = f"{PYTHON}{'-' * 80}"[: len(sys.base_prefix)]
    names = {environ["HOME"]: HOME, f"http://127.0.0.1:{port}": INDEX, sys.base_prefix: python}
    if seen:
        yield from shown(seen, names)
        yield ""
        yield "  ... and when it has ended:"
        yield ""
    yield from shown(rows(screen), names)
    yield ""


def rows(screen: pyte.Screen) -> list[str]:
    """The screen's lines, without what is empty at its end."""
    found = [line.rstrip() for line in screen.display]
    while found and not found[-1]:
        found.pop()
    return found


def shown(found: list[str], names: Mapping[str, str]) -> Iterator[str]:
    """Lines without what is this machine's."""
    for line in found:
        for old, new in names.items():
            line = line.replace(old, new)
        yield re.sub(r"127\.0\.0\.1:\d{5}", REGISTRY, line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
