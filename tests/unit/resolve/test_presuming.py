"""What nobody read of a project is presumed alike, and a presumption refuses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.resolve.model import Resolution
from dataloader.resolve.offered.knowledge import SAMPLES
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex, make_problem

MANY = 300


def wheels(base: tuple[str, ...], *, free: int | None) -> list[dict[str, Any]]:
    """Return ``base``, and a library of which every release but one wants an old one."""
    return [
        *({"file": f"base-{version}-py3-none-any.whl"} for version in base),
        *(
            {"file": f"lib-{number}.0-py3-none-any.whl", "requires": [] if number == free else ["base>=1,<3"]}
            for number in range(1, MANY + 1)
        ),
    ]


def solve(index: DictIndex, tmp_path: Path) -> dict[str, str]:
    async def solved() -> Resolution:
        return await resolve(make_problem({"requirements": ["base", "lib>=1"]}, tmp_path), index, Reporter())

    return {p.name: p.version for p in asyncio.run(solved()).pypi}


def test_a_conflict_with_each_release_of_a_project_is_not_met_one_by_one(tmp_path: Path) -> None:
    index = DictIndex(wheels(("4.0", "2.9"), free=None))

    assert solve(index, tmp_path) == {"base": "2.9", "lib": f"{MANY}.0"}
    assert len([name for name in index.read if name.startswith("lib")]) < 40 + SAMPLES


def test_the_one_release_that_differs_is_found_all_the_same(tmp_path: Path) -> None:
    assert solve(DictIndex(wheels(("4.0",), free=7)), tmp_path) == {"base": "4.0", "lib": "7.0"}


def test_what_no_release_admits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResolutionFailure) as caught:
        solve(DictIndex(wheels(("4.0",), free=None)), tmp_path)

    assert any("base" in cause for cause in caught.value.causes)


@pytest.mark.parametrize(("libs", "mids", "free"), [(5, 300, 150), (3, 1000, 20), (10, 2000, 1000)])
def test_a_presumption_keeps_nothing_that_was_asked_for_far_behind(
    libs: int, mids: int, free: int, tmp_path: Path
) -> None:
    """What a library needs differs far down its history; very old releases of the library did not need it."""
    index = DictIndex(
        [
            {"file": "base-4.0-py3-none-any.whl"},
            *(
                {"file": f"lib-{number}.0-py3-none-any.whl", "requires": ["mid>=1"] if number > 2 else []}
                for number in range(1, libs + 1)
            ),
            *(
                {"file": f"mid-{number}.0-py3-none-any.whl", "requires": ["base>=5"] if number > free else []}
                for number in range(1, mids + 1)
            ),
        ]
    )

    found = solve(index, tmp_path)

    assert (found["base"], found["lib"]) == ("4.0", f"{libs}.0")
    assert free - 3 < int(found["mid"].partition(".")[0]) <= free
    assert len(index.read) < 120
