"""Which sets of packages are known to load: notes in the cache, so that nothing is looked at twice.

Layout below the cache directory: ``learned-2/RELEASE/proofs/DIGEST``, each with its own name inside. They are
judgements of one release of this program, so each release keeps its own.
"""

from __future__ import annotations

import hashlib
import json
import os
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
