"""What a sync that left everything in order went by, noted in the prefix: while it is the same, so is the answer."""

# ruff: noqa: PTH100, PTH118
# As dataloader.prefix.locate: importing pathlib would cost more than the answer.

from __future__ import annotations

import hashlib
import json
import os

from dataloader import __version__
from dataloader.index.pip_config import pip_files
from dataloader.prefix.locate import SYNCED
from dataloader.prefix.unchanged import lock_digest

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = ("DATALOADER_", "PIP_", "CONDA_OVERRIDE_")
_MORE = ("PATH", "HOME")
"""Variables that decide which Python is found, and what is meant by ``~``."""
_NO_SETTINGS = frozenset(
    f"DATALOADER_{name}"
    for name in ("PREFIX", "LOCKFILE", "EVENTS", "STATUS_FILE", "METRICS_FILE", "CACHE_DIR", "OFFLINE")
)
"""Variables that have no say in whether there is something to do, or are looked at each time."""


def agreement(
    manifest: str | os.PathLike[str] | None, lock: bytes, environ: Mapping[str, str], *, fits: bool
) -> dict[str, object]:
    """Return what a sync goes by.

    Args:
        manifest: Its path.
        lock: Bytes of the lock.
        environ: The environment of the process.
        fits: Whether the lock was seen to fit the manifest.
    """
    settings = [(k, v) for k, v in environ.items() if (k.startswith(_SETTINGS) or k in _MORE) and k not in _NO_SETTINGS]
    return {
        "program": __version__,
        "manifest": _digest(manifest) if manifest else None,
        "path": os.path.abspath(manifest) if manifest else None,
        "lock": lock_digest(lock),
        "settings": hashlib.sha256(repr(sorted(settings)).encode("utf-8", "surrogateescape")).hexdigest(),
        "pip": {path: digest for path in pip_files(environ) if (digest := _digest(path))},
        "fits": fits,
    }


def stands(prefix: str, now: Mapping[str, object]) -> bool:
    """Whether a sync of ``prefix`` left everything in order that went by the same; one that saw more is as good."""
    try:
        with open(os.path.join(prefix, SYNCED), encoding="utf-8") as stream:
            noted = json.load(stream)
        return bool(noted in (now, {**now, "fits": True}))
    except (OSError, ValueError):
        return False


def _digest(path: str | os.PathLike[str]) -> str | None:
    """Of a file's content; None where there is none to be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None
