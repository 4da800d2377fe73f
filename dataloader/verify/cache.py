"""Facts on disk, by content hash, so that verifying again reads nothing and one shared cache serves every machine.

Layout below the cache directory::

    elf-3/ab/abcd....json     facts of the file with that SHA-256 (or of that inode, where its hash is not known)
    elf-3/ab/abcd....sym      its dynamic symbols: four fields of NUL-separated names, the undefined ones first
    prefix-2/....json         what the last run saw in one prefix: stat -> hash, and which symbol lookups succeeded

Entries are data, never code. One that cannot be read counts as absent. They are written under a temporary name and
renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dataloader.files import keep_file
from dataloader.verify.elf import ElfFacts
from dataloader.verify.elf_symbols import VersionNeed
from dataloader.verify.gpucode import GpuCode
from dataloader.verify.symbols import Symbols

_RECENT = 16 << 20
"""Bytes of names that are kept in memory after they were written: the run that read them looks them up next."""


_FACTS = tuple(each.name for each in fields(ElfFacts))


def facts_to_dict(facts: ElfFacts) -> dict[str, Any]:
    """Plain JSON values."""
    values = {name: getattr(facts, name) for name in _FACTS}
    values["version_needs"] = [
        {"file": need.file, "version": need.version, "weak": need.weak} for need in facts.version_needs
    ]
    values["gpu"] = [{"kind": code.kind, "arch": code.arch, "count": code.count} for code in facts.gpu]
    return values


def facts_from_dict(data: dict[str, Any]) -> ElfFacts:
    """The inverse of :func:`facts_to_dict`.

    Raises:
        TypeError, KeyError, ValueError: ``data`` is something else.
    """
    values = dict(data)
    values["version_needs"] = tuple(VersionNeed(**need) for need in values["version_needs"])
    values["gpu"] = tuple(GpuCode(**code) for code in values["gpu"])
    for name in ("needed", "filters", "auxiliary", "python_init"):
        values[name] = tuple(values[name])
    if values["version_definitions"] is not None:
        values["version_definitions"] = tuple(values["version_definitions"])
    return ElfFacts(**values)


@dataclass(slots=True)
class PrefixState:
    """What the last run learnt of one prefix."""

    hashes: dict[str, str] = field(default_factory=dict)
    """As :mod:`dataloader.verify.hashes` keeps them."""
    sufficed: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    missing: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Both as in :class:`dataloader.verify.link_map.Memory`."""
    opened: dict[str, list[str]] = field(default_factory=dict)
    """Content and pattern -> names of libraries that the file opens at run time."""
    libraries: list[str] = field(default_factory=list)
    """Paths of what may be libraries: their reading may begin before the next walk comes to them."""
    changed: bool = False
    """There are hashes or libraries that are not kept yet, or kept ones that are of no use any more."""

    @property
    def amount(self) -> tuple[int, ...]:
        """How much was learnt of lookups: it only ever grows."""
        return (sum(map(len, self.sufficed.values())), len(self.missing), len(self.opened))

    kept: tuple[int, ...] = ()
    """``amount`` as it stands in the cache."""


class FactsCache:
    """The cache below one directory; ``None`` as directory keeps nothing."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._recent: dict[str, Symbols] = {}

    def _entry(self, key: str, suffix: str) -> Path | None:
        if self.root is None:
            return None
        name = key if len(key) == 64 and key.isalnum() else hashlib.sha256(key.encode()).hexdigest()
        return self.root / "elf-3" / name[:2] / (name + suffix)

    def has(self, key: str) -> bool:
        """Whether there is an entry under ``key``."""
        path = self._entry(key, ".json")
        return path is not None and path.exists()

    def load_facts(self, key: str) -> ElfFacts | None:
        """Facts stored under ``key``."""
        path = self._entry(key, ".json")
        if path is None:
            return None
        try:
            return facts_from_dict(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def load_symbols(self, key: str) -> Symbols | None:
        """Symbols stored under ``key``."""
        recent = self._recent.pop(key, None)
        path = self._entry(key, ".sym")
        if recent is not None or path is None:
            return recent
        try:
            return Symbols.from_bytes(path.read_bytes())
        except (OSError, ValueError):
            return None

    def load_undefined(self, key: str) -> frozenset[bytes] | None:
        """Undefined symbols stored under ``key``."""
        path = self._entry(key, ".sym")
        try:
            if path is None or key in self._recent:
                return self._recent[key].undefined
            with path.open("rb") as file:
                return Symbols.undefined_in(file)
        except (OSError, ValueError, KeyError):
            return None

    def store(self, key: str, facts: ElfFacts, symbols: Symbols) -> None:
        """Keep both; a full or read-only cache is no reason to fail."""
        if sum(each.size for each in self._recent.values()) + symbols.size <= _RECENT:
            self._recent[key] = symbols
        entry, blob = self._entry(key, ".json"), self._entry(key, ".sym")
        if entry is None or blob is None:
            return
        keep_file(blob, symbols.to_bytes())
        keep_file(entry, json.dumps(facts_to_dict(facts), sort_keys=True).encode())

    def _state_path(self, prefix: Path) -> Path | None:
        if self.root is None:
            return None
        return self.root / "prefix-2" / (hashlib.sha256(os.fsencode(prefix)).hexdigest() + ".json")

    def load_state(self, prefix: Path) -> PrefixState:
        """What the last run over ``prefix`` kept; empty when there was none."""
        path = self._state_path(prefix)
        if path is None:
            return PrefixState()
        try:
            data = json.loads(path.read_bytes())
            hashes = {str(key): str(value) for key, value in data["hashes"].items()}
            sufficed = {str(key): [tuple(map(str, one)) for one in value] for key, value in data["sufficed"].items()}
            missing = {
                str(key): frozenset(os.fsencode(str(name)) for name in value) for key, value in data["missing"].items()
            }
            opened = {str(key): [str(name) for name in value] for key, value in data["opened"].items()}
            libraries = [str(path) for path in data.get("libraries", ())]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return PrefixState()
        state = PrefixState(hashes=hashes, sufficed=sufficed, missing=missing, opened=opened, libraries=libraries)
        state.kept = state.amount
        return state

    def store_state(self, prefix: Path, state: PrefixState) -> None:
        """Keep what this run learnt."""
        path = self._state_path(prefix)
        if path is not None and (state.changed or state.amount != state.kept):
            missing = {key: [os.fsdecode(name) for name in sorted(names)] for key, names in state.missing.items()}
            document = {
                "hashes": state.hashes,
                "sufficed": state.sufficed,
                "missing": missing,
                "opened": state.opened,
                "libraries": state.libraries,
            }
            keep_file(path, json.dumps(document).encode())
