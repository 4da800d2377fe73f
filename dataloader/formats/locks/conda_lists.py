"""conda's lists of packages: ``--explicit`` (URLs), and what ``conda list`` prints (versions and builds)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dataloader.base.names import normalized
from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.locks.conda_lock import conda_package
from dataloader.formats.model import Listed, LockSelection, Taken, Unlocated
from dataloader.formats.wheels import locked_python
from dataloader.lockfile.model import CondaPackage, LockedPython

_PLATFORM = re.compile(r"#\s*platform:\s*(\S+)")
_FRAGMENT = re.compile(r"#(?:(?P<sha256>(?:sha256:)?[0-9a-f]{64})|(?P<md5>[0-9a-f]{32}))$")


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return the packages of a list."""
    said = _PLATFORM.search(content.text)
    if said and said[1] != wanted.platform:
        raise unfit(content, f"it is for {said[1]}, not for {wanted.platform}")
    if content.form == "export":
        return _exported(content)
    packages = tuple(_packages(content))
    # `conda list --explicit` writes hashes only where it is told to; the channel of the URL knows them.
    listed = (p for p in packages if not (p.sha256 or p.md5))
    return Taken(
        packages=tuple(sorted((p for p in packages if p.sha256 or p.md5), key=lambda p: p.name)),
        listed=tuple(Listed(name=p.name, version=p.version, build=p.build, file=p.file_name) for p in listed),
        python=locked_python(packages, (), wanted),
        channels=tuple(dict.fromkeys(p.channel for p in packages)),
        roots=tuple(f"conda:{p.name}" for p in packages),
    )


def exported(content: Content) -> Iterator[tuple[int, Listed]]:
    """Yield the lines of ``conda list``, as it prints them or with ``--export``, with their numbers.

    What pip installed has the build ``pypi_0``.
    """
    for number, line in lines_of(content):
        name, version, build = line.split("=", 2) if "=" in line else line.split()[:3]
        yield number, Listed(name=name, version=version, build=build)


def is_of_pip(listed: Listed) -> bool:
    """Say whether conda lists what pip installed."""
    return listed.build.startswith("pypi_")


def _exported(content: Content) -> Taken:
    everything = [listed for _, listed in exported(content)]
    conda = tuple(listed for listed in everything if not is_of_pip(listed))
    python = next((listed.version for listed in conda if listed.name == "python"), None)
    wheels = tuple(Unlocated(name=normalized(o.name), version=o.version) for o in everything if is_of_pip(o))
    return Taken(
        listed=conda,
        unlocated=wheels,
        python=LockedPython(source="conda" if python else "none", version=python),
        roots=(*(f"conda:{listed.name}" for listed in conda), *(wheel.name for wheel in wheels)),
    )


def lines_of(content: Content) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers."""
    for number, line in enumerate(content.text.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith(("#", "@")):
            yield number, text


def _packages(content: Content) -> Iterator[CondaPackage]:
    for number, line in lines_of(content):
        found = _FRAGMENT.search(line)
        url = line[: found.start()] if found else line
        sha256 = found["sha256"].removeprefix("sha256:") if found and found["sha256"] else None
        try:
            package = conda_package(
                url if "://" in url else (content.path.absolute().parent / url).absolute().as_uri(),
                md5=found["md5"] if found else None,
                sha256=sha256,
            )
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        yield package
