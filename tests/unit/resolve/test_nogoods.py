"""Contradictions are found where there are any, and the smallest can spare no cause: by trying everything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from dataloader.resolve.refused.nogoods import Nogood, contradiction, smallest


@st.composite
def problems(draw: st.DrawFn) -> tuple[Mapping[str, int], Sequence[Nogood]]:
    sizes = {f"p{n}": draw(st.integers(0, 3)) for n in range(draw(st.integers(1, 4)))}
    nogood = st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.integers(1, (2 << sizes[name]) - 1) for name in names})
    )
    terms = draw(st.lists(nogood, max_size=10))
    return sizes, [Nogood(each, draw(st.integers(0, 6))) for each in terms]


def can_be_met(sizes: Mapping[str, int], facts: Collection[Nogood]) -> bool:
    """Try every choice."""
    names = sorted(sizes)
    for values in itertools.product(*(range(sizes[name] + 1) for name in names)):
        chosen = dict(zip(names, values, strict=True))
        if not any(all(1 << chosen[name] & each for name, each in fact.terms.items()) for fact in facts):
            return True
    return False


@given(problems())
def test_a_contradiction_is_found_if_and_only_if_there_is_one(
    problem: tuple[Mapping[str, int], Sequence[Nogood]],
) -> None:
    sizes, facts = problem

    found = asyncio.run(contradiction(facts, sizes.__getitem__))

    assert (found is None) == can_be_met(sizes, facts)
    assert found is None or not can_be_met(sizes, found)
    assert found is None or all(fact in facts for fact in found)


@given(problems())
def test_no_cause_of_the_smallest_contradiction_can_be_spared(
    problem: tuple[Mapping[str, int], Sequence[Nogood]],
) -> None:
    sizes, facts = problem
    found = asyncio.run(contradiction(facts, sizes.__getitem__))
    if found is None:
        return

    core = asyncio.run(smallest(found, sizes.__getitem__))

    assert not can_be_met(sizes, core)
    for cause in {fact.cause for fact in core}:
        assert can_be_met(sizes, [fact for fact in core if fact.cause != cause])
