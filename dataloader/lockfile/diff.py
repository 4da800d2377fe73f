"""What differs between two locks, package by package. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from dataloader.base.values import dataclass
from dataloader.lockfile.model import CondaPackage, Lockfile, Package

Kind: TypeAlias = Literal["added", "removed", "upgraded", "downgraded", "rebuilt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One package that differs."""

    name: str
    kind: Kind
    """``rebuilt``: the same version from another file: another build, hash or world."""
    old: Package | None
    new: Package | None


def changes_between(old: Lockfile, new: Lockfile, is_newer: Callable[[str, str], bool]) -> tuple[Change, ...]:
    """Return what differs, sorted by name.

    Args:
        old: The lock before.
        new: The lock after.
        is_newer: Whether the first of two versions is the newer one.
    """
    before, after = ({package.name: package for package in lock.packages} for lock in (old, new))
    found = []
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if kind := _kind(one, other, is_newer):
            found.append(Change(name=name, kind=kind, old=one, new=other))
    return tuple(found)


def _kind(old: Package | None, new: Package | None, is_newer: Callable[[str, str], bool]) -> Kind | None:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if old.version == new.version:
        same = (type(old), old.sha256 or old.url) == (type(new), new.sha256 or new.url)
        return None if same else "rebuilt"
    return "upgraded" if is_newer(new.version, old.version) else "downgraded"


def build_of(package: Package | None) -> str:
    """What tells it from others of its version: a conda build, a commit, what its wheel is built from, ``wheel``."""
    if package is None:
        return ""
    if isinstance(package, CondaPackage):
        return package.build
    if package.build is None:
        return "wheel"
    return package.origin.commit or package.origin.kind
