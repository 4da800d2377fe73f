"""What a compiled wheel needs of a framework, what a release of that has, and how they go together. No I/O."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dataloader.elf.definitions import Definitions, bare

_STANDARD: Final = re.compile(rb"_Z(?:T[ISVTC]|GV)?N?[rVK]*(?:S[tabsiod]|__cxxabi)")
"""Names of C++'s own library, which may name a framework's types in their arguments."""
_VERSIONED: Final = re.compile(r"(.+\.so)\.(\d+)")


class FileNeeds(NamedTuple):
    """What one file of a wheel needs of others than the wheel itself."""

    file: str
    """Its path in the wheel."""
    needed: tuple[str, ...]
    """DT_NEEDED."""
    symbols: frozenset[bytes]
    """``name`` or ``name@version`` of what is undefined in it, not weak, and defined by no file of the wheel."""
    versions: Mapping[bytes, str] = {}
    """Version -> the library that it is asked of."""
    here: frozenset[str] = frozenset()
    """Those of the needed that this machine has: what they define is not among the symbols."""

    def asked_of(self, offered: Container[str]) -> frozenset[bytes]:
        """Those symbols that these libraries may have: a version says whose it is, and Python's are its own."""
        return frozenset(
            symbol
            for symbol in self.symbols
            if not symbol.startswith((b"Py", b"_Py"))
            and (b"@" not in symbol or self.versions.get(symbol.partition(b"@")[2], "") in offered)
        )

    def others(self, offered: Container[str]) -> list[str]:
        """Libraries, beside these, that may define what has no version: not looked at, and asked for no version."""
        versioned = set(self.versions.values())
        return [
            soname for soname in self.needed if not (soname in offered or soname in versioned or soname in self.here)
        ]


class Exports(NamedTuple):
    """What one library of a release has."""

    needed: tuple[str, ...]
    """DT_NEEDED."""
    defines: Definitions

    def has(self, symbol: bytes) -> bool:
        """Whether a reference to ``name`` or ``name@version`` finds it here."""
        if b"@" in symbol:
            return symbol in self.defines.exact or bare(symbol) in self.defines.base
        return symbol in self.defines.plain


class Release(NamedTuple):
    """What was read of one release."""

    version: str
    offers: frozenset[str]
    """File names of its libraries."""
    needed: frozenset[str]
    """DT_NEEDED of those that were read."""
    lacks: Mapping[str, frozenset[bytes]]
    """File of the wheel -> symbols that none of the libraries it is loaded with defines."""
    unknown: str = ""
    """Why it could not be read."""


class ReleaseVerdict(NamedTuple):
    """Whether the wheel loads with one release."""

    version: str
    loads: bool | None
    """``None`` where it is not known."""
    why: tuple[str, ...] = ()
    """What stands against it, else what is not known."""
    missing: Mapping[str, tuple[str, ...]] = {}
    """File of the wheel -> symbols that the release does not define."""


def is_own(symbol: bytes, names_framework: bool) -> bool:
    """Whether a symbol belongs to the framework even if no release that was read defines it.

    Args:
        names_framework: Its name holds the framework's namespace.

    >>> is_own(b"_ZN3c105ErrorC1Ev", True), is_own(b"_ZNSt6vectorIN2at6TensorEE5clearEv", True)
    (True, False)
    """
    return names_framework and not _STANDARD.match(symbol)


def judge(needs: Sequence[FileNeeds], releases: Sequence[Release], own: frozenset[bytes]) -> list[ReleaseVerdict]:
    """One verdict for each release.

    What no release defines may be of another library that the file needs, so it is not known whether that loads, unless
    the symbol is ``own`` of the framework or there is no such library. A library that no release has counts for none.
    """
    read = [release for release in releases if not release.unknown]
    foreign = _of_nobody(needs, read) - own
    offered = frozenset(name for exports in read for name in exports.offers)
    return [_verdict(needs, release, foreign, offered) for release in releases]


def _of_nobody(needs: Sequence[FileNeeds], read: Sequence[Release]) -> frozenset[bytes]:
    """Symbols that every release lacks, for every file that asks for them."""
    asked = frozenset(symbol for need in needs for symbol in need.symbols)
    found = frozenset(
        symbol for release in read for need in needs for symbol in need.symbols - release.lacks[need.file]
    )
    return asked - found


def _verdict(
    needs: Sequence[FileNeeds], release: Release, foreign: frozenset[bytes], offered: frozenset[str]
) -> ReleaseVerdict:
    if release.unknown:
        return ReleaseVerdict(release.version, None, (release.unknown,))
    missing: dict[str, tuple[str, ...]] = {}
    doubts: list[str] = []
    for compiled in needs:
        lacks, others = release.lacks[compiled.file], compiled.others(offered)
        if others and (whose := lacks & foreign):
            doubts.append(f"{compiled.file} needs {_symbols(len(whose))} that {', '.join(others)} may define")
            lacks = lacks - foreign
        if lacks:
            missing[compiled.file] = tuple(sorted(name.decode("utf-8", "surrogateescape") for name in lacks))
    wanted = sorted({name for need in needs for name in need.needed})
    absent = [name for name in wanted if name in offered and name not in release.offers]
    why = [f"it has no {name}" for name in absent]
    why += [f"the wheel needs {mine}, it needs {theirs}" for mine, theirs in _other_versions(wanted, release.needed)]
    count = len({name for names in missing.values() for name in names})
    why += [f"it does not define {_symbols(count)}"] if count else []
    return ReleaseVerdict(release.version, False if why else None if doubts else True, tuple(why or doubts), missing)


def _symbols(count: int) -> str:
    return f"{count} symbol{'s' if count > 1 else ''}"


def _other_versions(wanted: Iterable[str], theirs: Iterable[str]) -> list[tuple[str, str]]:
    """Libraries that both need at different versions (``libcudart.so.12`` and ``libcudart.so.13``)."""
    by_stem: dict[str, set[str]] = {}
    for name in theirs:
        if match := _VERSIONED.fullmatch(name):
            by_stem.setdefault(match[1], set()).add(name)
    stems = ((name, match[1]) for name in wanted if (match := _VERSIONED.fullmatch(name)))
    return [(name, min(by_stem[stem])) for name, stem in stems if stem in by_stem and name not in by_stem[stem]]


def windows(verdicts: Sequence[ReleaseVerdict], loads: bool | None = True) -> list[tuple[str, str]]:
    """First and last release of each run of those of one kind (that load), in the order given; others end a run.

    >>> windows([Verdict("2.4", False), Verdict("2.5", True), Verdict("2.6", True), Verdict("2.7", None)])
    [('2.5', '2.6')]
    """
    runs: list[tuple[str, str]] = []
    before = False
    for verdict in verdicts:
        is_of_kind = verdict.loads is loads
        if is_of_kind:
            runs[-1:] = [(runs[-1][0], verdict.version)] if before else [*runs[-1:], (verdict.version, verdict.version)]
        before = is_of_kind
    return runs


def said(verdicts: Sequence[ReleaseVerdict], project: str) -> str:
    """The windows in words; where nothing is known to load, which may.

    >>> said([Verdict("2.5", True), Verdict("2.6", True), Verdict("2.7", False), Verdict("2.8", True)], "torch")
    'loads with torch 2.5 to 2.6 and 2.8'
    >>> said([Verdict("2.5", None), Verdict("2.6", False)], "torch")
    'loads for certain with no release of torch that was looked at; with 2.5 it is not known'
    """
    if runs := windows(verdicts):
        return f"loads with {project} {_spans(runs)}"
    if all(verdict.loads is None for verdict in verdicts):
        return "it is not known"
    if unknown := windows(verdicts, None):
        return (
            f"loads for certain with no release of {project} that was looked at; with {_spans(unknown)} it is not known"
        )
    return f"loads with no release of {project} that was looked at"


def _spans(runs: Sequence[tuple[str, str]]) -> str:
    *most, last = (first if first == last else f"{first} to {last}" for first, last in runs)
    return f"{', '.join(most)}{' and ' if most else ''}{last}"
