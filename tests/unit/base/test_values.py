"""Values behave as the library's frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base import values


def _make(dataclass: Callable[..., Any], **options: bool) -> type[Any]:
    """A class as the code has many, made by one of the two."""

    @dataclass(frozen=True, slots=True, **options)
    class Package:
        """A package."""

        name: str
        version: tuple[int, ...]
        extras: tuple[str, ...] = ()
        facts: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
        secret: str = dataclasses.field(default="", repr=False)
        kind: ClassVar[str] = "wheel"

        @property
        def full(self) -> str:
            """Name and version."""
            return f"{self.name} {self.version}"

    return Package


OPTIONS = [{}, {"kw_only": True}, {"eq": False}, {"kw_only": True, "eq": False}]
KEYWORDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("ab"),
        "version": st.sampled_from([(1,), (1, 2)]),
        "extras": st.sampled_from([(), ("x",)]),
        "facts": st.sampled_from([{}, {"a": "b"}]),
        "secret": st.sampled_from(["", "s"]),
        "unknown": st.just(1),
    },
)
PLACED = st.lists(st.sampled_from(["a", (1,), ()]), max_size=6)


def _outcome(make: Callable[..., Any], *placed: Any, **named: Any) -> Any:
    try:
        return make(*placed, **named)
    except TypeError:
        return TypeError


def _told(value: Any) -> Any:
    """All that can be seen of a value."""
    if value is TypeError:
        return value
    return repr(value), dataclasses.asdict(value), value.full, value.kind, [f.name for f in dataclasses.fields(value)]


@pytest.mark.parametrize("options", OPTIONS)
@given(PLACED, KEYWORDS, PLACED, KEYWORDS)
def test_two_values_are_as_those_of_the_library(
    options: dict[str, bool], placed: list[Any], named: dict[str, Any], more: list[Any], others: dict[str, Any]
) -> None:
    ours, theirs = _make(values.dataclass, **options), _make(dataclasses.dataclass, **options)

    found = []
    for kind in (ours, theirs):
        one, two = _outcome(kind, *placed, **named), _outcome(kind, *more, **others)
        told: list[Any] = [_told(one), _told(two)]
        if TypeError not in (one, two):
            told += [one == two, two == one, one != two, one == one, one == one.name]
            told += [len({one, two}), hash(one) == hash(copy.copy(one)), copy.copy(one) == one]
            told += [_told(_outcome(dataclasses.replace, one, **others))]
        found.append(told)

    assert found[0] == found[1]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_class_is_as_that_of_the_library(options: dict[str, bool]) -> None:
    ours, theirs = _make(values.dataclass, **options), _make(dataclasses.dataclass, **options)

    for name in ("__match_args__", "__slots__", "__doc__", "__name__", "__qualname__", "__module__"):
        assert getattr(ours, name) == getattr(theirs, name)
    one = ours(name="a", version=(1,))
    assert not hasattr(one, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.nothing = 1


@values.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A value that goes through pickle."""

    one: str
    two: int = 2


@values.dataclass(frozen=True, slots=True)
class Empty:
    """A value without fields."""


def test_values_are_pickled_and_copied() -> None:
    for value in (Kept(one="a"), Empty()):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == value
    assert len({Empty(), Empty()}) == 1


def test_what_a_class_says_itself_counts() -> None:
    @values.dataclass(frozen=True, slots=True)
    class Told:
        one: str

        def __repr__(self) -> str:
            return "told"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert repr(Told("a")) == "told"
    assert Told("a") == Told("b")
    assert hash(Told("a")) == 7


def test_mistakes_name_the_class_and_the_field() -> None:
    with pytest.raises(TypeError, match=r"Kept\.__init__\(\) missing required arguments: 'one'"):
        Kept()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Kept\.__init__\(\) got unexpected keyword arguments: 'three'"):
        Kept(one="a", three=3)  # type: ignore[call-arg]


def test_a_value_that_changes_is_for_the_library() -> None:
    made: Any = values.dataclass
    with pytest.raises(TypeError, match="for the library"):
        made(frozen=False, slots=True)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with 3.13")
def test_values_are_replaced_as_copy_does() -> None:
    assert copy.replace(Kept(one="a"), two=3) == Kept(one="a", two=3)  # type: ignore[attr-defined]
