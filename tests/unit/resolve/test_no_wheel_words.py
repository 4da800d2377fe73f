"""A release without a wheel for this Python says which Pythons it is for: by its tags, and by Requires-Python."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex, make_problem

LINUX = "manylinux_2_17_x86_64"


def told(wheels: list[dict[str, Any]], folder: Path) -> list[str]:
    problem = make_problem({"requirements": ["app==1.0"], "host_pythons": ["3.13.1"]}, folder)
    with pytest.raises(ResolutionFailure) as caught:
        asyncio.run(resolve(problem, DictIndex(wheels), Reporter()))
    assert caught.value.code == "no-wheel"
    return [cause.removeprefix("app 1.0 ") for cause in caught.value.causes if "Python 3.13" not in cause]


@pytest.mark.parametrize(
    ("files", "required", "says"),
    [
        (
            [f"cp38-abi3-{LINUX}"],
            "<3.13,>=3.9",
            ["has wheels for Python 3.8 and later on linux-64", "requires Python <3.13,>=3.9"],
        ),
        ([f"cp39-cp39-{LINUX}", f"cp312-cp312-{LINUX}"], None, ["has wheels for Python 3.9, 3.12 on linux-64"]),
        (["py3-none-any"], "<3.12", ["requires Python <3.12"]),
        (["cp312-cp312-win_amd64"], None, []),
    ],
)
def test_which_pythons_a_release_is_for(
    files: list[str], required: str | None, says: list[str], tmp_path: Path
) -> None:
    wheels = [{"file": f"app-1.0-{tags}.whl", "requires_python": required} for tags in files]

    assert [line for line in told(wheels, tmp_path) if not line.startswith("offers")] == says
