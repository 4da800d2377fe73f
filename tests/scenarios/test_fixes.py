"""For every refusal of the scenarios: its first suggestion, applied as ``--fix 1`` applies it, solves.

A refusal that nothing mends says so in its file, ``no_repair = "why"``, and then nothing may be suggested.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import pytest

from dataloader.base.errors import DataloaderError, ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.index.client import IndexClient
from dataloader.index.model import IndexFile
from dataloader.index.settings import IndexSettings
from dataloader.lockfile.model import LockedPython, Lockfile
from dataloader.locking.fixes import find_fixes
from dataloader.locking.lock import Locked, make_lock
from dataloader.locking.stacks import stack_request, stacks
from dataloader.request.request import Request
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement
from dataloader.request.specs.spec import parse_conda, parse_pypi, parse_spec
from dataloader.resolve.model import Resolution
from dataloader.resolve.solve import resolve
from dataloader.stack import Stack
from tests.scenarios import test_plan, test_resolve
from tests.scenarios.test_plan import _packages, _targets
from tests.scenarios.test_resolve import DictIndex, make_problem, write_channel

pytestmark = pytest.mark.slow

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Solve: TypeAlias = Callable[[Request], Awaitable[Locked]]

_AXES = ("cuda", "cudnn", "nccl", "gcc", "python")
_NO_RESOLUTION = Resolution(conda=(), pypi=(), python=None, python_source="none")


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


STACKS = [path for path in test_plan.SCENARIOS if _read(path)["expected"].get("refused")]
PACKAGES = [path for path in test_plan.SCENARIOS if _read(path)["expected"].get("broken")]
PROBLEMS = [path for path in test_resolve.SCENARIOS if "error" in _read(path)["expected"]]


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.stem)
def test_the_first_repair_of_a_refused_stack_has_a_stack(path: Path, tmp_path: Path, matrix: Matrix) -> None:
    scenario = _read(path)
    request, targets = _request(scenario, tmp_path, ()), _targets(scenario.get("target", [{"glibc": "2.36"}]))

    async def plan(changed: Request) -> Locked:
        # A scenario can rule out more than a command line can: one world alone, and further wheel indexes.
        said = scenario["request"]
        both = changed.conda_mode != request.conda_mode or changed.channels != request.channels
        worlds = frozenset({"conda", "pypi"} if both else said.get("worlds", ("conda", "pypi")))
        channels = changed.channels if "conda" in worlds else ()
        asked = replace(stack_request(matrix, changed, worlds, channels), indexes=said.get("indexes", True))
        return _locked(next(stacks(matrix, asked, targets)))

    _check(scenario, request, plan)


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.stem)
def test_the_first_repair_of_packages_that_break_a_rule_solves(path: Path, tmp_path: Path) -> None:
    scenario = _read(path)
    found = [package for text in scenario["packages"].items() for package in _packages(*text)]
    channel = tmp_path / (scenario["request"].get("channels") or ["conda-forge"])[0]
    records = [f"{p.name[6:]}={p.version}={p.build}" for p in found if p.name.startswith("conda:")]
    url = write_channel(
        channel, [{"record": text} for text in (*records, "python=3.11.7=h_0", *scenario.get("records", ()))]
    )
    request = _request(scenario, tmp_path, (url,) if records else ())
    wheels = [p for p in found if p.world == "pypi"]
    request = replace(
        request,
        pypi=tuple(parse_pypi(text) for text in scenario.get("asks", [f"{p.name}=={p.version}" for p in wheels])),
        conda=tuple(
            CondaRequirement(name=p.name[6:], version=f"=={p.version}", build=p.build)
            for p in found
            if p.name.startswith("conda:")
        ),
    )
    client = _Client(
        [{"file": f"{p.name.replace('-', '_')}-{p.version}-py3-none-any.whl"} for p in wheels]
        + scenario.get("wheels", [])
    )

    async def solve(changed: Request) -> Locked:
        return await make_lock(changed, cast("IndexClient", client), Reporter(), cache=tmp_path / "cache", environ={})

    _check(scenario, request, solve)


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_the_first_repair_of_a_refused_problem_solves(path: Path, tmp_path: Path) -> None:
    scenario = _read(path)
    request = Request(
        manifest=None,
        lockfile=tmp_path / "lock",
        prefix=tmp_path / "prefix",
        read_settings=IndexSettings,
        pypi=tuple(r for r in map(parse_spec, scenario.get("requirements", ())) if isinstance(r, PypiRequirement)),
        conda=tuple(parse_conda(text) for text in scenario.get("conda", ())),
        stack={"python": scenario["python"]} if "python" in scenario else {},
        exclude_newer=scenario.get("exclude_newer"),
    )
    folders = (tmp_path / str(number) for number in itertools.count())

    async def solve(changed: Request) -> Locked:
        asked = {
            **scenario,
            "requirements": [str(r) for r in changed.pypi],
            "conda": [r.match_spec for r in changed.conda],
            "python": changed.stack.get("python", ""),
            "exclude_newer": changed.exclude_newer,
        }
        index = DictIndex(scenario.get("wheels", []))
        return _locked(Stack(axes={}), await resolve(make_problem(asked, next(folders)), index, Reporter()))

    _check(scenario, request, solve)


def _check(scenario: Mapping[str, Any], request: Request, solve: Solve) -> None:
    async def first() -> None:
        with pytest.raises(DataloaderError) as refused:
            await solve(request)
        # What is no refusal of a solver gets no search for repairs.
        fixes = (
            await find_fixes(request, refused.value, solve, most=1, seconds=300)
            if isinstance(refused.value, ResolutionFailure)
            else ()
        )
        told = "\n".join((refused.value.message, *refused.value.causes))
        if reason := scenario["expected"].get("no_repair"):
            assert (len(reason) > 20, [fix.text for fix in fixes]) == (True, [])
            return
        assert fixes, told
        assert fixes[0].request != request
        assert (await solve(fixes[0].request)).stack.axes == fixes[0].locked.stack.axes

    asyncio.run(first())


def _request(scenario: Mapping[str, Any], folder: Path, channels: tuple[str, ...]) -> Request:
    """Return the request of a stack scenario as the commands would make it."""
    said = scenario["request"]
    conda = "conda" in said.get("worlds", ("conda", "pypi"))
    axes = {axis: said[axis] for axis in _AXES if axis in said}
    return Request(
        manifest=None,
        lockfile=folder / "lock",
        prefix=folder / "prefix",
        read_settings=IndexSettings,
        conda_mode="auto" if conda else "never",
        channels=channels or tuple(said.get("channels", ())),
        stack=MappingProxyType({**axes, **said.get("frameworks", {})}),
        target_file=_target_file(scenario.get("target", [{"glibc": "2.36"}])[0], folder),
    )


def _target_file(target: Mapping[str, Any], folder: Path) -> Path:
    lines = [f'{key} = "{value}"' for key, value in target.items() if key != "gpus"]
    lines += [f"gpus = {[gpu['capability'] for gpu in target['gpus']]}"] if "gpus" in target else []
    path = folder / "target.toml"
    path.write_text("\n".join(lines))
    return path


def _locked(stack: Stack, resolution: Resolution = _NO_RESOLUTION) -> Locked:
    lock = Lockfile(
        platform="linux-64",
        channels=(),
        indexes=(),
        python=LockedPython(source="none"),
        packages=(*resolution.conda, *resolution.pypi),
    )
    return Locked(lock=lock, stack=stack, resolution=resolution)


class _Client(DictIndex):
    """The scenario's wheels, for whatever index they are asked of."""

    def __init__(self, wheels: list[dict[str, Any]]) -> None:
        super().__init__(wheels)
        self.silent: set[str] = set()
        self.settings = IndexSettings()

    async def project(self, name: str, only: tuple[str, ...] | None = None) -> tuple[IndexFile, ...]:
        return await super().project(name)

    async def further(self, name: str, url: str) -> tuple[IndexFile, ...]:
        return tuple(f for f in await super().project(name) if f.version.endswith(f"+{url.rpartition('/')[2]}"))


def test_next_to_every_refusal_has_a_repair() -> None:
    refusals = [_read(path)["expected"] for path in (*STACKS, *PACKAGES, *PROBLEMS)]

    assert len(refusals) >= 60
    assert sum("no_repair" in expected for expected in refusals) <= len(refusals) // 15
