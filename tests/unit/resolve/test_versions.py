"""A specifier means the same versions in conda's words, whatever the two worlds think of each other's order."""

from __future__ import annotations

import rattler
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataloader.resolve.words.versions import VersionSpace

VERSIONS = tuple(
    "1.0.dev1 1.0a1 1.0rc1 1.0 1.0.post1 1.1 1.9 2.0 2.0+cu118 2.0+cu121 2.0.1 10.0 1!0.5".split()  # noqa: SIM905
)
SPECIFIERS = (
    "<2",
    "<=2.0",
    ">=2.0",
    "==2.0",
    "!=2.0",
    "==2.0.*",
    "~=1.0",
    ">1.0",
    "<1.0",
    "===2.0",
    ">=1,!=1.9,<10",
    "",
)


def matched(space: VersionSpace, specifier: str) -> set[str]:
    spec = space.spec(specifier)
    if spec is None:
        return set()
    parsed = rattler.VersionSpec(spec)
    return {text for text in space.versions if parsed.matches(rattler.Version(text))}


@given(st.sets(st.sampled_from(VERSIONS), min_size=1), st.sampled_from(SPECIFIERS))
def test_the_spec_matches_what_the_specifier_admits(versions: set[str], specifier: str) -> None:
    space = VersionSpace(versions)
    wanted = {v for v in versions if SpecifierSet(specifier).contains(Version(v), prereleases=True)}

    assert matched(space, specifier) == wanted


NUMBERS = st.sampled_from((0, 1, 2, 10))
RELEASES = st.lists(NUMBERS, min_size=1, max_size=3).map(lambda numbers: ".".join(map(str, numbers)))
SUFFIXES = st.sampled_from(("", "", ".dev1", "a1", "rc2", ".post1", ".post1.dev0", "a1.post2"))
ANY_VERSION = st.builds("{}{}{}".format, st.sampled_from(("", "", "1!")), RELEASES, SUFFIXES)
CLAUSES = st.one_of(
    st.builds("{}{}".format, st.sampled_from(("<", "<=", ">", ">=", "==", "!=", "===")), ANY_VERSION),
    st.builds("{}{}.*".format, st.sampled_from(("==", "!=")), RELEASES),
    st.builds("~={}.{}{}".format, RELEASES, NUMBERS, SUFFIXES),
)


@given(
    st.sets(st.builds("{}{}".format, ANY_VERSION, st.sampled_from(("", "", "+cu1"))), min_size=1),
    st.lists(CLAUSES, min_size=1, max_size=3).map(",".join),
)
def test_each_version_is_admitted_and_matched_that_the_specifier_contains(versions: set[str], specifier: str) -> None:
    wanted, space = SpecifierSet(specifier), VersionSpace(versions)
    fitting = {v for v in versions if wanted.contains(Version(v), prereleases=True)}

    assert space.admitted(specifier) == fitting
    # conda takes 1 and 1.0 for one version
    assert {rattler.Version(v) for v in matched(space, specifier)} == {rattler.Version(v) for v in fitting}


def test_local_versions_are_spelled_out_where_conda_would_take_them_too() -> None:
    space = VersionSpace(["1.9", "2.0", "2.0+cu118", "3.0"])

    assert matched(space, "<2") == {"1.9"}
    assert matched(space, "<=2.0") == {"1.9", "2.0", "2.0+cu118"}


def test_a_conda_version_that_pep_440_cannot_read_is_met_by_no_specifier_but_the_empty_one() -> None:
    space = VersionSpace(["2.17", "9e", "1.0"])

    assert space.admitted("") == {"2.17", "9e", "1.0"}
    assert space.admitted(">=1") == {"2.17", "1.0"}


def test_nothing_fits_is_said_and_not_spelled() -> None:
    assert VersionSpace(["1.0"]).spec(">=2") is None
