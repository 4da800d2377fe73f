"""Whose wheels are used: --no-binary and --only-binary, of the command line, files and the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.machine.target import Target
from dataloader.request.request import make_request
from dataloader.resolve.model import Problem

MANIFEST = """
[workspace]
name = "here"
platforms = ["linux-64"]
[pypi-options]
no-binary = ["Held_Back"]
"""


def problem(here: Path, *, no: tuple[str, ...] = (), only: tuple[str, ...] = (), file: str = "") -> Problem:
    """What a solve is told."""
    (here / "more.txt").write_text(file)
    options = CommonOptions(no_binary=no, only_binary=only, requirements=(here / "more.txt",))
    request = make_request(options, (), None, environ={}, here=here)
    return Problem(target=Target(), no_binary=request.no_binary, only_binary=request.only_binary)


@pytest.mark.parametrize(
    ("no", "only", "file", "without"),
    [
        ((), (), "", set()),
        (("A.b",), (), "", {"a-b"}),
        (("a-b,c",), (), "", {"a-b", "c"}),
        ((":all:",), (), "", {"a-b", "c", "d"}),
        ((":all:",), ("A_B", "c"), "", {"d"}),
        (("c",), (":all:",), "", {"c"}),
        (("c", ":none:", "d"), (), "", {"d"}),
        ((), (), "--no-binary a-b,c", {"a-b", "c"}),
        ((), ("c",), "--no-binary a-b,c", {"a-b"}),
        ((":all:",), (), "--only-binary :all:", {"a-b", "c", "d"}),
        ((), (":all:",), "--no-binary :all:", set()),
        ((), (), "--no-binary :all:\n--only-binary d", {"a-b", "c"}),
    ],
)
def test_the_most_immediate_source_decides(
    no: tuple[str, ...], only: tuple[str, ...], file: str, without: set[str], tmp_path: Path
) -> None:
    asked = problem(tmp_path, no=no, only=only, file=file)

    assert {name for name in ("a-b", "c", "d") if asked.without_wheels(name)} == without


def test_the_manifest_has_a_say(tmp_path: Path) -> None:
    (tmp_path / "dataloader.toml").write_text(MANIFEST)

    assert problem(tmp_path).without_wheels("held-back")
    assert not problem(tmp_path, only=("held_back",)).without_wheels("held-back")


def test_both_of_one_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no wheels and only wheels are asked for of a-b"):
        problem(tmp_path, no=("A.b", "c"), only=("a_b",))
