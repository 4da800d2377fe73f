"""Locks of other tools as what is asked for: exactly what they hold, what they were made from, or what is preferred."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import LockfileError, ManifestError
from dataloader.base.names import normalized
from dataloader.base.platforms import detect_platform
from dataloader.formats.content import LOCKS, Content, read_content
from dataloader.formats.locks import take
from dataloader.formats.locks.conda_lists import exported, is_of_pip
from dataloader.formats.model import LockSelection, Taken
from dataloader.index.settings import DEFAULT_INDEX
from dataloader.lockfile.model import PypiPackage
from dataloader.request.input_file import InputFile
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement

if TYPE_CHECKING:
    from dataloader.request.asked import Asked


def here(platform: str | None = None, parts: Asked | None = None) -> LockSelection:
    """Return what is wanted of a lock on this machine, on the Python that runs this; ``parts``: extras and groups."""
    running = ".".join(str(part) for part in sys.version_info[:3])
    wanted = LockSelection(platform=platform or detect_platform(), pythons=(running,))
    if parts is None:
        return wanted
    return replace(
        wanted,
        extras=parts.extra,
        groups=parts.group or (() if parts.all_extras is False else None),
        all_extras=parts.all_extras is True,
    )


def pinned(content: Content, wanted: LockSelection) -> InputFile:
    """Return exactly what a lock holds, as requirements.

    Raises LockfileError as ``take``.
    """
    if content.form == "export":
        found: tuple[Requirement, ...] = (*_exported(content), *_of_pip(content))
        return InputFile(path=str(content.path), requirements=found)
    taken = take(content, wanted)
    return _input(content, taken, tuple(_pins(content, taken)))


def asked_by(content: Content, wanted: LockSelection) -> InputFile:
    """Return what a lock was made from, by name alone; where it does not tell, all that nothing else in it needs."""
    if content.form == "export":
        found = [
            CondaRequirement(name=requirement.name, origin=requirement.origin) for requirement in _exported(content)
        ]
        return InputFile(path=str(content.path), requirements=tuple(found))
    taken = take(content, wanted)
    asked = tuple(
        CondaRequirement(name=name.removeprefix("conda:"), origin=content.path.name)
        if name.startswith("conda:")
        else PypiRequirement(name=name, origin=content.path.name)
        for name in taken.roots
    )
    return _input(content, taken, asked)


def preferences(paths: Iterable[Path], platform: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return name -> file name of what locks hold, and what to say of those that cannot be read."""
    found: dict[str, str] = {}
    told: list[str] = []
    for path in paths:
        try:
            found |= dict(_files(read_content(path), here(platform)))
        except (ManifestError, LockfileError) as error:
            told.append(f"versions of {path} are not preferred: {error.message}")
    return found, tuple(told)


def _files(content: Content, wanted: LockSelection) -> Iterator[tuple[str, str]]:
    if content.form not in LOCKS:
        return
    if content.form == "export":
        for requirement in _exported(content):
            yield (
                requirement.name,
                f"{requirement.name}-{(requirement.version or '').removeprefix('==')}-{requirement.build}.conda",
            )
        return
    taken = take(content, wanted)
    for package in taken.packages:
        yield package.name, package.file_name
    for listed in taken.listed:
        yield listed.name, listed.file or f"{listed.name}-{listed.version}-{listed.build}.conda"
    for wheel in taken.unlocated:
        if wheel.files:
            yield wheel.name, next(iter(wheel.files))


def _input(content: Content, taken: Taken, requirements: tuple[Requirement, ...]) -> InputFile:
    first, *others = [url for url in taken.indexes if url.rstrip("/") != DEFAULT_INDEX] or [""]
    return InputFile(
        path=str(content.path),
        requirements=requirements,
        channels=tuple(url.rstrip("/") for url in taken.channels) or None,
        extra_index_urls=tuple(filter(None, [first, *others])),
        notes=tuple(f"{content.path}: {left_out.name} is left out: {left_out.why}" for left_out in taken.left_out),
    )


def _pins(content: Content, taken: Taken) -> Iterator[Requirement]:
    origin = content.path.name
    for package in taken.packages:
        if isinstance(package, PypiPackage):
            yield PypiRequirement(
                name=package.name,
                specifier=f"=={package.version}",
                world="pypi",
                url=package.url if _is_of_no_index(content, package) else None,
                hashes=(f"sha256:{package.sha256}",),
                origin=origin,
            )
        else:
            yield CondaRequirement(
                name=package.name,
                version=f"=={package.version}",
                build=package.build,
                sha256=package.sha256,
                md5=None if package.sha256 else package.md5,
                origin=origin,
            )
    for listed in taken.listed:
        yield CondaRequirement(name=listed.name, version=f"=={listed.version}", build=listed.build, origin=origin)
    for unlocated in taken.unlocated:
        hashes = tuple(f"sha256:{digest}" for digest in dict.fromkeys(unlocated.files.values()))
        yield PypiRequirement(
            name=unlocated.name,
            specifier=f"=={unlocated.version}",
            world="pypi",
            index=unlocated.index,
            hashes=hashes,
            origin=origin,
        )


def _is_of_no_index(content: Content, package: PypiPackage) -> bool:
    """Whether a wheel is a file, or an address, of its own: some locks with addresses do not tell of indexes."""
    return package.index is None and (content.form == "uv.lock" or package.url.startswith("file:"))


def _exported(content: Content) -> Iterator[CondaRequirement]:
    """Yield the conda packages of ``conda list --export``."""
    for number, listed in exported(content):
        if not is_of_pip(listed):
            origin = f"{content.path.name}:{number}"
            yield CondaRequirement(name=listed.name, version=f"=={listed.version}", build=listed.build, origin=origin)


def _of_pip(content: Content) -> Iterator[PypiRequirement]:
    """Yield what pip had installed."""
    for number, listed in exported(content):
        if is_of_pip(listed):
            origin = f"{content.path.name}:{number}"
            yield PypiRequirement(
                name=normalized(listed.name), specifier=f"=={listed.version}", world="pypi", origin=origin
            )
