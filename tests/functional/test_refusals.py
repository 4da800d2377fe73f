"""Refusals as a user reads them: told before anything is solved where that can be, else at once, in their words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_sdist, make_wheel

_ROOM = 4 << 30
"""Bytes of address space that a refusal may use."""


@dataclass(frozen=True)
class Desk:
    """A directory to work in, and an index to ask."""

    here: Path
    index: IndexServer

    def refused(self, *arguments: str, **environ: str) -> tuple[list[str], dict[str, object]]:
        """Return the lines that a person reads, and the error of the document."""
        env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": self.index.index_url, **environ}
        said, as_json = (
            run_command("lock", *arguments, *more, cwd=self.here, env=env, room=_ROOM) for more in ((), ("--json",))
        )
        assert (said.returncode, said.stdout) == (1, ""), said.stdout + said.stderr
        lines = [line for line in said.stderr.splitlines() if not line.startswith(("[INFO] target", "[INFO] solving"))]
        return lines, json.loads(as_json.stdout)["error"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "torch", "2.0", requires=["numpy<2,>=1.20"])
    make_wheel(shelf, "numpy", "1.26.0")
    make_wheel(shelf, "numpy", "2.1.0")
    make_sdist(shelf, "only-source", "1.0")
    with IndexServer(shelf) as index:
        yield Desk(here, index)


def test_a_conflict_is_told_before_changes_are_sought(desk: Desk) -> None:
    make_wheel(desk.index.folder, "wrap", "1.0", requires=["numpy<2,>=1.20"])
    lines, error = desk.refused("numpy==2.1.0", "wrap")

    assert lines == [
        "error[no-solution]: no set of packages meets all requirements",
        "  - numpy==2.1.0 is asked for by the command line",
        "  - wrap is asked for by the command line",
        "  - wrap 1.0 requires numpy<2,>=1.20",
        "[INFO] looking for changes that work, for up to 15 s",
        "  try: --fix 1: leave the version of numpy open (numpy 1.26.0)",
        "  try: --fix 2: leave out wrap",
        "  see: dataloader help no-solution",
    ]
    assert error == {
        "code": "no-solution",
        "message": "no set of packages meets all requirements",
        "causes": [line.removeprefix("  - ") for line in lines[1:4]],
        "suggestions": [line.removeprefix("  try: ") for line in lines[5:7]],
    }


def test_near_names_are_those_that_the_index_has(desk: Desk) -> None:
    lines, _ = desk.refused("nunpy")

    assert "  try: did you mean numpy?" in lines
    assert "numba" not in "\n".join(lines)


def test_condas_names_lead_to_the_projects(desk: Desk) -> None:
    make_wheel(desk.index.folder, "tables", "3.9")
    make_sdist(desk.index.folder, "pytorch", "1.0")

    unknown, _ = desk.refused("pytables")
    source, _ = desk.refused("pytorch")

    assert "  try: did you mean tables?" in unknown
    assert "  - what conda calls pytorch is torch on PyPI" in source


def test_nothing_else_is_read_for_a_name_that_nobody_has(desk: Desk) -> None:
    lines, _ = desk.refused("numpy", "no-such-thing")

    assert lines[0].startswith("error[unknown-package]: no package is named no-such-thing")
    assert "looking for changes" not in "\n".join(lines)
    assert desk.index.count("*.whl*") == 0


def test_a_source_archive_alone_is_told_as_such(desk: Desk) -> None:
    lines, error = desk.refused("only-source")

    assert lines[0] == "error[no-wheel]: only-source has only a source archive (asked for by the command line)"
    assert error["code"] == "no-wheel"


def test_many_wheels_that_exclude_each_other_are_refused_in_little_room(desk: Desk) -> None:
    """rattler may write an account without end of such a knot: 11 GB were seen."""
    names = [f"knot{number}" for number in range(6)]
    for number, name in enumerate(names):
        others = [names[(number + step) % len(names)] for step in (1, 2)]
        for version in range(1, 4):
            wanted = [f"{other}!={(version + step) % 3 + 1}" for step, other in enumerate(others)]
            make_wheel(desk.index.folder, name, str(version), requires=[*wanted, f"gone{number}"])

    lines, error = desk.refused(*names)

    assert error["code"] == "no-solution"
    assert len(lines) < 30
