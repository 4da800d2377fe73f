"""conda's lists of packages: ``conda list --explicit`` (URLs) and ``conda list --export`` (versions and builds)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.locks.conda_lock import conda_package
from dataloader.formats.model import Taken, Wanted
from dataloader.lockfile.model import CondaPackage, LockedPython

_PLATFORM = re.compile(r"#\s*platform:\s*(\S+)")
_FRAGMENT = re.compile(r"#(?:(?P<sha256>(?:sha256:)?[0-9a-f]{64})|(?P<md5>[0-9a-f]{32}))$")


def read(content: Content, wanted: Wanted) -> Taken:
    """Return the packages of an explicit list."""
    if content.form == "export":
        raise unfit(
            content,
            "a list of versions and builds says of no package where it is",
            f"`dataloader install -f {content.path} -c conda-forge` asks channels for exactly these",
        )
    said = _PLATFORM.search(content.text)
    if said and said[1] != wanted.platform:
        raise unfit(content, f"it is for {said[1]}, not for {wanted.platform}")
    packages = tuple(_packages(content))
    python = next((p.version for p in packages if p.name == "python"), None)
    return Taken(
        packages=tuple(sorted(packages, key=lambda p: p.name)),
        python=LockedPython(source="conda" if python else "none", version=python),
        channels=tuple(dict.fromkeys(p.channel for p in packages)),
        roots=tuple(f"conda:{p.name}" for p in packages),
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
        if not (package.sha256 or package.md5):
            raise ValueError(f"line {number}: {url} has no hash, so nothing tells whether it is the same file")
        yield package
