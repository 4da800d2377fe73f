"""Which of a release's wheels a lock's machine takes, and when a marker holds there. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from dataloader.base.markers import marker_environment
from dataloader.formats.model import LockSelection
from dataloader.lockfile.model import CondaPackage, LockedPython, PypiPackage

T = TypeVar("T")
_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_EXTRA = re.compile(r"""extra\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)')""")
_YES, _NO = "python_version >= '0'", "python_version < '0'"


@lru_cache(maxsize=8)
def tags_of(python: str, wanted: LockSelection) -> tuple[Tag, ...]:
    """Return the tags of wheels that a Python of a machine takes, best first."""
    version = tuple(int(part) for part in python.split(".")[:2])
    platforms = list(_platforms(wanted))
    interpreter = f"cp{version[0]}{version[1]}"
    return (
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    )


def _platforms(wanted: LockSelection) -> Iterator[str]:
    system, arch = wanted.platform.partition("-")[0], wanted.arch
    if system == "win":
        yield f"win_{arch.lower()}"
    elif system == "osx" and wanted.macos:
        yield from mac_platforms(wanted.macos, arch)
    elif system == "linux":
        lowest = 5 if arch == "x86_64" else 17
        for minor in range(wanted.glibc[1] if wanted.glibc else 0, lowest - 1, -1):
            yield f"manylinux_2_{minor}_{arch}"
            if (2, minor) in _LEGACY:
                yield f"{_LEGACY[2, minor]}_{arch}"
        yield f"linux_{arch}"


def fitting(files: Iterable[tuple[str, T]], tags: Sequence[Tag]) -> list[tuple[str, T]]:
    """Return the wheels, by file name, that fit; best first."""
    ranks = {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
    found: list[tuple[tuple[int, ...], str, T]] = []
    for name, value in files:
        try:
            _, _, build, own = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        best = min((ranks[tag] for tag in own if tag in ranks), default=None)
        if best is not None:
            found.append(((best, -(build[0] if build else 0)), name, value))
    return [(name, value) for _, name, value in sorted(found, key=lambda ranked: ranked[0])]


def python_for(requires: str | None, wanted: LockSelection) -> str | None:
    """Return this machine's first Python that a specifier admits."""
    admitted = SpecifierSet(requires or "")
    return next((python for python in wanted.pythons if admitted.contains(python, prereleases=True)), None)


def host_python(version: str) -> LockedPython:
    """Return one of this machine's Pythons, of a full version, as a lock names it."""
    return LockedPython(source="host", version=".".join(version.split(".")[:2]))


def locked_python(
    conda: Iterable[CondaPackage], wheels: Collection[PypiPackage], wanted: LockSelection
) -> LockedPython:
    """Return the Python that a lock brings as a conda package, else this machine's where there are wheels for it."""
    brought = next((package.version for package in conda if package.name == "python"), None)
    if brought is not None:
        return LockedPython(source="conda", version=brought)
    host = python_for(None, wanted) if wheels else None
    return host_python(host) if host else LockedPython(source="none")


class Holds:
    """Whether markers hold on a machine with a Python, under extras and groups that are on."""

    def __init__(self, python: str, platform: str, active: Collection[str] = ()) -> None:
        self._environment = {**marker_environment(python, platform), "extra": ""}
        self._active = frozenset(active)

    def __call__(self, marker: str | None) -> bool:
        """Say whether a marker holds; ``extra == 'x'`` does where x is among those that are on."""
        if not marker:
            return True
        said = _EXTRA.sub(self._said, marker)
        return Marker(said).evaluate(self._environment)

    def _said(self, found: re.Match[str]) -> str:
        is_on = (found[2] or found[3] or "") in self._active
        return _YES if is_on == (found[1] == "==") else _NO
