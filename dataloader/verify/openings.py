"""Libraries that others open by name at run time (cuDNN's parts, NVRTC's builtins): can they, when they try?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dataloader.verify.dependencies import meets
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.installed import Installed
from dataloader.verify.link_map import Failure, Result
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.reading import Contents
from dataloader.verify.scan import ScannedFile
from dataloader.verify.tables import Opening, Tables, install_command

_CHUNK = 1 << 20
_OVERLAP = 256
_MAX_SEARCH = 1 << 30


def openings_by_soname(installed: Installed, tables: Tables, stack: Mapping[str, str]) -> dict[str, list[Opening]]:
    """Soname of the library that opens -> what it opens here.

    Args:
        stack: What the lock was made for; empty without one.
    """
    found: dict[str, list[Opening]] = {}
    for opening in tables.openings:
        if _applies(opening, installed, stack):
            found.setdefault(opening.by, []).append(opening)
    return found


def read_opened(contents: Contents, openings: Mapping[str, Sequence[Opening]]) -> dict[str, list[str]]:
    """Content and pattern of an opening -> names that are in the file.

    Hundreds of megabytes may be searched for them, so what is known from the last run is taken.
    """
    found: dict[str, list[str]] = {}
    for file in contents.scanned:
        for opening in openings.get((file.facts and file.facts.soname) or "", ()):
            if not opening.pattern:
                continue
            key = _key(file, opening.pattern)
            known = contents.state.opened.get(key)
            try:
                found[key] = _names_in(contents.prefix / file.path, opening.pattern) if known is None else known
            except OSError:
                found[key] = []  # it was readable a moment ago; the next run says what happened to it
    return found


def check_openings(
    judge: Judge,
    verdicts: Sequence[Verdict],
    openings: Mapping[str, Sequence[Opening]],
    cuda_major: str | None,
    opened: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    """One finding for each opening library.

    Args:
        openings: As :func:`openings_by_soname` gives them.
        opened: As :func:`read_opened` does.
    """
    for verdict in verdicts:
        facts = judge.files[verdict.path].facts
        if not verdict.loads or facts is None:
            continue
        for opening in openings.get(facts.soname or "", ()):
            missing = _missing(judge, verdict, opening, opened)
            if missing:
                yield _finding(verdict, opening, missing, cuda_major)


def _key(file: ScannedFile, pattern: str) -> str:
    return f"{file.key}\n{pattern}"


def _applies(opening: Opening, installed: Installed, stack: Mapping[str, str]) -> bool:
    if opening.needs == "optional":
        return False
    if opening.needs == "stack" and stack.get("cuda") in (None, "none"):
        return False
    if opening.project is None:
        return True
    from packaging.specifiers import SpecifierSet

    return any(
        package.name == opening.project and meets(package.version, SpecifierSet(opening.specifier))
        for package in installed.packages
    )


def _missing(
    judge: Judge, verdict: Verdict, opening: Opening, opened: Mapping[str, Sequence[str]]
) -> dict[str, Failure]:
    """Name -> why it cannot be opened, by the library once it is loaded as its users load it."""
    path = str(judge.prefix / verdict.path)
    process = (judge.process if verdict.bare or verdict.package is None else judge.context(verdict.package)).copy()
    root = process.open(path).root
    if root is None:
        return {}
    names = list(opening.opens)
    if opening.pattern:
        names += opened[_key(judge.files[verdict.path], opening.pattern)]
    tried: dict[str, Result] = {name: process.open_named(root, name) for name in names}
    return {name: result.failures[0] for name, result in tried.items() if not result.loads}


def _names_in(path: Path, pattern: str) -> list[str]:
    """Distinct matches of ``pattern`` in the bytes of a file."""
    compiled, begin = re.compile(pattern.encode()), _beginning(pattern)
    found: set[bytes] = set()
    rest = b""
    with path.open("rb", buffering=0) as file:
        while file.tell() < _MAX_SEARCH and (block := file.read(_CHUNK)):
            data = rest + block
            if begin in data:  # three times as fast as a search for the pattern
                found.update(match.group() for match in compiled.finditer(data) if match.end() < len(data))
            rest = data[-_OVERLAP:]
    return sorted(os.fsdecode(name) for name in found)


def _beginning(pattern: str) -> bytes:
    """What every match begins with, as far as the pattern says it letter by letter.

    >>> _beginning(r"libx-y\\.so"), _beginning("libx?y"), _beginning("a|b")
    (b'libx-y', b'lib', b'')
    """
    begin = re.match(r"[\w-]*", pattern)
    text = begin.group() if begin and "|" not in pattern else ""
    return (text[:-1] if pattern[len(text) : len(text) + 1] in ("?", "*", "{") else text).encode()


def _finding(verdict: Verdict, opening: Opening, missing: Mapping[str, Failure], cuda_major: str | None) -> Finding:
    names = sorted(missing)
    severity: Severity = "error" if opening.needs in ("always", "stack") else "warning"
    conda = verdict.package is not None and verdict.package.kind == "conda"
    fixes = dict.fromkeys(filter(None, (install_command(name, cuda_major, conda=conda) for name in names)))
    reasons = [
        f"{name}: {missing[name].kind.replace('-', ' ')}"
        + (f" {missing[name].name}" if missing[name].name != name else "")
        for name in names
    ]
    return Finding(
        severity=severity,
        kind="cannot-open",
        path=verdict.path,
        message=f"{opening.part} opens {', '.join(names[:4])}{' ...' if len(names) > 4 else ''} at run time and cannot",
        evidence=(*reasons[:8], f"known from {opening.id}"),
        fix=next(iter(fixes), None),
    )
