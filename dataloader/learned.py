"""What was learnt from package files, kept in the cache and shared through it: contradictions, and locks that load.

Layout below the cache directory::

    learned-1/RELEASE/contradictions/SHA256.json    of the package file with that hash
    learned-1/RELEASE/proofs/DIGEST                 that a set of packages loads on a machine

Entries are judgements of one release of this program, so each release keeps its own. One that cannot be read counts as
absent. They are written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.contradictions import Contradiction, from_dict, to_dict
from dataloader.files import replace_file
from dataloader.lockfile.model import Lockfile
from dataloader.reporter import Reporter

if TYPE_CHECKING:
    from dataloader.interpreters import Interpreter


class Learned:
    """The facts of one writable cache over any number of read-only ones; ``None`` as cache knows and keeps nothing."""

    def __init__(self, cache: Path | None, layers: Sequence[Path] = (), reporter: Reporter | None = None) -> None:
        from dataloader import __version__

        below = Path("learned-1") / __version__
        self._places = [each / below for each in (cache, *layers) if each is not None] if cache else []
        self._reporter = reporter or Reporter()
        self._here: list[Contradiction] = []

    def contradictions(self) -> tuple[Contradiction, ...]:
        """Everything known, sorted, so that equal caches give equal solves."""
        found = dict.fromkeys(self._here)
        for place in self._places:
            for path in sorted((place / "contradictions").glob("*.json")):
                found.update(dict.fromkeys(_read(path)))
        return tuple(sorted(found, key=lambda each: (each.artefact.name, each.artefact.version, each.kind, each.why)))

    @property
    def found_here(self) -> tuple[str, ...]:
        """What this process found out, in the user's terms."""
        return tuple(each.why for each in self._here)

    def add(self, new: Iterable[Contradiction]) -> tuple[Contradiction, ...]:
        """Remember contradictions; return those that were not known yet."""
        fresh = [each for each in dict.fromkeys(new) if each not in set(self.contradictions())]
        self._here += fresh
        for sha256 in sorted({each.artefact.sha256 for each in fresh if each.lasting}):
            name = f"contradictions/{sha256}.json"
            known = [each for each in self.contradictions() if each.artefact.sha256 == sha256 and each.lasting]
            self._write(name, json.dumps([to_dict(each) for each in known], indent=1).encode())
        return tuple(fresh)

    def is_proven(self, key: str) -> bool:
        """Whether the packages of this :func:`proof_key` are known to load."""
        return any((place / "proofs" / key).exists() for place in self._places)

    def prove(self, key: str) -> None:
        """Remember that the packages of this :func:`proof_key` load."""
        self._write(f"proofs/{key}", b"")

    def _write(self, name: str, data: bytes) -> None:
        if not self._places:
            return
        path = self._places[0] / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        except OSError as error:
            self._reporter.debug(f"{path} cannot be written, so this will be found out again: {error.strerror}")


def proof_key(lock: Lockfile, python: Interpreter | None, machine: str) -> str:
    """Stands for all that a verdict on a fresh environment depends on: packages, Python and machine."""
    packages = sorted((type(each).__name__, each.name, each.version, each.sha256 or each.url) for each in lock.packages)
    host = [python.version, python.soabi] if python else []
    parts = [lock.platform, packages, sorted(lock.stack.items()), host, machine]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def machine_key() -> str:
    """Stands for what of this machine decides whether packages load: looked up in a millisecond, without probing."""
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    folders = (Path("/usr/lib"), Path("/usr/lib64"), *Path("/usr/lib").glob("*-linux-*"))
    libraries = sorted({str(path.resolve()) for folder in folders for path in folder.glob("libstdc++.so.6")})
    gpus = [_model(path) for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    return json.dumps([os.uname().machine, libc, libraries, gpus])


def _model(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("Model:")), "")


def _read(path: Path) -> Iterator[Contradiction]:
    try:
        yield from [from_dict(each) for each in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):
        return  # it will be found out again
