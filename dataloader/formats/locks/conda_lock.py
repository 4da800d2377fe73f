"""conda-lock.yml, version 1 (the format that CEP 37 describes too)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dataloader.base.names import normalized
from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.model import LeftOut, LockSelection, Taken
from dataloader.formats.wheels import locked_python
from dataloader.lockfile.model import CondaPackage, PypiPackage

Entry = Mapping[str, Any]
_FILE = re.compile(r"(?P<base>.+)/(?P<subdir>[a-z0-9]+-[a-z0-9]+|noarch)/(?P<name>[^/]+?)(?:\.conda|\.tar\.bz2)$")


def conda_package(url: str, *, md5: str | None = None, sha256: str | None = None) -> CondaPackage:
    """Return a conda package of which the URL alone is known; its archive says the rest.

    Raises:
        ValueError: it is no URL of a conda package.
    """
    found = _FILE.match(url)
    parts = found["name"].rsplit("-", 2) if found else []
    if found is None or len(parts) != 3:
        raise ValueError(f"{url} is no conda package")
    return CondaPackage(
        name=parts[0],
        version=parts[1],
        build=parts[2],
        build_number=_number(parts[2]),
        subdir=found["subdir"],
        url=url,
        channel=f"{found['base']}/",
        sha256=sha256,
        md5=md5,
        described=False,
    )


def _number(build: str) -> int:
    found = re.search(r"(?:^|_)(\d+)$", build)
    return int(found[1]) if found else 0


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return what a conda-lock.yml has for a machine."""
    data = content.data
    if data["version"] != 1:
        raise ValueError(f"its version is {data['version']!r}, and 1 is read")
    entries: list[Entry] = [e for e in data["package"] if e["platform"] == wanted.platform]
    if not entries:
        platforms = sorted({str(package["platform"]) for package in data["package"]})
        raise unfit(content, f"it has nothing for {wanted.platform}", f"it is for {', '.join(platforms) or 'nothing'}")
    known = {category for entry in entries for category in _categories(entry)}
    more = known if wanted.all_extras else {*wanted.extras, *(wanted.groups or ())}
    for name in sorted(more - known):
        raise unfit(content, f"it has no category {name}", f"it has: {', '.join(sorted(known))}")
    chosen = {"main", *more, *({"dev"} if wanted.groups is None else ())}
    taken = [entry for entry in entries if _categories(entry) & chosen]
    conda = [_conda(package) for package in taken if package["manager"] == "conda"]
    wheels, left_out = _wheels(taken)
    needed = {name for package in taken for name in package.get("dependencies", {})}
    return Taken(
        packages=(*sorted(conda, key=lambda p: p.name), *sorted(wheels, key=lambda p: p.name)),
        left_out=tuple(left_out),
        python=locked_python(conda, wheels, wanted),
        channels=tuple(dict.fromkeys(p.channel for p in conda)),
        roots=tuple(
            f"conda:{package['name']}" if package["manager"] == "conda" else normalized(package["name"])
            for package in taken
            if package["name"] not in needed
        ),
    )


def _categories(entry: Entry) -> set[str]:
    return {entry.get("category", "main"), *entry.get("categories", ())}


def _conda(entry: Entry) -> CondaPackage:
    hashes = entry.get("hash") or {}
    return conda_package(entry["url"], md5=hashes.get("md5"), sha256=hashes.get("sha256"))


def _wheels(entries: list[Entry]) -> tuple[list[PypiPackage], list[LeftOut]]:
    found: list[PypiPackage] = []
    left_out: list[LeftOut] = []
    for entry in entries:
        if entry["manager"] != "pip":
            continue
        name, url = normalized(entry["name"]), str(entry["url"])
        sha256 = (entry.get("hash") or {}).get("sha256")
        if not url.split("#", 1)[0].endswith(".whl"):
            left_out.append(LeftOut(name=name, why=f"{url} would have to be built"))
        elif not sha256:
            raise ValueError(f"{name} has no sha256")
        else:
            found.append(PypiPackage(name=name, version=str(entry["version"]), url=url, sha256=sha256))
    return found, left_out
