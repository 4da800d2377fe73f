"""The answer to a sync with nothing to do, before typer, rattler and httpx are imported (0.3 s of imports).

It only ever says "nothing to do"; whenever anything is unusual the full command takes over and says what it is.
"""

# ruff: noqa: PTH100, PTH109, PTH118, PTH120
# As dataloader.prefix.locate: importing pathlib would cost more than the answer.

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence

from dataloader.prefix.locate import DEFAULT_PREFIX, LOCK_NAME, locate_manifest
from dataloader.prefix.unchanged import fast_status, lock_digest

SEEN = ".dataloader/synced.json"
"""Relative to the prefix: the manifest, settings and lock that the last sync agreed on."""

_HARMLESS = {"--frozen", "--locked", "--check", "--offline", "-q", "--quiet"}
_VALUES = {
    "--prefix": "DATALOADER_PREFIX",
    "--lockfile": "DATALOADER_LOCKFILE",
    "--events": "DATALOADER_EVENTS",
    "--status-file": "DATALOADER_STATUS_FILE",
    "--metrics-file": "DATALOADER_METRICS_FILE",
}
"""Options with a value that are understood here, and their variables."""
_KNOWN_VARIABLES = {*_VALUES.values(), "DATALOADER_CACHE_DIR", "DATALOADER_OFFLINE"}
_SETTINGS = ("DATALOADER_", "PIP_", "CONDA_OVERRIDE_")


def nothing_to_do(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Answer ``sync`` if the prefix matches its lock, and the lock its manifest; False when unsure."""
    asked = _read(arguments, environ)
    if asked is None:
        return False
    values, said = asked
    here = os.getcwd()
    manifest = locate_manifest(here)
    root = os.path.dirname(manifest) if manifest else here
    prefix = values["--prefix"] or os.path.join(root, DEFAULT_PREFIX)
    try:
        with open(values["--lockfile"] or os.path.join(root, LOCK_NAME), "rb") as stream:
            lock = stream.read()
        if not fast_status(prefix, lock):
            return False
        if manifest and "--frozen" not in said and not _agreed(prefix, manifest, lock, environ):
            return False
    except OSError:
        return False
    if values["--events"] or values["--status-file"] or values["--metrics-file"]:
        _report(values, prefix, lock)
    if not (said & {"-q", "--quiet"} or values["--events"] == "-"):
        sys.stdout.write(f"{prefix} matches the lock already\n")
    return True


def _read(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[dict[str, str | None], set[str]] | None:
    """Return values and switches of a plain ``sync``; None for anything that takes more reading."""
    if not arguments or arguments[0] != "sync":
        return None
    if any(name.startswith("DATALOADER_") and name not in _KNOWN_VARIABLES for name in environ):
        return None
    values = {name: environ.get(variable) for name, variable in _VALUES.items()}
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
    return values, said


def _report(values: Mapping[str, str | None], prefix: str, lock: bytes) -> None:
    """Tell the programs that asked for it that nothing was to be done."""
    from dataloader.cli.telemetry import OUTLETS, Run, Telemetry

    asked = {name: values[f"--{name.replace('_', '-')}"] for name in OUTLETS}
    telemetry = Telemetry(asked, Run("sync", "default"), lambda message: sys.stderr.write(f"[WARN] {message}\n"))
    telemetry.event("environment", prefix=os.path.abspath(prefix), lock=lock_digest(lock))
    # Each package of a lock is one entry of a list that is not indented.
    count = lock.count(b"\n- conda: ") + lock.count(b"\n- pypi: ")
    nothing = {"install": 0, "replace": 0, "remove": 0, "keep": count, "rebuild": [], "bytes": 0}
    telemetry.event("planned", packages=count, **nothing)
    telemetry.event("synced", changed=False)
    telemetry.close(0)


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
