"""The counts of the house are what docs/development/architecture.md says, and its walks pass functions that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tools.counts import FAULTS, counts, needless

CODE = Path(__file__).parents[2] / "dataloader"
PAGE = (CODE.parent / "docs" / "development" / "architecture.md").read_text(encoding="utf-8")
COUNTED = dict(re.findall(r"^\| (.+?) \| [\d,]* ?\| ([\d,]+) \|$", PAGE, re.MULTILINE))
WALKS = re.findall(r"^\*\*(.+?)\*\*\n\n((?:\d+\. .+\n)+)", PAGE, re.MULTILINE)


@cache
def counted() -> dict[str, int]:
    return counts()


def test_the_page_has_every_count() -> None:
    """`python tools/counts.py --write` where it has not."""
    assert list(COUNTED) == list(counted())


@pytest.mark.parametrize("what", COUNTED)
def test_a_count_is_what_the_page_says(what: str) -> None:
    """`python tools/counts.py --write` where a size has grown; a fault is mended."""
    said, now = int(COUNTED[what].replace(",", "")), counted()[what]

    assert now <= said if what in FAULTS else abs(now - said) <= max(3, said // 10), (what, said, now)


def test_an_import_in_a_function_delays_something() -> None:
    assert needless() == []


@pytest.mark.parametrize(("title", "steps"), WALKS, ids=[title for title, _ in WALKS])
def test_a_walk_passes_functions_that_exist(title: str, steps: str) -> None:
    lines = steps.splitlines()
    assert 3 <= len(lines) <= 15
    for line in lines:
        paths = [CODE / path for path in re.findall(r"`([\w/]+\.py)`", line)]
        assert paths, line
        defined = {
            node.name
            for path in paths
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        named = {
            part for name in re.findall(r"`([A-Za-z_][\w.]*)`", line) if ".py" not in name for part in name.split(".")
        }
        assert named <= defined, (line, named - defined)


def test_there_are_three_walks() -> None:
    assert len(WALKS) == 3


ONE_HOME = {
    "base/names.py": [r"\[-_\.\]\+", r"unquote\([^\n]*rsplit\(\"/\"", r"join\([^\n]* and \{[^}]*\} more"],
    "base/tasks.py": [r"asyncio\.wait\(.*FIRST_EXCEPTION"],
    "compat/labels.py": [r"removeprefix\(\"cu\"\)", r"\[:-1\]\}\.\{"],
    "elf/tokens.py": [r"\"\$\{\" \+", r"\$ORIGIN\\b"],
    "prefix/layout.py": [r"python3\*/site-packages\""],
    "prefix/rows.py": [r"rsplit\(\",\", 2\)"],
    "compat/matrix.py": [r"rglob\(\"\*\.jsonl\"\)"],
}
"""Module -> how what it is the one home of is written."""


@pytest.mark.parametrize("home", ONE_HOME)
def test_an_idea_has_one_home(home: str) -> None:
    found = {
        str(path.relative_to(CODE))
        for path in CODE.rglob("*.py")
        if any(re.search(pattern, path.read_text(encoding="utf-8")) for pattern in ONE_HOME[home])
    }

    assert found <= {home}


def test_homes_that_the_page_names_are_there() -> None:
    table = PAGE.partition("## One home for each idea")[2].partition("| --- | --- |")[2].partition("\n\n")[0]
    homes = re.findall(r"`([\w/]+\.py)`", table)

    assert len(homes) > 20
    assert [home for home in homes if not (CODE / home).is_file()] == []
