"""Facts on disk, by content hash, so that verifying again reads nothing and one shared cache serves every machine.

Layout below the cache directory::

    elf-4/ab/abcd....elf      facts of the file with that SHA-256 (or of that inode, where its hash is not known): one
                              line of JSON, then the names of its undefined symbols, separated by NUL
    prefix-3/....json         what the last run saw in one prefix: its tree and hashes, which symbol lookups succeeded
    prefix-3/....hashes.json  hashes by inode and times

Entries are data, never code. One that cannot be read counts as absent. They are written under a temporary name and
renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dataloader.files import keep_file
from dataloader.verify.elf import ElfFacts
from dataloader.verify.elf_symbols import VersionNeed
from dataloader.verify.gpucode import GpuCode

_MAX_LINE = 64 << 20
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

    tree: str = ""
    """Digest of the tree that was hashed."""
    digests: list[str] = field(default_factory=list)
    """Of each file of that tree as RECORD writes it, in the order of the walk; empty for one that nobody recorded."""
    libraries: dict[str, list[str]] = field(default_factory=dict)
    """Path of each that may be a library -> its state as text, and SHA-256 in hex."""
    earlier: Callable[[], dict[str, str]] = dict
    """Hashes by inode, as :mod:`dataloader.verify.hashes` keeps them: read where the tree is another one."""
    hashes: dict[str, str] | None = None
    """The same, to be kept; ``None``: as they were."""
    sufficed: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    missing: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Both as in :class:`dataloader.verify.link_map.Memory`."""
    opened: dict[str, list[str]] = field(default_factory=dict)
    """Content and pattern -> names of libraries that the file opens at run time."""
    kept: tuple[object, ...] = ()
    """``contents`` as it stands in the cache."""

    @property
    def contents(self) -> tuple[object, ...]:
        """Tells whether there is something to keep: what was learnt of lookups only ever grows."""
        return (
            self.tree,
            len(self.libraries),
            sum(map(len, self.sufficed.values())),
            len(self.missing),
            len(self.opened),
        )

    def forget_hashes(self) -> None:
        """Nothing is known of any file's content any more."""
        self.tree, self.libraries, self.earlier = "", {}, dict


class FactsCache:
    """The cache below one directory; ``None`` as directory keeps nothing."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def _entry(self, key: str) -> Path | None:
        if self.root is None:
            return None
        name = key if len(key) == 64 and key.isalnum() else hashlib.sha256(key.encode()).hexdigest()
        return self.root / "elf-4" / name[:2] / f"{name}.elf"

    def has(self, key: str) -> bool:
        """Whether there is an entry under ``key``."""
        path = self._entry(key)
        return path is not None and path.exists()

    def load_facts(self, key: str) -> ElfFacts | None:
        """Facts stored under ``key``."""
        path = self._entry(key)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                return facts_from_dict(json.loads(file.readline(_MAX_LINE)))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def load_undefined(self, key: str) -> frozenset[bytes] | None:
        """Undefined symbols stored under ``key``, as :func:`~dataloader.verify.elf.read_elf` gives them."""
        path = self._entry(key)
        if path is None:
            return None
        try:
            _, newline, names = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if not newline:
            return None
        return frozenset(names.split(b"\0")) if names else frozenset()

    def store(self, key: str, facts: ElfFacts, undefined: frozenset[bytes]) -> None:
        """Keep both; a full or read-only cache is no reason to fail."""
        path = self._entry(key)
        if path is not None:
            line = json.dumps(facts_to_dict(facts), sort_keys=True).encode()
            keep_file(path, line + b"\n" + b"\0".join(sorted(undefined)))

    def _state_path(self, prefix: Path, suffix: str) -> Path | None:
        if self.root is None:
            return None
        return self.root / "prefix-3" / (hashlib.sha256(os.fsencode(prefix)).hexdigest() + suffix)

    def load_state(self, prefix: Path) -> PrefixState:
        """What the last run over ``prefix`` kept; empty when there was none."""
        path = self._state_path(prefix, ".json")
        if path is None:
            return PrefixState()
        try:
            data = json.loads(path.read_bytes())
            state = PrefixState(
                tree=str(data["tree"]),
                digests=list(map(str, data["digests"])),
                libraries={str(path): [str(state), str(key)] for path, (state, key) in data["libraries"].items()},
                earlier=lambda: self._load_hashes(prefix),
                sufficed={str(key): [tuple(map(str, one)) for one in value] for key, value in data["sufficed"].items()},
                missing={
                    str(key): frozenset(os.fsencode(str(name)) for name in value)
                    for key, value in data["missing"].items()
                },
                opened={str(key): [str(name) for name in value] for key, value in data["opened"].items()},
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return PrefixState()
        state.kept = state.contents
        return state

    def _load_hashes(self, prefix: Path) -> dict[str, str]:
        path = self._state_path(prefix, ".hashes.json")
        try:
            data = json.loads(path.read_bytes()) if path is not None else {}
            return {str(key): str(value) for key, value in data.items()}
        except (OSError, ValueError, AttributeError, RecursionError):
            return {}

    def store_state(self, prefix: Path, state: PrefixState) -> None:
        """Keep what this run learnt."""
        path, hashes = self._state_path(prefix, ".json"), self._state_path(prefix, ".hashes.json")
        if hashes is not None and state.hashes is not None:
            keep_file(hashes, json.dumps(state.hashes).encode())
        if path is not None and state.contents != state.kept:
            document = {
                "tree": state.tree,
                "digests": state.digests,
                "libraries": state.libraries,
                "sufficed": state.sufficed,
                "missing": {key: [os.fsdecode(name) for name in sorted(names)] for key, names in state.missing.items()},
                "opened": state.opened,
            }
            keep_file(path, json.dumps(document).encode())
