"""Facts on disk, by content hash, so that verifying again reads nothing and one shared cache serves every machine.

Layout below the cache directory::

    elf-1/ab/abcd....json     facts of the file with that SHA-256 (or of that inode, where its hash is not known)
    elf-1/ab/abcd....sym      its dynamic symbols: four fields of NUL-separated names
    prefix-1/....json         what the last run saw in one prefix: stat -> hash, and which symbol lookups succeeded

Entries are data, never code. One that cannot be read counts as absent. They are written under a temporary name and
renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dataloader.verify.elf import ElfFacts
from dataloader.verify.elf_symbols import Symbols, VersionNeed
from dataloader.verify.gpucode import GpuCode

_FIELD = b"\x01\0"


class StatKey(NamedTuple):
    """Identity and state of a file on this machine: it changes whenever the content may have changed.

    A named tuple, because a verification makes one for each of some ten thousand files.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> StatKey:
        """The key of a stat result."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @classmethod
    def none(cls) -> StatKey:
        """The key of a file that cannot be read."""
        return cls(0, 0, 0, 0, 0)

    @property
    def text(self) -> str:
        """One line; also a key of the cache."""
        return f"{self.device}-{self.inode}-{self.size}-{self.mtime_ns}-{self.ctime_ns}"

    @property
    def file_id(self) -> tuple[int, int]:
        """What ld.so compares to know that two paths are one object."""
        return (self.device, self.inode)


def facts_to_dict(facts: ElfFacts) -> dict[str, Any]:
    """Plain JSON values."""
    return asdict(facts)


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


def symbols_to_bytes(symbols: Symbols) -> bytes:
    """One blob; names of ELF symbols cannot hold NUL."""
    # Without versions the two are one set, and a library may have 90,000 names.
    base = () if symbols.base is symbols.plain else symbols.base
    parts = (symbols.exact, symbols.plain, base, symbols.undefined)
    return (b"=" if symbols.base is symbols.plain else b" ") + _FIELD.join(b"\0".join(part) for part in parts)


def symbols_from_bytes(blob: bytes) -> Symbols:
    """The inverse of :func:`symbols_to_bytes`.

    Raises:
        ValueError: ``blob`` is something else.
    """
    parts = blob[1:].split(_FIELD)
    if len(parts) != 4:
        raise ValueError("a symbols entry has four fields")
    exact, plain, base, undefined = (frozenset(part.split(b"\0")) - {b""} for part in parts)
    return Symbols(exact=exact, plain=plain, base=plain if blob[:1] == b"=" else base, undefined=undefined)


@dataclass(slots=True)
class PrefixState:
    """What the last run learnt of one prefix."""

    hashes: dict[str, str] = field(default_factory=dict)
    """StatKey.text -> SHA-256."""
    sufficed: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    missing: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Both as in :class:`dataloader.verify.link_map.Memory`."""
    opened: dict[str, list[str]] = field(default_factory=dict)
    """Content and pattern -> names of libraries that the file opens at run time."""
    memo: dict[str, Any] = field(default_factory=dict)
    """The last report, and what it depends on."""


class FactsCache:
    """The cache below one directory; ``None`` as directory keeps nothing."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._recent: dict[str, Symbols] = {}

    def _entry(self, key: str, suffix: str) -> Path | None:
        if self.root is None:
            return None
        name = key if len(key) == 64 and key.isalnum() else hashlib.sha256(key.encode()).hexdigest()
        return self.root / "elf-1" / name[:2] / (name + suffix)

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
            return symbols_from_bytes(path.read_bytes())
        except (OSError, ValueError):
            return None

    def store(self, key: str, facts: ElfFacts, symbols: Symbols) -> None:
        """Keep both; a full or read-only cache is no reason to fail."""
        self._recent[key] = symbols
        entry, blob = self._entry(key, ".json"), self._entry(key, ".sym")
        if entry is None or blob is None:
            return
        _write(blob, symbols_to_bytes(symbols))
        _write(entry, json.dumps(facts_to_dict(facts), sort_keys=True).encode())

    def _state_path(self, prefix: Path) -> Path | None:
        if self.root is None:
            return None
        return self.root / "prefix-1" / (hashlib.sha256(os.fsencode(prefix)).hexdigest() + ".json")

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
            memo = dict(data["memo"])
            opened = {str(key): [str(name) for name in value] for key, value in data["opened"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return PrefixState()
        return PrefixState(hashes=hashes, sufficed=sufficed, missing=missing, opened=opened, memo=memo)

    def store_state(self, prefix: Path, state: PrefixState) -> None:
        """Keep what this run learnt."""
        path = self._state_path(prefix)
        if path is not None:
            missing = {key: [os.fsdecode(name) for name in sorted(names)] for key, names in state.missing.items()}
            document = {
                "hashes": state.hashes,
                "sufficed": state.sufficed,
                "missing": missing,
                "opened": state.opened,
                "memo": state.memo,
            }
            _write(path, json.dumps(document).encode())


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    except OSError:
        return  # the cache only saves time
