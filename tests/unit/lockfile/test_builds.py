"""The key of a build: each thing that decides what comes of it changes it, and a lock keeps it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.lockfile.builds import build_of, has_its_key
from dataloader.lockfile.model import Build, LockedPython, Lockfile, PypiPackage
from dataloader.lockfile.yaml import dump_lock, parse_lock

SOURCE = PypiPackage(name="demo", version="1.0", url="https://h/demo-1.0.tar.gz", sha256="a" * 64)
HOW = {"python": "3.11", "platform": "linux-64", "glibc": "2.36", "requires": ("a",), "against": {"torch": "2.6"}}
OTHERS = [
    ("python", "3.12"),
    ("platform", "linux-aarch64"),
    ("glibc", "2.17"),
    ("glibc", None),
    ("requires", ("a", "b")),
    ("requires", ()),
    ("against", {}),
    ("against", {"torch": "2.7"}),
]


def built(package: PypiPackage, **how: object) -> Build:
    return build_of(package, **{**HOW, **how})  # type: ignore[arg-type]


def test_every_fact_is_in_the_key() -> None:
    keys = [built(SOURCE).key, *(built(SOURCE, **{name: value}).key for name, value in OTHERS)]
    others = (replace(SOURCE, name="b"), replace(SOURCE, version="2"), replace(SOURCE, sha256="b" * 64))
    keys += [built(other).key for other in others]

    assert len(set(keys)) == len(keys)
    assert built(replace(SOURCE, url="https://mirror/demo-1.0.tar.gz", size=3)).key == keys[0]


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_what_was_changed_has_not_its_key(name: str, value: object) -> None:
    build = built(SOURCE)

    assert has_its_key(replace(SOURCE, build=build))
    assert not has_its_key(replace(SOURCE, build=replace(build, **{name: value})))  # type: ignore[arg-type]
    assert not has_its_key(replace(SOURCE, sha256="b" * 64, build=build))
    assert not has_its_key(SOURCE)


texts = st.text("abcdefghijklmnopqrstuvwxyz-.>=<0123456789", min_size=1)


@given(texts, st.none() | texts, st.lists(texts, unique=True), st.dictionaries(texts, texts))
def test_a_lock_keeps_how_it_is_built(
    python: str, glibc: str | None, requires: list[str], against: dict[str, str]
) -> None:
    build = build_of(SOURCE, python=python, platform="linux-64", glibc=glibc, requires=requires, against=against)
    package = replace(SOURCE, build=build)
    lock = Lockfile(
        platform="linux-64", channels=(), indexes=(), python=LockedPython(source="host"), packages=(package,)
    )

    assert parse_lock(dump_lock(lock).encode(), Path("/lock")).packages == (package,)
    assert has_its_key(package)
    assert package.stored_as == build.key
