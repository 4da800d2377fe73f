"""The answer to a sync with nothing to do, before typer, rattler and httpx are imported (0.3 s of imports).

It only ever says "nothing to do"; whenever anything is unusual the full command takes over and says what it is.
"""

# ruff: noqa: PTH100, PTH109, PTH118, PTH120
# As dataloader.locate: importing pathlib would cost more than the answer.

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence

from dataloader.install.status import fast_status, lock_digest
from dataloader.locate import DEFAULT_PREFIX, LOCK_NAME, locate_manifest

SEEN = ".dataloader/synced.json"
"""Relative to the prefix: the manifest, settings and lock that the last sync agreed on."""

_HARMLESS = {"--frozen", "--locked", "--check", "--offline", "-q", "--quiet"}
_KNOWN_VARIABLES = {"DATALOADER_PREFIX", "DATALOADER_LOCKFILE", "DATALOADER_CACHE_DIR", "DATALOADER_OFFLINE"}
_SETTINGS = ("DATALOADER_", "PIP_", "CONDA_OVERRIDE_")


def nothing_to_do(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Answer ``sync`` if the prefix matches its lock, and the lock its manifest; False when unsure."""
    asked = _read(arguments, environ)
    if asked is None:
        return False
    prefix, lockfile, frozen, quiet = asked
    here = os.getcwd()
    manifest = locate_manifest(here)
    root = os.path.dirname(manifest) if manifest else here
    prefix = prefix or os.path.join(root, DEFAULT_PREFIX)
    try:
        with open(lockfile or os.path.join(root, LOCK_NAME), "rb") as stream:
            lock = stream.read()
        if not fast_status(prefix, lock):
            return False
        if manifest and not frozen and not _agreed(prefix, manifest, lock, environ):
            return False
    except OSError:
        return False
    if not quiet:
        sys.stdout.write(f"{prefix} matches the lock already\n")
    return True


def _read(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str | None, str | None, bool, bool] | None:
    """Return prefix, lockfile, frozen and quiet of a plain ``sync``; None for anything that takes more reading."""
    if not arguments or arguments[0] != "sync":
        return None
    if any(name.startswith("DATALOADER_") and name not in _KNOWN_VARIABLES for name in environ):
        return None
    values = {"--prefix": environ.get("DATALOADER_PREFIX"), "--lockfile": environ.get("DATALOADER_LOCKFILE")}
    rest, said = iter(arguments[1:]), set()
    for word in rest:
        name, equals, value = word.partition("=")
        name = "--prefix" if name == "-p" else name
        if name in values:
            values[name] = value if equals else next(rest, None)
        elif word in _HARMLESS:
            said.add(word)
        else:
            return None
    return values["--prefix"], values["--lockfile"], "--frozen" in said, bool(said & {"-q", "--quiet"})


def _agreed(prefix: str, manifest: str, lock: bytes, environ: Mapping[str, str]) -> bool:
    try:
        with open(os.path.join(prefix, SEEN), encoding="utf-8") as stream:
            return bool(json.load(stream) == agreement(manifest, lock, environ))
    except ValueError:
        return False


def agreement(manifest: str | os.PathLike[str], lock: bytes, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a sync that found everything in order leaves behind, to be compared next time."""
    with open(manifest, "rb") as stream:
        content = stream.read()
    settings = sorted((k, v) for k, v in environ.items() if k.startswith(_SETTINGS) and k not in _KNOWN_VARIABLES)
    return {
        "manifest": hashlib.sha256(content).hexdigest(),
        "path": os.path.abspath(manifest),
        "lock": lock_digest(lock),
        "settings": hashlib.sha256(repr(settings).encode()).hexdigest(),
    }
