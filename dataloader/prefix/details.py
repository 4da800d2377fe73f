"""What else is known of the packages of a prefix: how large they are, and which of them somebody asked for."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from pathlib import Path

from dataloader.prefix.model import Installed
from dataloader.prefix.records import conda_files, parse_record
from dataloader.prefix.state import read_state


def size_of(prefix: Path, package: Installed) -> int | None:
    """Return the bytes of a package's files, as it recorded them; ``None`` where it did not.

    Files that are shared with the cache by hard links count whole.
    """
    try:
        if package.kind == "pypi":
            text = (prefix / package.location / "RECORD").read_text(encoding="utf-8", errors="surrogateescape")
            files = list(parse_record(text, posixpath.dirname(package.location)))
        else:
            files = list(conda_files(json.loads((prefix / package.location).read_bytes())))
    except (OSError, ValueError):
        return None
    sizes = [file.size for file in files if file.size is not None]
    return sum(sizes) if sizes or not files else None


def requested(prefix: Path, packages: Iterable[Installed]) -> frozenset[Installed]:
    """Return the packages that were asked for by name: as our state says, else as their installers noted."""
    state = read_state(prefix)
    if state is not None:
        asked = set(state.requested)
        return frozenset(p for p in packages if p.name in asked or f"conda:{p.name}" in asked)
    return frozenset(p for p in packages if _is_noted(prefix, p))


def _is_noted(prefix: Path, package: Installed) -> bool:
    place = prefix / package.location
    if package.kind == "pypi":
        return (place / "REQUESTED").exists()
    try:
        record = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return False
    return bool(record.get("requested_spec") or record.get("requested_specs"))
