"""Pre-releases are taken where what is asked for admits nothing else: packaging is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.machine.target import Target
from dataloader.resolve.model import Problem, Requirement
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex

WORLDS = [["0.1.0", "1.0.0a1"], ["1.0", "2.0rc1", "2.0"], ["1.0b1", "1.0b2"], ["1.0", "1.1.dev3", "0.9"]]
SPECIFIERS = ["", ">0.1.0", ">=1", "<2", ">1.0", ">=1.0b1", "==1.0.0a1", ">=2", "<1", "!=1.0"]


@pytest.mark.parametrize("versions", WORLDS, ids=",".join)
def test_what_is_chosen_is_what_packaging_would_take(versions: list[str], tmp_path: Path) -> None:
    wheels: list[dict[str, object]] = [{"file": f"demo-{version}-py3-none-any.whl"} for version in versions]
    for specifier in SPECIFIERS:
        problem = Problem(
            target=Target(glibc="2.36"),
            requirements=(Requirement(name="demo", specifier=specifier),),
            host_pythons=("3.11.7",),
        )
        fitting = list(SpecifierSet(specifier).filter(map(Version, versions)))
        try:
            chosen = asyncio.run(resolve(problem, DictIndex(wheels), Reporter(), cache=tmp_path)).pypi[0].version
        except ResolutionFailure:
            chosen = None
        assert chosen == (str(max(fitting)) if fitting else None), specifier
