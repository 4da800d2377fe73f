"""Libraries that others open by name at run time: which are to be looked for, and the names that are in files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from dataloader.compat.openings import Opening
from dataloader.elf.gpucode import LINKED, RELOCATABLE
from dataloader.elf.image import (
    BoundedReader,
    FileBytes,
    MalformedElf,
    read_header,
    read_section_headers,
    read_sections,
)
from dataloader.prefix.records import InstalledPackages
from dataloader.verify.tables import Tables

_RENAMED = re.compile(r"(?P<stem>[^.]+)-[0-9a-f]{8,}(?P<rest>\.so.*)")
"""What auditwheel calls a library that it put into a wheel."""
_CHUNK = 1 << 20
_OVERLAP = 256
_MAX_SEARCH = 1 << 30


def openings_by_soname(
    installed: InstalledPackages, tables: Tables, stack: Mapping[str, str]
) -> dict[str, list[Opening]]:
    """Soname of the library that opens -> what it opens here.

    Args:
        stack: What the lock was made for; empty without one.
    """
    found: dict[str, list[Opening]] = {}
    for opening in tables.openings:
        if _applies(opening, installed, stack):
            found.setdefault(opening.by, []).append(opening)
    return found


def openings_of(soname: str, openings: Mapping[str, Sequence[Opening]]) -> Sequence[Opening]:
    """What a library of this name opens, renamed by auditwheel or not.

    Args:
        openings: As :func:`openings_by_soname` gives them.
    """
    name = plain_name(soname)
    if name == soname or name in openings:
        return openings.get(name, ())
    # It is renamed with its whole version: libcudnn-1a2b3c4d.so.9.1.0 is libcudnn.so.9.
    return next((found for by, found in openings.items() if name.startswith(f"{by}.")), ())


def plain_name(soname: str) -> str:
    """The name that a library had before auditwheel.

    >>> plain_name("libcudnn-1a2b3c4d.so.9.1.0"), plain_name("libnvrtc-builtins.so.12.1")
    ('libcudnn.so.9.1.0', 'libnvrtc-builtins.so.12.1')
    """
    renamed = _RENAMED.fullmatch(soname)
    return renamed["stem"] + renamed["rest"] if renamed else soname


def read_opened(
    prefix: Path,
    files: Iterable[tuple[str, str, str]],
    openings: Mapping[str, Sequence[Opening]],
    known: Mapping[str, list[str]],
) -> dict[str, list[str]]:
    """Content and pattern of an opening -> names that are in the file.

    Hundreds of megabytes may be searched for them, so what is known already is taken.

    Args:
        files: Path, cache entry and soname of each.
        openings: As :func:`openings_by_soname` gives them.
        known: What this gave before.
    """
    found: dict[str, list[str]] = {}
    for path, key, soname in files:
        for opening in openings_of(soname, openings):
            if not opening.pattern:
                continue
            which = opened_by(key, opening.pattern)
            try:
                found[which] = known[which] if which in known else _names_in(prefix / path, opening.pattern)
            except OSError:
                found[which] = []  # it was readable a moment ago; the next run says what happened to it
    return found


def opened_by(key: str, pattern: str) -> str:
    """Stands for a file's content, given its cache entry, and the pattern that is looked for in it."""
    return f"{key}\n{pattern}"


def _applies(opening: Opening, installed: InstalledPackages, stack: Mapping[str, str]) -> bool:
    if opening.needs == "optional":
        return False
    if opening.needs == "stack" and stack.get("cuda") in (None, "none"):
        return False
    return opening.project is None or any(
        opening.is_of(package.name, package.version) for package in installed.packages
    )


def _names_in(path: Path, pattern: str) -> list[str]:
    """Distinct matches of ``pattern`` in the bytes of a file."""
    compiled, begin = re.compile(pattern.encode()), _beginning(pattern)
    found: set[bytes] = set()
    with path.open("rb", buffering=0) as file:
        at = 0
        for start, stop in (*_without_text(file), (_MAX_SEARCH, _MAX_SEARCH)):
            found.update(_matches(file, at, start, compiled, begin))
            at = max(at, stop)
    return sorted(os.fsdecode(name) for name in found)


def _without_text(file: BinaryIO) -> list[tuple[int, int]]:
    """Where no name stands: the code, for processors and for GPUs, which is most of a large library; in order."""
    try:
        reader = BoundedReader(FileBytes(file.fileno()))
        header = read_header(reader)
        sections = read_sections(reader, header, read_section_headers(reader, header))
    except MalformedElf:
        return []
    found = (sections[name] for name in (".text", LINKED, RELOCATABLE) if name in sections)
    return sorted((at, at + size) for at, size in found)


def _matches(file: BinaryIO, start: int, stop: int, compiled: re.Pattern[bytes], begin: bytes) -> Iterator[bytes]:
    file.seek(start)
    rest = b""
    while (left := stop - file.tell()) > 0 and (block := file.read(min(_CHUNK, left))):
        data = rest + block
        if begin in data:  # three times as fast as a search for the pattern
            yield from (match.group() for match in compiled.finditer(data) if match.end() < len(data))
        rest = data[-_OVERLAP:]


def _beginning(pattern: str) -> bytes:
    """What every match begins with, as far as the pattern says it letter by letter.

    >>> _beginning(r"libx-y\\.so"), _beginning("libx?y"), _beginning("a|b")
    (b'libx-y', b'lib', b'')
    """
    begin = re.match(r"[\w-]*", pattern)
    text = begin.group() if begin and "|" not in pattern else ""
    return (text[:-1] if pattern[len(text) : len(text) + 1] in ("?", "*", "{") else text).encode()
