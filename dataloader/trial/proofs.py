"""Which sets of packages are known to load: notes in the cache, so that nothing is looked at twice.

Layout below the cache directory: ``learned-2/RELEASE/proofs/DIGEST``, each with its own name inside. They are
judgements of one release of this program, so each release keeps its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader import __version__
from dataloader.base.cache import LEARNED
from dataloader.base.files import keep_file, read_kept
from dataloader.base.reporter import Reporter
from dataloader.lockfile.model import Lockfile

if TYPE_CHECKING:
    from dataloader.machine.interpreters import Interpreter


class Proofs:
    """The notes of one writable cache over any number of read-only ones."""

    def __init__(self, cache: Path, layers: Sequence[Path] = ()) -> None:
        self._places = [folder / LEARNED / __version__ / "proofs" for folder in (cache, *layers)]

    def has(self, key: str) -> bool:
        """Whether the packages of this :func:`proof_key` are known to load."""
        return any(read_kept(place / key) == key.encode() for place in self._places)

    def add(self, key: str, reporter: Reporter) -> None:
        """Note that the packages of this :func:`proof_key` load."""
        path = self._places[0] / key
        error = keep_file(path, key.encode())
        if error:
            reporter.debug(f"{path} cannot be written, so this will be looked at again: {error.strerror}")


def proof_key(lock: Lockfile, python: Interpreter | None, machine: str) -> str:
    """Stands for all that a verdict on a fresh environment depends on: packages, Python and machine."""
    packages = sorted(
        (type(package).__name__, package.name, package.version, package.stored_as or package.url)
        for package in lock.packages
    )
    host = [python.version, python.soabi] if python else []
    parts = [lock.platform, packages, sorted(lock.stack.items()), host, machine]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
