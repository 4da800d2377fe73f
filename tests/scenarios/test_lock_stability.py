"""An edit moves no locked package that need not move: the solver itself, with all others held, is the judge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.lockfile.model import PypiPackage
from dataloader.machine.target import Target
from dataloader.resolve.model import Problem, Requirement, Resolution
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex, write_channel

NAMES = ("app", "base", "core", "data", "edge", "form", "grid", "host")
VERSIONS = ("1.0", "1.1", "2.0", "2.1")
"""Of two series, so that none is too old to be offered."""
EDITS = 20


@dataclass
class World:
    """Packages that need one another at random, and a project that is edited."""

    rng: random.Random
    folder: Path
    wheels: list[dict[str, object]] = field(default_factory=list)
    channel: str | None = None
    asked: dict[str, str] = field(default_factory=dict)
    conda: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        records = []
        for place, name in enumerate(NAMES):
            for version in VERSIONS:
                later = self.rng.sample(
                    NAMES[place + 1 :], k=min(self.rng.choice((0, 1, 1, 2)), len(NAMES) - place - 1)
                )
                needs = [f"{other}{self.specifier()}" for other in later]
                self.wheels.append({"file": f"{name}-{version}-py3-none-any.whl", "requires": needs})
                conda_needs = [f"c{need}" if "=" not in need else f"c{need.replace('==', ' ==', 1)}" for need in needs]
                spaced = [_spaced(need) for need in conda_needs]
                records.append({"record": f"c{name}={version}=h_0", "depends": spaced})
        if self.rng.random() < 0.5:
            records += [{"record": f"python={version}=h_0", "depends": []} for version in ("3.11.7", "3.12.1")]
            self.channel = write_channel(self.folder / "channel", records)

    def specifier(self) -> str:
        return self.rng.choice(("", "", ">=1.1", "<2", "<2.1", ">=2", "==1.1", "!=2.0"))

    def edit(self) -> None:
        """Add, remove, loosen or tighten one line."""
        kind = self.rng.choice(("add", "add", "remove", "loosen", "tighten", "conda"))
        if kind == "conda" and self.channel:
            self.conda = sorted({*self.conda, f"c{self.rng.choice(NAMES)}"})
        elif kind == "add" or not self.asked:
            self.asked[self.rng.choice(NAMES)] = self.specifier()
        elif kind == "remove" and len(self.asked) > 1:
            del self.asked[self.rng.choice(sorted(self.asked))]
        else:
            self.asked[self.rng.choice(sorted(self.asked))] = "" if kind == "loosen" else self.specifier()

    def problem(self, preferred: Mapping[str, str]) -> Problem:
        return Problem(
            target=Target(glibc="2.36"),
            channels=(self.channel,) if self.channel else (),
            conda_specs=tuple(self.conda),
            requirements=tuple(Requirement(name=name, specifier=s) for name, s in sorted(self.asked.items())),
            host_pythons=() if self.channel else ("3.11.7",),
            preferred=dict(preferred),
        )

    def solve(self, problem: Problem) -> Resolution | None:
        try:
            return asyncio.run(resolve(problem, DictIndex(self.wheels), Reporter(), cache=self.folder / "cache"))
        except ResolutionFailure:
            return None


def _spaced(need: str) -> str:
    """``cbase>=1.1`` as conda's repodata has it."""
    name = need.rstrip("0123456789.<>=! ")
    return f"{name} {need[len(name) :].strip()}".strip()


def versions_of(resolution: Resolution) -> dict[str, str]:
    return {p.name: p.version for p in resolution.pypi} | {p.name: p.version for p in resolution.conda}


def files_of(resolution: Resolution) -> dict[str, str]:
    return {p.name: p.file_name for p in resolution.pypi} | {p.name: p.file_name for p in resolution.conda}


def could_stay(world: World, name: str, old: Resolution, new: Resolution) -> bool:
    """Whether there is a solution with this package as it was, and all the others that did not move."""
    before, after = versions_of(old), versions_of(new)
    held = {each: v for each, v in before.items() if after.get(each) == v or each == name}
    held |= {each: after[each] for each in newly(world, old) if each != name}
    wheels = {p.name for p in (*old.pypi, *new.pypi)}
    problem = world.problem({})
    limits = tuple(
        Requirement(name=each, specifier=f"=={v}", constraint=True) for each, v in held.items() if each in wheels
    )
    conda = tuple(f"{each} =={v}" for each, v in held.items() if each not in wheels)
    pinned = replace(problem, requirements=(*problem.requirements, *limits), conda_limits=conda)
    return world.solve(pinned) is not None


def newly(world: World, old: Resolution) -> list[str]:
    """What is asked for and not locked at a version that fits: it comes as new as it can."""
    before = versions_of(old)
    fits = {n: n in before and SpecifierSet(s).contains(before[n]) for n, s in world.asked.items()}
    return [*(name for name, fitting in fits.items() if not fitting), *(n for n in world.conda if n not in before)]


def newest(world: World, name: str) -> str:
    """The newest version of a project for which there is any solution at all."""
    problem, spec = world.problem({}), world.asked[name]
    for version in reversed(VERSIONS):
        pin = Requirement(name=name, specifier=f"=={version}", constraint=True)
        if SpecifierSet(spec).contains(version) and world.solve(
            replace(problem, requirements=(*problem.requirements, pin))
        ):
            return version
    raise AssertionError(name)


@pytest.mark.parametrize("seed", range(2))
def test_an_edit_in_a_few_worlds(seed: int, tmp_path: Path) -> None:
    walk(World(random.Random(100 + seed), tmp_path), 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_locked_package_moves_that_need_not(seed: int, tmp_path: Path) -> None:
    walk(World(random.Random(seed), tmp_path), EDITS)


def walk(world: World, edits: int) -> None:
    """Edit a project again and again; the lock changes by what it must, and what is new is as new as can be."""
    world.asked = {"app": "", "data": ""}
    old = world.solve(world.problem({}))
    assert old is not None
    moves = 0
    for _ in range(edits):
        asked, conda = dict(world.asked), list(world.conda)
        world.edit()
        new = world.solve(world.problem(files_of(old)))
        if new is None:
            world.asked, world.conda = asked, conda
            continue
        before, after = versions_of(old), versions_of(new)
        moved = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
        moves += len(moved)
        assert [name for name in moved if could_stay(world, name, old, new)] == [], (world.asked, before, after)
        assert world.solve(world.problem({})) is not None
        fresh = [name for name in newly(world, old) if name in world.asked]
        if len(fresh) == 1 and fresh[0] in {p.name for p in new.pypi}:
            assert after[fresh[0]] == newest(world, fresh[0]), (world.asked, before, after)
        old = new


def test_old_locked_versions_stay_and_are_no_news(tmp_path: Path) -> None:
    """Versions that nobody vouches for, a yanked one and a pre-release."""
    names = {"rich": "1.0", "attrs": "9.0", "yanked": "1.5", "early": "2.0rc1"}
    wheels: list[dict[str, object]] = [
        {"file": f"{name}-{version}-py3-none-any.whl"}
        for name in ("rich", "attrs", "yanked", "early", "new")
        for version in ("1.0", "5.0", "9.0", "15.0", "20.0")
    ]
    wheels += [{"file": "yanked-1.5-py3-none-any.whl", "yanked": True}, {"file": "early-2.0rc1-py3-none-any.whl"}]
    problem = Problem(
        target=Target(glibc="2.36"),
        requirements=tuple(Requirement(name=name) for name in (*names, "new")),
        host_pythons=("3.11.7",),
        preferred={name: f"{name}-{version}-py3-none-any.whl" for name, version in names.items()},
    )
    resolution = asyncio.run(resolve(problem, DictIndex(wheels), Reporter(), cache=tmp_path))

    assert {p.name: p.version for p in resolution.pypi if isinstance(p, PypiPackage)} == {**names, "new": "20.0"}
    assert resolution.notes == ()


def test_a_pin_that_is_typed_moves_its_own_package_alone(tmp_path: Path) -> None:
    wheels: list[dict[str, object]] = [
        {"file": f"{name}-{version}-py3-none-any.whl"} for name in ("one", "two") for version in VERSIONS
    ]
    problem = Problem(
        target=Target(glibc="2.36"),
        requirements=(Requirement(name="one", specifier=">=2"), Requirement(name="two")),
        host_pythons=("3.11.7",),
        preferred={name: f"{name}-1.0-py3-none-any.whl" for name in ("one", "two")},
    )
    resolution = asyncio.run(resolve(problem, DictIndex(wheels), Reporter(), cache=tmp_path))

    assert versions_of(resolution) == {"one": "2.1", "two": "1.0"}
