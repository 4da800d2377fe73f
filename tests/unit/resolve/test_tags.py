"""Which wheels a target can use; judged by ``packaging``'s own list of compatible tags."""

from __future__ import annotations

import pytest
from packaging import tags

from dataloader.resolve.words.tags import fit


def usable(tag: str, *, minor: int, glibc: int) -> bool:
    """Say whether CPython 3.``minor`` on glibc 2.``glibc`` (x86_64) can use a wheel."""
    found = fit(*tag.split("-"), "linux-64")
    if found is None or not any(python.serves(minor) for python in found.pythons):
        return False
    return found.floor is None or found.floor[2] <= glibc


def compatible(minor: int, glibc: int) -> set[str]:
    platforms = [f"manylinux_2_{n}_x86_64" for n in range(glibc, 4, -1)]
    platforms += [
        name
        for name, n in (("manylinux2014_x86_64", 17), ("manylinux2010_x86_64", 12), ("manylinux1_x86_64", 5))
        if n <= glibc
    ]
    platforms.append("linux_x86_64")
    found = {str(t) for t in tags.cpython_tags((3, minor), platforms=platforms)}
    return found | {str(t) for t in tags.compatible_tags((3, minor), f"cp3{minor}", platforms)}


@pytest.mark.parametrize(("minor", "glibc"), [(9, 17), (11, 36), (13, 28)])
def test_a_tag_is_usable_exactly_when_packaging_says_so(minor: int, glibc: int) -> None:
    known = compatible(minor, glibc)
    interpreters = [f"cp3{n}" for n in (7, 8, 9, 10, 11, 12, 13, 14)] + ["py3", "py38", "py311", "py2", "pp310"]
    candidates = {
        f"{interpreter}-{abi}-{platform}"
        for interpreter in interpreters
        for abi in {interpreter, "abi3", "none", f"{interpreter}t"}
        for platform in (
            "any",
            "linux_x86_64",
            "manylinux1_x86_64",
            "manylinux_2_28_x86_64",
            "manylinux2014_x86_64",
            "win_amd64",
        )
    }

    wrong = {c for c in candidates if usable(c, minor=minor, glibc=glibc) != (c in known)}

    assert wrong == set()


def test_a_compressed_platform_set_asks_for_the_least_of_its_parts() -> None:
    found = fit("cp311", "cp311", "manylinux_2_28_x86_64.manylinux_2_17_x86_64", "linux-64")

    assert found is not None
    assert found.floor == ("glibc", 2, 17)


def test_a_wheel_made_for_one_python_is_preferred_to_one_made_for_all() -> None:
    ranks = [
        fit(*tag, "linux-64")
        for tag in (
            ("cp311", "cp311", "linux_x86_64"),
            ("cp38", "abi3", "linux_x86_64"),
            ("py3", "none", "linux_x86_64"),
        )
    ]

    assert [f.rank for f in ranks if f] == sorted((f.rank for f in ranks if f), reverse=True)


def test_musl_takes_musllinux_and_no_manylinux() -> None:
    assert fit("cp311", "cp311", "manylinux_2_17_x86_64", "linux-64", musl=True) is None
    assert fit("cp311", "cp311", "musllinux_1_2_x86_64", "linux-64", musl=True) is not None


_FOREIGN = {
    "osx-arm64": list(tags.mac_platforms((13, 0), "arm64")),
    "osx-64": list(tags.mac_platforms((13, 0), "x86_64")),
    "win-64": ["win_amd64"],
    "win-arm64": ["win_arm64"],
}
_PROCESSORS = ("arm64", "x86_64", "universal2", "intel", "i386")
_TAGS = [
    f"macosx_{number}_{cpu}" for number in ("10_9", "10_16", "11_0", "12_3", "13_0", "14_0") for cpu in _PROCESSORS
]
_TAGS += ["win_amd64", "win32", "win_arm64", "manylinux_2_17_x86_64", "linux_aarch64", "any"]


@pytest.mark.parametrize("platform", _FOREIGN)
def test_another_systems_wheels_are_those_that_packaging_takes_in_its_order(platform: str) -> None:
    named = [*_FOREIGN[platform], "any"]
    found = {tag: fit("cp311", "cp311" if tag != "any" else "none", tag, platform) for tag in _TAGS}
    usable = {tag: one for tag, one in found.items() if one and (one.floor is None or one.floor[1:] <= (13, 0))}

    assert set(usable) == {tag for tag in _TAGS if tag in named}
    assert sorted(usable, key=lambda tag: -usable[tag].rank) == sorted(usable, key=named.index)
