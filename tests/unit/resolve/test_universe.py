"""Small worlds of every kind of record: solved if and only if there is a solution, and refused for a reason that holds.

The judge tries every choice. Before there were two answers to every question (``rattler.ASKED``) worlds of this size
made rattler write explanations without end, or panic.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import resource
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pytest
import rattler
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.machine.target import Target
from dataloader.resolve.channels.rattler import Channels, Unsolvable, own_record
from dataloader.resolve.refused.nogoods import Refuter, smallest
from dataloader.resolve.refused.universe import OwnSpec, Universe
from dataloader.resolve.words.records import RecordSpec

_ROOM = 4 << 30
"""Bytes of address space that refusing may take."""

NAMES = ("python", "a", "b", "c", "d")


@dataclass(frozen=True)
class Wish:
    """A dependency in plain values."""

    name: str
    versions: frozenset[int]
    extra: str = ""
    when: tuple[str, frozenset[int]] | None = None

    def text(self) -> str:
        parts = [f"version='{_spec(self.versions)}'"]
        parts += [f"extras=[{self.extra}]"] if self.extra else []
        parts += [f"when='{self.when[0]} {_spec(self.when[1])}'"] if self.when else []
        return f"{self.name}[{','.join(parts)}]"


@dataclass(frozen=True)
class Candidate:
    name: str
    version: int
    depends: tuple[Wish, ...]
    extra: tuple[Wish, ...]
    constrains: tuple[Wish, ...]


@dataclass(frozen=True)
class World:
    candidates: tuple[Candidate, ...]
    asked: tuple[Wish, ...]
    limits: tuple[Wish, ...]


def _spec(versions: frozenset[int]) -> str:
    return "|".join(f"=={v}" for v in sorted(versions)) if versions else "==99"


VERSIONS = st.frozensets(st.integers(1, 3), max_size=3)


def wishes(*, conditional: bool = True, extras: bool = True) -> st.SearchStrategy[Wish]:
    when = st.none() | st.tuples(st.sampled_from(NAMES), VERSIONS) if conditional else st.none()
    extra = st.sampled_from(("", "", "x")) if extras else st.just("")
    return st.builds(Wish, name=st.sampled_from(NAMES), versions=VERSIONS, extra=extra, when=when)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    plain = wishes(conditional=False, extras=False)
    candidates = [
        Candidate(
            name=name,
            version=version,
            depends=tuple(draw(st.lists(wishes(), max_size=2))),
            extra=tuple(draw(st.lists(plain, max_size=1))),
            constrains=tuple(draw(st.lists(plain, max_size=1))),
        )
        for name in NAMES
        for version in range(1, draw(st.integers(1, 3)) + 1)
    ]
    asked = draw(st.lists(wishes(), min_size=1, max_size=3))
    return World(tuple(candidates), tuple(asked), tuple(draw(st.lists(plain, max_size=1))))


def met(wish: Wish, chosen: Mapping[str, Candidate | None]) -> bool:
    if wish.when is not None:
        beside = chosen[wish.when[0]]
        if beside is None or beside.version not in wish.when[1]:
            return True
    candidate = chosen[wish.name]
    if candidate is None or candidate.version not in wish.versions:
        return False
    return not wish.extra or all(met(inner, chosen) for inner in candidate.extra)


def limited(wish: Wish, chosen: Mapping[str, Candidate | None]) -> bool:
    candidate = chosen[wish.name]
    return candidate is None or candidate.version in wish.versions


def is_solution(world: World, chosen: Mapping[str, Candidate | None]) -> bool:
    present = [candidate for candidate in chosen.values() if candidate is not None]
    wanted = (*world.asked, *(wish for candidate in present for wish in candidate.depends))
    limits = (*world.limits, *(wish for candidate in present for wish in candidate.constrains))
    return all(met(wish, chosen) for wish in wanted) and all(limited(wish, chosen) for wish in limits)


def has_solution(world: World) -> bool:
    choices = [[None, *(c for c in world.candidates if c.name == name)] for name in NAMES]
    return any(is_solution(world, dict(zip(NAMES, each, strict=True))) for each in itertools.product(*choices))


def records(world: World) -> dict[str, list[rattler.RepoDataRecord]]:
    found: dict[str, list[rattler.RepoDataRecord]] = {}
    for one in world.candidates:
        found.setdefault(one.name, []).append(
            own_record(
                RecordSpec(
                    name=one.name,
                    version=str(one.version),
                    build="0",
                    build_number=0,
                    depends=tuple(wish.text() for wish in one.depends),
                    extra_depends={"x": tuple(wish.text() for wish in one.extra)},
                    constrains=tuple(wish.text() for wish in one.constrains),
                )
            )
        )
    return found


def channels() -> Channels:
    return Channels((), Target(), priority="strict", cache=None)


async def solve(world: World) -> list[rattler.RepoDataRecord]:
    return await channels().solve(
        [wish.text() for wish in world.asked], records(world), constraints=[wish.text() for wish in world.limits]
    )


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_it_is_solved_if_and_only_if_there_is_a_solution(world: World) -> None:
    try:
        chosen = asyncio.run(solve(world))
    except Unsolvable:
        assert not has_solution(world)
        return
    versions = {(record.name.normalized, int(str(record.version))) for record in chosen}
    by_name: dict[str, Candidate | None] = dict.fromkeys(NAMES)
    by_name |= {c.name: c for c in world.candidates if (c.name, c.version) in versions}
    assert is_solution(world, by_name)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_what_is_refused_is_refuted_and_nothing_else_is(world: World) -> None:
    core, whole = asyncio.run(refuted(world))

    assert (core is None) == has_solution(world)
    if core is None:
        return
    assert set(core) <= set(whole)
    asked = {text.text for text in core if isinstance(text, OwnSpec)}
    spared = tuple(wish for wish in world.asked if wish.text() not in asked)
    assert not has_solution(World(world.candidates, tuple(w for w in world.asked if w not in spared), world.limits))


async def refuted(world: World) -> tuple[Collection[object] | None, Sequence[object]]:
    """Return the causes of the smallest contradiction of a world, and all causes of the first one found."""
    try:
        await solve(world)
    except Unsolvable as error:
        universe = Universe(error.question, channels(), lambda _url, _text: None)
        facts = await Refuter(universe.size, universe.facts).refute(await universe.root())
        assert facts is not None
        core = await smallest(facts, universe.size)
        return {fact.cause for fact in core}, [fact.cause for fact in facts]
    return None, ()


@pytest.mark.parametrize("spec", ["a 1.* *cuda*", "a[version='>=1',when='python <3']", "a[extras=[x]]", "a"])
def test_every_kind_of_spec_takes_the_condition(spec: str) -> None:
    one = own_record(
        RecordSpec(name="a", version="1.5", build="cuda_0", build_number=0, depends=(), extra_depends={"x": ()})
    )

    chosen = asyncio.run(channels().solve([spec, "a"], {"a": [one]}))

    assert [record.name.normalized for record in chosen] == ["a"]


def knots() -> None:
    """Refuse and explain worlds of six packages that exclude each other."""
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
    names = [f"k{number}" for number in range(6)]
    refused = 0
    for seed in range(60):
        chance = random.Random(seed)
        offered = {
            name: [
                own_record(
                    RecordSpec(
                        name=name,
                        version=str(version),
                        build="0",
                        build_number=0,
                        depends=tuple(
                            f"{other} {chance.choice(('!=', '!=', '=='))}{chance.randint(1, 3)}"
                            for other in chance.sample([n for n in names if n != name], chance.randint(1, 4))
                        ),
                        extra_depends={},
                    )
                )
                for version in (1, 2, 3)
            ]
            for name in names
        }
        refused += asyncio.run(_refused(names, offered))
    sys.stdout.write(str(refused))


async def _refused(names: Sequence[str], offered: Mapping[str, Sequence[rattler.RepoDataRecord]]) -> bool:
    try:
        await channels().solve(names, offered)
    except Unsolvable as error:
        universe = Universe(error.question, channels(), lambda _url, _text: None)
        facts = await Refuter(universe.size, universe.facts).refute(await universe.root())
        assert facts is not None
        assert await smallest(facts, universe.size)
        return True
    return False


def test_knots_are_refused_in_little_room_and_time() -> None:
    """Of such worlds rattler's own account crashes, fills the memory or has no end in every second."""
    source = "from dataloader.process.leaving import leave; from tests.unit.resolve.test_universe import knots;"
    program = [sys.executable, "-c", source + "knots(); leave(0)"]

    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
