"""Facts on disk, by content hash, so that verifying again reads nothing and one shared cache serves every machine.

Layout below the cache directory::

    elf-8/abcd....elf         facts of the file with that SHA-256 (or of that inode, where its hash is not known): JSON,
                              then the names of its undefined symbols, separated by NUL; both sealed
    prefix-8/....json         what the last runs learnt of the libraries of one prefix: which symbol lookups succeeded
    prefix-8/....hashes, ....inodes  see :mod:`dataloader.verify.memory.hashes`

Entries are data, never code. One that cannot be read counts as absent. They are written under a temporary name and
renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from dataloader.base.cache import LIBRARIES, PREFIXES
from dataloader.base.files import keep_file, keep_sealed, read_kept
from dataloader.base.sealed import read_part, seal, skip_part
from dataloader.elf.dynamic import VersionNeed
from dataloader.elf.facts import ElfFacts
from dataloader.elf.gpucode import GpuCode


def facts_to_dict(facts: ElfFacts) -> dict[str, Any]:
    """Plain JSON values."""
    values = facts._asdict()
    values["version_needs"] = [
        {"file": need.file, "version": need.version, "weak": need.weak} for need in facts.version_needs
    ]
    values["gpu"] = [code._asdict() for code in facts.gpu]
    return values


def facts_from_dict(data: dict[str, Any]) -> ElfFacts:
    """The inverse of :func:`facts_to_dict`.

    Raises:
        TypeError, KeyError, ValueError: ``data`` is something else.
    """
    values = dict(data)
    values["version_needs"] = tuple(VersionNeed(**need) for need in values["version_needs"])
    values["gpu"] = tuple(GpuCode(**{**code, "isa": tuple(code["isa"])}) for code in values["gpu"])
    for name in ("needed", "filters", "auxiliary", "python_init"):
        values[name] = tuple(values[name])
    if values["version_definitions"] is not None:
        values["version_definitions"] = tuple(values["version_definitions"])
    return ElfFacts(**values)


class Learnt:
    """What the last runs learnt of the libraries of one prefix: by their content, so it stays true when others come."""

    def __init__(
        self,
        libraries: dict[str, list[str]] | None = None,
        sufficed: dict[str, list[tuple[str, ...]]] | None = None,
        missing: dict[str, frozenset[bytes]] | None = None,
        opened: dict[str, list[str]] | None = None,
    ) -> None:
        self.libraries = libraries or {}
        """Path of each whose content was hashed -> its state as text, and SHA-256 in hex."""
        self.sufficed, self.missing = sufficed or {}, missing or {}
        """Both as in :class:`dataloader.loader.model.Memory`."""
        self.opened = opened or {}
        """As :func:`dataloader.verify.checks.opened.read_opened` gives it."""
        self.kept = self.extent()
        """As it stands in the cache."""

    def extent(self) -> object:
        """Tells whether there is something to keep: what was learnt of lookups only ever grows."""
        lookups = (sum(map(len, self.sufficed.values())), len(self.missing), len(self.opened))
        return lookups, {path: tuple(row) for path, row in self.libraries.items()}


class FactsCache:
    """The cache below one directory; ``None`` as directory keeps nothing."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def _entry(self, key: str) -> Path | None:
        if self.root is None:
            return None
        name = key if len(key) == 64 and key.isalnum() else hashlib.sha256(key.encode()).hexdigest()
        return self.root / LIBRARIES / f"{name}.elf"

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
                return facts_from_dict(json.loads(read_part(file)))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def load_undefined(self, key: str) -> frozenset[bytes] | None:
        """Undefined symbols stored under ``key``, as :func:`~dataloader.elf.facts.read_elf` gives them."""
        path = self._entry(key)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                skip_part(file)
                names = read_part(file)
        except (OSError, ValueError):
            return None
        return frozenset(names.split(b"\0")) if names else frozenset()

    def store(self, key: str, facts: ElfFacts, undefined: frozenset[bytes]) -> None:
        """Keep both; a full or read-only cache is no reason to fail."""
        path = self._entry(key)
        if path is not None:
            values = json.dumps(facts_to_dict(facts), sort_keys=True).encode()
            keep_sealed(path, seal(values) + seal(b"\0".join(undefined)))

    def path_of(self, prefix: Path, suffix: str) -> Path | None:
        """Where something is kept of one prefix."""
        if self.root is None:
            return None
        return self.root / PREFIXES / (hashlib.sha256(os.fsencode(prefix)).hexdigest() + suffix)

    def load_learnt(self, prefix: Path) -> Learnt:
        """What the last run over ``prefix`` kept; empty when there was none."""
        path = self.path_of(prefix, ".json")
        if path is None:
            return Learnt()
        try:
            data = json.loads(read_kept(path) or b"{}")
            return Learnt(
                libraries={str(path): [str(state), str(key)] for path, (state, key) in data["libraries"].items()},
                sufficed={
                    str(key): [tuple(map(str, pair)) for pair in value] for key, value in data["sufficed"].items()
                },
                missing={
                    str(key): frozenset(os.fsencode(str(name)) for name in value)
                    for key, value in data["missing"].items()
                },
                opened={str(key): [str(name) for name in value] for key, value in data["opened"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return Learnt()

    def store_learnt(self, prefix: Path, learnt: Learnt) -> None:
        """Keep what this run learnt."""
        path = self.path_of(prefix, ".json")
        if path is not None and learnt.extent() != learnt.kept:
            names = {key: [os.fsdecode(name) for name in sorted(names)] for key, names in learnt.missing.items()}
            document = {
                "libraries": learnt.libraries,
                "sufficed": learnt.sufficed,
                "missing": names,
                "opened": learnt.opened,
            }
            keep_file(path, json.dumps(document).encode())
