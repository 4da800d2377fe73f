"""The state a sync leaves in a prefix, and the quick question whether it still holds.

Imports the standard library's cheap half only: this runs before anything else in a sync with nothing to do.
"""

# ruff: noqa: PTH100, PTH110, PTH114, PTH118, PTH208
# Importing pathlib would cost more than the whole check.

from __future__ import annotations

import hashlib
import json
import os

from dataloader.prefix.locate import JOURNAL, OWN_FOLDER, STATE

STATE_VERSION = 1


def lock_digest(lock_bytes: bytes) -> str:
    """Hex sha256 of a lock file's bytes."""
    return hashlib.sha256(lock_bytes).hexdigest()


def fast_status(
    prefix: str | os.PathLike[str], lock_bytes: bytes, target_prefix: str | os.PathLike[str] | None = None
) -> bool:
    """Whether ``prefix`` was synced from exactly these lock bytes and shows no change since. False when unsure."""
    where = os.path.abspath(prefix)
    try:
        with open(os.path.join(where, STATE), encoding="utf-8") as stream:
            state = json.load(stream)
        return bool(
            not os.path.exists(os.path.join(where, JOURNAL))
            and state["version"] == STATE_VERSION
            and state["lock_digest"] == lock_digest(lock_bytes)
            and state["target_prefix"] == os.path.abspath(target_prefix or where)
            and state["fingerprint"] == fingerprint(where, state["site_packages"])
            and _same_trees(state.get("trees"))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False  # the full comparison finds out what is wrong, and says it


def _same_trees(trees: list[tuple[str, bool, str]] | None) -> bool:
    if not trees:
        return True
    from dataloader.base.trees import stamp

    return all(stamp(path, editable=editable) == seen for path, editable, seen in trees)


def has_remains(prefix: str | os.PathLike[str]) -> bool:
    """Whether something lies beside ``prefix``, or in it, that a sync makes for itself and removes when it ends.

    A sync is at work then, or was cut off: perhaps when all was done but to remove the old environment. The names are
    those of ``install.switch.place``.
    """
    where = os.path.realpath(prefix) if os.path.islink(prefix) else os.path.abspath(prefix)
    folder, name = os.path.split(where)
    beside, inside = _names(folder), _names(os.path.join(where, OWN_FOLDER))
    return any(entry.startswith(f".{name}.dataloader-") for entry in beside) or any(
        entry.startswith(("lease", "tree-", "journal")) for entry in inside
    )


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # where nobody may look, nothing of ours was made
        return []


def fingerprint(prefix: str, site_packages: str | None) -> str:
    """A digest of the names (and for package metadata the times) that change when packages come, go or are replaced.

    ``__pycache__`` is left out: Python writes it by itself. A Python that is gone changes the digest too.
    """
    lines = [str(site_packages is None or os.path.exists(os.path.join(prefix, "bin", "python")))]
    for folder in ("bin", "conda-meta", site_packages):
        if folder is None:
            continue
        try:
            with os.scandir(os.path.join(prefix, folder)) as entries:
                lines += sorted(_line(folder, entry) for entry in entries if entry.name != "__pycache__")
        except FileNotFoundError:
            lines.append(f"{folder} absent")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _line(folder: str, entry: os.DirEntry[str]) -> str:
    is_metadata = entry.name.endswith((".dist-info", ".egg-info", ".json"))
    return f"{folder}/{entry.name} {entry.stat(follow_symlinks=False).st_mtime_ns if is_metadata else ''}"
