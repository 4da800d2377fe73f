from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataloader.compat.versions import admits, key, major, minor, release, specifier_of

RELEASES = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
POSTS = st.one_of(st.just(""), st.integers(0, 3).map(lambda number: f".post{number}"))
VERSIONS = st.tuples(RELEASES, POSTS).map("".join)
CLAUSES = st.one_of(
    st.tuples(st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), VERSIONS).map("".join),
    st.tuples(st.sampled_from(["==", "!="]), RELEASES).map(lambda parts: f"{parts[0]}{parts[1]}.*"),
    RELEASES.filter(lambda text: "." in text).map(lambda text: f"~={text}"),
)


@given(VERSIONS, VERSIONS)
def test_order_is_that_of_packaging(one: str, other: str) -> None:
    assert (key(one) < key(other)) == (Version(one) < Version(other))
    assert (key(one) == key(other)) == (Version(one) == Version(other))


@given(st.lists(CLAUSES, max_size=3).map(",".join), VERSIONS)
def test_specifiers_admit_what_packaging_says(specifier: str, version: str) -> None:
    assert admits(specifier, version) == SpecifierSet(specifier).contains(version, prereleases=True)


def test_a_pre_release_is_left_to_packaging() -> None:
    assert admits(">=2.0rc1", "2.0")
    assert not admits("<2.0", "2.0rc1.post1.dev1")


def test_a_version_that_is_not_plain_has_no_key() -> None:
    with pytest.raises(ValueError, match="is not a release version"):
        key("2.0rc1")


@pytest.mark.parametrize(
    ("wish", "specifier"),
    [("2.1", "==2.1.*"), ("2", "==2.*"), ("2.1.0", "==2.1.0"), ("2.1.*", "==2.1.*"), (">=2", ">=2"), ("", "")],
)
def test_a_bare_version_admits_all_that_begin_with_it(wish: str, specifier: str) -> None:
    assert specifier_of(wish) == specifier


def test_parts_of_a_version() -> None:
    assert (major("12.1.105"), minor("12.1.105"), release("2.10.0")) == ("12", "12.1", (2, 10, 0))
