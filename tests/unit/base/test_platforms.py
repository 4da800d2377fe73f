"""What is a platform: rattler is the judge of conda's names."""

from __future__ import annotations

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st
from rattler.exceptions import ParseSubdirError

from dataloader.base.errors import UsageError
from dataloader.base.platforms import OTHER_SUBDIRS, PLATFORMS, check_known, platform_mistake

_SUBDIRS = sorted({*PLATFORMS, *OTHER_SUBDIRS})


def _is_subdir(name: str) -> bool:
    try:
        rattler.Subdir(name)
    except ParseSubdirError:
        return False
    return name != "noarch"  # no platform


@pytest.mark.parametrize("name", _SUBDIRS)
def test_each_is_one_of_condas(name: str) -> None:
    assert _is_subdir(name)
    assert platform_mistake(name) is None


@given(st.sampled_from(_SUBDIRS), st.data())
def test_what_is_mistyped_is_known_as_such(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name) - 2))
    typed = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    assert (platform_mistake(typed) is None) == _is_subdir(typed)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("linux-46", "linux-64"),
        ("linux64", "linux-64"),
        ("linux-x86_64", "linux-64"),
        ("linux-arch64", "linux-aarch64"),
        ("macos-arm64", "osx-arm64"),
        ("osx-amr64", "osx-arm64"),
        ("win64", "win-64"),
        ("Win-64", "win-64"),
    ],
)
def test_near_names_and_those_that_are_known_are_told(typed: str, meant: str) -> None:
    mistake = platform_mistake(typed)
    with pytest.raises(UsageError) as caught:
        check_known(typed)

    assert mistake is not None
    assert f"did you mean {meant}" in mistake
    assert f"did you mean {meant}" in caught.value.suggestions[0]
    for text in (mistake, caught.value.causes[0]):
        assert ", ".join(PLATFORMS) in text


@pytest.mark.parametrize("name", sorted(OTHER_SUBDIRS))
def test_nothing_is_solved_for_the_others(name: str) -> None:
    with pytest.raises(UsageError, match=f"nothing is solved for {name}") as caught:
        check_known(name)

    assert caught.value.suggestions == ()
