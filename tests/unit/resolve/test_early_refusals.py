"""A refusal waits for no page that has no part in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.index.model import IndexFile
from dataloader.resolve.model import Resolution
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex, make_problem

FURTHER = tuple(f"further-{number}" for number in range(5))


class StuckIndex(DictIndex):
    """Has pages that never come."""

    stuck: frozenset[str] = frozenset()

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        if name in self.stuck:
            await asyncio.Event().wait()
        return await super().project(name)


def solve(wheels: list[dict[str, Any]], asked: list[str], stuck: tuple[str, ...], folder: Path) -> dict[str, str]:
    index = StuckIndex(wheels)
    index.stuck = frozenset(stuck)

    async def solved() -> Resolution:
        work = resolve(make_problem({"requirements": asked}, folder), index, Reporter())
        return await asyncio.wait_for(work, 60)

    return {p.name: p.version for p in asyncio.run(solved()).pypi}


def wheel(name: str, version: str, *requires: str) -> dict[str, Any]:
    return {"file": f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "requires": list(requires)}


@pytest.mark.parametrize("extra", ["", "[more]"])
def test_pins_that_contradict_are_refused_though_other_pages_never_come(tmp_path: Path, extra: str) -> None:
    needs = [f"{name}{extra}" for name in FURTHER]
    wheels = [wheel("app", "1.0", *needs, "base<2"), wheel("base", "2.0"), wheel("base", "1.0")]

    with pytest.raises(ResolutionFailure) as caught:
        solve(wheels, ["app==1.0", "base==2.0"], FURTHER, tmp_path)

    assert caught.value.causes == (
        "app==1.0 is asked for by the scenario",
        "base==2.0 is asked for by the scenario",
        "app 1.0 requires base<2",
    )


def test_what_another_release_admits_is_found_with_everything_that_it_needs(tmp_path: Path) -> None:
    wheels = [wheel("app", "2.0", *FURTHER, "base<2"), wheel("app", "1.0", *FURTHER), wheel("base", "2.0")]
    wheels += [wheel(name, "1.0") for name in FURTHER]

    found = solve(wheels, ["app>=1", "base==2.0"], (), tmp_path)

    assert found == {"app": "1.0", "base": "2.0", **dict.fromkeys(FURTHER, "1.0")}


def test_what_is_lacking_is_named_though_it_was_not_looked_up_at_first(tmp_path: Path) -> None:
    """Something stands for what is not read; in the end nothing does."""
    wheels = [wheel("app", "2.0", "gone", "base<2"), wheel("app", "1.0", "gone"), wheel("base", "2.0")]

    with pytest.raises(ResolutionFailure) as caught:
        solve(wheels, ["app>=1", "base==2.0"], (), tmp_path)

    assert any("gone" in cause for cause in caught.value.causes), caught.value.causes
