"""Load and check compat-matrix/: every row is validated, and rows of one table may not contradict each other.

A user's file overrides rows by ``id`` and adds others: TOML with one array of tables per kind (``[[build]]``), or
JSON Lines whose rows say their ``table``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from dataloader.compat.model import (
    Build,
    Companion,
    Component,
    Cudnn,
    DriverFloor,
    GpuModel,
    Nccl,
    PackageRule,
    Toolkit,
    WheelIndex,
)
from dataloader.compat.paths import matrix_dir
from dataloader.compat.schema import TABLES, check_row
from dataloader.compat.versions import admits
from dataloader.errors import ManifestError

_Row = dict[str, Any]
_Raw = dict[str, dict[str, tuple[_Row, str]]]
"""table -> id -> (row, where it stands)."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The facts, in the order of their files; lookups are by the functions of ``compat.facts``."""

    builds: Mapping[str, tuple[Build, ...]]
    """Framework to its builds, in the order of their files."""
    toolkits: Mapping[str, Toolkit]
    """CUDA ``major.minor`` to its row, oldest first."""
    drivers: Mapping[str, DriverFloor]
    """CUDA major to the driver that runs every minor of it."""
    gpus: Mapping[str, GpuModel]
    """GPU name in lower case to its row."""
    cudnns: tuple[Cudnn, ...]
    nccls: tuple[Nccl, ...]
    indexes: Mapping[str, WheelIndex]
    components: Mapping[str, Component]
    """CUDA ``major.minor`` to the wheels that carry its libraries."""
    rules: tuple[PackageRule, ...]
    companions: tuple[Companion, ...]

    def row(self, identifier: str) -> object | None:
        """Return the row of that ``id``, from whichever table."""
        tables: tuple[object, ...] = (
            *(build for builds in self.builds.values() for build in builds),
            *self.toolkits.values(),
            *self.drivers.values(),
            *self.gpus.values(),
            *self.cudnns,
            *self.nccls,
            *self.indexes.values(),
            *self.components.values(),
            *self.rules,
            *self.companions,
        )
        return next((row for row in tables if getattr(row, "id", None) == identifier), None)


@cache
def load_matrix(*extra: Path) -> Matrix:
    """Return the checked matrix, with the rows of ``extra`` files on top; remembered in the process.

    Raises:
        ManifestError: ``matrix-invalid``; its causes name file and row of everything that is wrong.
    """
    raw: _Raw = {table: {} for table in TABLES}
    problems: list[str] = []
    for path in sorted(matrix_dir().rglob("*.jsonl")):
        table = path.parent.name if path.parent.name in TABLES else path.stem
        if table in TABLES:
            _collect(raw, problems, ((table, row, where) for row, where in _read_jsonl(path, problems)), override=False)
    for path in extra:
        _collect(raw, problems, _read_extra(path, problems), override=True)
    if not problems:
        problems = list(_contradictions(raw))
    if problems:
        raise ManifestError(
            f"the compatibility matrix has {len(problems)} mistake{'s' if len(problems) > 1 else ''}",
            code="matrix-invalid",
            causes=tuple(problems),
            suggestions=("docs/matrix.md lists the keys of every table",),
        )
    return _matrix(raw)


def _matrix(raw: _Raw) -> Matrix:
    builds: dict[str, list[Build]] = {}
    for build in _rows(raw, "build", Build):
        builds.setdefault(build.framework, []).append(build)
    toolkits = sorted(_rows(raw, "toolkit", Toolkit), key=lambda row: [int(part) for part in row.cuda.split(".")])
    return Matrix(
        builds={framework: tuple(rows) for framework, rows in builds.items()},
        toolkits={row.cuda: row for row in toolkits},
        drivers={row.cuda_major: row for row in _rows(raw, "driver", DriverFloor)},
        gpus={row.gpu.lower(): row for row in _rows(raw, "gpu", GpuModel)},
        cudnns=tuple(_rows(raw, "cudnn", Cudnn)),
        nccls=tuple(_rows(raw, "nccl", Nccl)),
        indexes={row.name: row for row in _rows(raw, "index", WheelIndex)},
        components={row.cuda: row for row in _rows(raw, "component", Component)},
        rules=tuple(_rows(raw, "rule", PackageRule)),
        companions=tuple(_rows(raw, "companion", Companion)),
    )


def _rows(raw: _Raw, table: str, kind: type[_T]) -> list[_T]:
    names = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    rows = []
    for row, _ in raw[table].values():
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        if table == "build":
            values.setdefault("package", row["framework"])
            values.setdefault("versions", f"=={row['version']}")
        rows.append(kind(**{key: value for key, value in values.items() if key in names}))
    return rows


def _collect(raw: _Raw, problems: list[str], rows: Iterator[tuple[str, Any, str]], *, override: bool) -> None:
    for table, row, where in rows:
        found = check_row(table, row)
        problems.extend(f"{where}: {problem}" for problem in found)
        if found:
            continue
        other = raw[table].get(row["id"])
        if other and not override:
            problems.append(f"{where}: id {row['id']!r} is already used by {other[1]}")
        raw[table][row["id"]] = (row, where)


def _read_jsonl(path: Path, problems: list[str]) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(_read_text(path, problems).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path.name} row {number}"
        try:
            yield json.loads(line), where
        except ValueError as error:
            problems.append(f"{where}: not JSON ({error})")


def _read_extra(path: Path, problems: list[str]) -> Iterator[tuple[str, Any, str]]:
    """Yield (table, row, where) of a user's file."""
    if path.suffix != ".toml":
        for row, where in _read_jsonl(path, problems):
            table = row.pop("table", None) if isinstance(row, dict) else None
            if table in TABLES:
                yield table, row, where
            else:
                problems.append(f"{where}: key 'table' must be one of {', '.join(TABLES)}")
        return
    document = _read_toml(path, problems)
    for table, rows in document.items():
        if table not in TABLES or not isinstance(rows, list):
            problems.append(f"{path.name}: [[{table}]] is not a table of the matrix ({', '.join(TABLES)})")
            continue
        for number, row in enumerate(rows, start=1):
            yield table, row, f"{path.name} [[{table}]] row {number}"


def _read_toml(path: Path, problems: list[str]) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(_read_text(path, problems))
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path.name}: not TOML ({error})")
        return {}


def _read_text(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError as error:
        problems.append(f"{path.name}: not UTF-8 (byte {error.start})")
    return ""


_UNIQUE = {
    "toolkit": ("cuda",),
    "driver": ("cuda_major",),
    "gpu": ("gpu",),
    "cudnn": ("cudnn",),
    "index": ("name",),
    "component": ("cuda",),
    "companion": ("project", "version"),
}
"""Table to the keys that no two rows may share: two rows would speak of the same thing."""


def _contradictions(raw: _Raw) -> Iterator[str]:
    for table, keys in _UNIQUE.items():
        seen: dict[tuple[Any, ...], str] = {}
        for row, where in raw[table].values():
            subject = tuple(row[key] for key in keys)
            if subject in seen:
                yield f"{where}: {' '.join(map(str, subject))} is already described by {seen[subject]}"
            seen[subject] = where
    yield from _overlapping_builds(raw["build"])


def _overlapping_builds(rows: dict[str, tuple[_Row, str]]) -> Iterator[str]:
    """Two builds of one framework, channel, package and CUDA may not both speak for one version."""
    groups: dict[tuple[Any, ...], list[tuple[_Row, str]]] = {}
    for row, where in rows.values():
        subject = (row["framework"], row["channel"], row.get("package"), row["cuda"], row.get("build"))
        groups.setdefault(subject, []).append((row, where))
    for group in groups.values():
        exact = [row for row, _ in group if "versions" not in row]
        if len(group) == 1 or (len(exact) == len(group) and len({row["version"] for row in exact}) == len(group)):
            continue
        yield from _overlaps(group)


def _overlaps(group: list[tuple[_Row, str]]) -> Iterator[str]:
    for index, (row, where) in enumerate(group):
        versions = row.get("versions", f"=={row['version']}")
        if not admits(versions, row["version"]):
            yield f"{where}: version {row['version']} is not within its own versions {versions}"
        for other, other_where in group[:index]:
            theirs = other.get("versions", f"=={other['version']}")
            shared = [v for v, s in ((row["version"], theirs), (other["version"], versions)) if admits(s, v)]
            if shared:
                yield f"{where}: version {shared[0]} overlaps with {other_where}"
