"""Rows of the matrix that say different things of one subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataloader.compat.versions import admits

Row = Mapping[str, Any]
Placed = Mapping[str, tuple[Any, str]]
"""id -> (row, where it stands)."""

_UNIQUE = {
    "release": ("framework", "version"),
    "toolkit": ("cuda",),
    "driver": ("cuda_major",),
    "gpu": ("gpu",),
    "cudnn": ("cudnn",),
    "index": ("name",),
    "channel": ("name",),
    "component": ("cuda",),
    "part": ("package",),
    "library": ("package",),
    "pair": ("package", "other"),
    "companion": ("project", "version"),
    "label": ("project", "label"),
}
"""Table to the keys that no two rows may share: two rows would speak of the same thing."""


def contradictions(table: str, placed: Placed) -> Iterator[str]:
    """Yield every subject that two rows of a table speak of, and who is first."""
    keys = _UNIQUE.get(table)
    if keys:
        seen: dict[tuple[Any, ...], str] = {}
        for row, where in placed.values():
            subject = tuple(row[key] for key in keys)
            if subject in seen:
                yield f"{where}: {' '.join(map(str, subject))} is already described by {seen[subject]}"
            seen[subject] = where
    if table == "build":
        yield from _overlapping_builds(placed)


def _overlapping_builds(rows: Placed) -> Iterator[str]:
    """Two builds of one framework, channel, package and CUDA may not both speak for one version."""
    groups: dict[tuple[Any, ...], list[tuple[Row, str]]] = {}
    for row, where in rows.values():
        subject = (row["framework"], row["channel"], row.get("package"), row["cuda"], row.get("build"))
        groups.setdefault(subject, []).append((row, where))
    for group in groups.values():
        exact = [row for row, _ in group if "versions" not in row]
        if len(group) == 1 or (len(exact) == len(group) and len({row["version"] for row in exact}) == len(group)):
            continue
        yield from _overlaps(group)


def _overlaps(group: list[tuple[Row, str]]) -> Iterator[str]:
    for index, (row, where) in enumerate(group):
        versions = row.get("versions", f"=={row['version']}")
        if not admits(versions, row["version"]):
            yield f"{where}: version {row['version']} is not within its own versions {versions}"
        for other, other_where in group[:index]:
            theirs = other.get("versions", f"=={other['version']}")
            shared = [v for v, s in ((row["version"], theirs), (other["version"], versions)) if admits(s, v)]
            if shared:
                yield f"{where}: version {shared[0]} overlaps with {other_where}"
