"""Pre-releases are taken where what is asked for admits nothing else: packaging is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

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


DEEP = {
    "only a pre-release is left for what something needs": (["xx"], {"xx": "1.0", "yy": "2.0b1"}),
    "a bare name beside it changes nothing": (["xx", "yy"], {"xx": "1.0", "yy": "2.0b1"}),
    "what was passed over opens none": (["vv"], {"vv": "1.0", "zz": "2.0"}),
    "nor beside a bare name": (["zz", "vv"], {"vv": "1.0", "zz": "2.0"}),
    "one that is named is taken": (["ww"], {"ww": "1.0", "zz": "3.0b1"}),
    "a bound that a final release meets as well takes that": (["uu"], {"uu": "1.0", "zz": "2.0"}),
}
"""What is asked for, and what ``uv pip compile`` makes of it."""


@pytest.mark.parametrize("case", DEEP, ids=lambda name: name.replace(" ", "-"))
def test_a_pre_release_that_something_needs_is_taken_and_no_other(case: str, tmp_path: Path) -> None:
    names, expected = DEEP[case]
    wheels: list[dict[str, Any]] = [
        *({"file": f"yy-{version}-py3-none-any.whl"} for version in ("1.0", "2.0b1")),
        *({"file": f"zz-{version}-py3-none-any.whl"} for version in ("1.0", "2.0", "3.0b1")),
        {"file": "xx-1.0-py3-none-any.whl", "requires": ["yy>1"]},
        {"file": "vv-2.0-py3-none-any.whl", "requires": ["zz>=3.0b1", "nosuch"]},
        {"file": "vv-1.0-py3-none-any.whl", "requires": ["zz"]},
        {"file": "ww-1.0-py3-none-any.whl", "requires": ["zz>=3.0b1"]},
        {"file": "uu-1.0-py3-none-any.whl", "requires": ["zz>1"]},
    ]
    problem = Problem(
        target=Target(glibc="2.36"),
        requirements=tuple(Requirement(name=name) for name in names),
        host_pythons=("3.11.7",),
    )

    found = asyncio.run(resolve(problem, DictIndex(wheels), Reporter(), cache=tmp_path)).pypi

    assert {one.name: one.version for one in found} == expected
