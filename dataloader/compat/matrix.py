"""Read and check compat-matrix/: what a row may say (``schema.py``), and that rows of a table do not contradict.

A user's file overrides rows by ``id`` and adds others: TOML with one array of tables per kind (``[[build]]``), or
JSON Lines whose rows say their ``table``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dataloader.base.errors import ManifestError
from dataloader.base.matrix_folder import matrix_dir
from dataloader.compat.contradictions import contradictions
from dataloader.compat.rows import (
    ChannelName,
    Companion,
    Component,
    CudaSign,
    Cudnn,
    DriverFloor,
    FrameworkRelease,
    Further,
    GpuModel,
    Label,
    Library,
    MatrixBuild,
    Nccl,
    PackageRule,
    Pair,
    Toolkit,
    WheelIndex,
)
from dataloader.compat.schema import TABLES, check_row
from dataloader.compat.versions import key

_Row = dict[str, Any]
_Placed = dict[str, tuple[_Row, str]]
"""id -> (row, where it stands)."""

_T = TypeVar("_T", bound=NamedTuple)
_SHARED = "build"
"""The table whose files are one per framework: only those that are asked for are read."""


class Matrix:
    """The facts, in the order of their files. A table is read when it is first used.

    Our own rows are checked by the tests (:meth:`check`), and not again by every command: it would take 25 ms of each
    lock. A user's file is checked, against everything else, before it is used at all.
    """

    def __init__(self, folder: Path, extra: Mapping[str, _Placed]) -> None:
        self._files = _files(folder)
        self._extra = extra
        self.builds: Mapping[str, tuple[MatrixBuild, ...]] = _Builds(self)
        """Framework to its builds."""

    def check(self) -> Matrix:
        """Read every table, and return the matrix when all of it is sound."""
        problems: list[str] = []
        for table in TABLES:
            placed: _Placed = {}
            for path in self._files.get(table, ()):
                _collect(placed, problems, _read_jsonl(path, problems), table, override=False)
            _collect(placed, problems, iter(self._extra.get(table, {}).values()), table, override=True)
            if not problems:
                problems += contradictions(table, placed)
        _refuse(problems)
        return self

    @cached_property
    def toolkits(self) -> Mapping[str, Toolkit]:
        """CUDA ``major.minor`` to its row, oldest first."""
        return {row.cuda: row for row in sorted(self._table("toolkit", Toolkit), key=lambda row: key(row.cuda))}

    @cached_property
    def drivers(self) -> Mapping[str, DriverFloor]:
        """CUDA major to the driver that runs every minor of it."""
        return {row.cuda_major: row for row in self._table("driver", DriverFloor)}

    @cached_property
    def gpus(self) -> Mapping[str, GpuModel]:
        """GPU name in lower case to its row."""
        return {row.gpu.lower(): row for row in self._table("gpu", GpuModel)}

    @cached_property
    def cudnns(self) -> tuple[Cudnn, ...]:
        """Every cuDNN release."""
        return self._table("cudnn", Cudnn)

    @cached_property
    def nccls(self) -> tuple[Nccl, ...]:
        """Every NCCL build."""
        return self._table("nccl", Nccl)

    @cached_property
    def indexes(self) -> Mapping[str, WheelIndex]:
        """Wheel indexes beside PyPI, by the name that builds use as their channel."""
        return {row.name: row for row in self._table("index", WheelIndex)}

    @cached_property
    def capabilities(self) -> Mapping[str, str]:
        """GPU model to its compute capability."""
        return {row.gpu: row.capability for row in self.gpus.values()}

    def cuda_of_driver(self, driver: str) -> str | None:
        """The highest CUDA of a Linux driver, by its branch; ``None`` for a branch that no toolkit known here is of."""
        branch = int(driver.partition(".")[0])
        branches = {int(row.driver.partition(".")[0]): row.cuda for row in self.toolkits.values() if row.driver}
        below = [known for known in branches if known <= branch]
        return branches[max(below)] if below and branch <= max(branches) else None

    @cached_property
    def channels(self) -> frozenset[str]:
        """Names of conda channels that stand for themselves, from whichever server."""
        return frozenset(row.name for row in self._table("channel", ChannelName))

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Projects whose wheels say in their local version label what they are built for."""
        return self._table("label", Label)

    @cached_property
    def releases(self) -> tuple[FrameworkRelease, ...]:
        """When the releases of the frameworks were published."""
        return self._table("release", FrameworkRelease)

    def released(self, framework: str, version: str) -> str | None:
        """Return the day on which a release was published, ISO 8601; None when no row says."""
        rows = (row for row in self.releases if row.framework == framework)
        return next((row.released for row in rows if key(row.version) == key(version)), None)

    @cached_property
    def components(self) -> Mapping[str, Component]:
        """CUDA ``major.minor`` to the wheels that carry its libraries."""
        return {row.cuda: row for row in self._table("component", Component)}

    @cached_property
    def parts(self) -> tuple[CudaSign, ...]:
        """Packages that say which CUDA the environment has."""
        return self._table("part", CudaSign)

    @cached_property
    def libraries(self) -> tuple[Library, ...]:
        """Packages whose version is that of an axis."""
        return self._table("library", Library)

    def carriers(self, axis: str) -> tuple[str, ...]:
        """Return the packages whose version is that of an axis."""
        return tuple(row.package for row in self.libraries if row.axis == axis)

    @cached_property
    def further(self) -> tuple[Further, ...]:
        """Wheels of further indexes, of projects that are no frameworks."""
        return self._table("further", Further)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Packages that go with the same version of another alone."""
        return self._table("pair", Pair)

    @cached_property
    def rules(self) -> tuple[PackageRule, ...]:
        """Implications between packages."""
        return self._table("rule", PackageRule)

    @cached_property
    def companions(self) -> tuple[Companion, ...]:
        """Releases of projects that are compiled against one torch, grouped by project."""
        return self._table("companion", Companion)

    def row(self, identifier: str) -> object | None:
        """Return the row of that ``id``, from whichever table."""
        tables: tuple[Iterable[object], ...] = (
            *self.builds.values(),
            self.toolkits.values(),
            self.drivers.values(),
            self.gpus.values(),
            self.cudnns,
            self.nccls,
            self.indexes.values(),
            self.components.values(),
            self.parts,
            self.libraries,
            self.pairs,
            self.further,
            self.releases,
            self.labels,
            self.rules,
            self.companions,
        )
        return next((row for rows in tables for row in rows if getattr(row, "id", None) == identifier), None)

    @cached_property
    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that have builds; none is read for it."""
        more = {row["framework"] for row, _ in self._extra.get(_SHARED, {}).values()}
        return tuple(sorted({path.stem for path in self._files.get(_SHARED, ())} | more))

    def _table(self, table: str, kind: type[_T], framework: str | None = None) -> tuple[_T, ...]:
        problems: list[str] = []
        placed: _Placed = {}
        for path in self._files.get(table, ()):
            if framework in (None, path.stem):
                placed.update((row["id"], (row, where)) for row, where in _read_jsonl(path, problems))
        added = self._extra.get(table, {}).items()
        placed.update((name, row) for name, row in added if framework in (None, row[0].get("framework")))
        _refuse(problems)
        return tuple(_rows(placed, table, kind))


class _Builds(Mapping[str, "tuple[MatrixBuild, ...]"]):
    """The builds of each framework, read when they are asked for."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._read: dict[str, tuple[MatrixBuild, ...]] = {}

    def __getitem__(self, framework: str) -> tuple[MatrixBuild, ...]:
        if framework not in self._read:
            if framework not in self._matrix.frameworks:
                raise KeyError(framework)
            self._read[framework] = self._matrix._table(_SHARED, MatrixBuild, framework)  # noqa: SLF001
        return self._read[framework]

    def __contains__(self, framework: object) -> bool:
        return framework in self._matrix.frameworks

    def __iter__(self) -> Iterator[str]:
        return iter(self._matrix.frameworks)

    def __len__(self) -> int:
        return len(self._matrix.frameworks)


@cache
def load_matrix(*extra: Path) -> Matrix:
    """Return the matrix, with the rows of ``extra`` files on top; remembered in the process.

    Files of the user are read and checked at once, against everything else.

    Raises:
        ManifestError: ``matrix-invalid``; its causes name file and row of everything that is wrong.
    """
    problems: list[str] = []
    placed: dict[str, _Placed] = {}
    for path in extra:
        for table, row, where in _read_extra(path, problems):
            _collect(placed.setdefault(table, {}), problems, iter([(row, where)]), table, override=True)
    _refuse(problems)
    matrix = Matrix(matrix_dir(), placed)
    return matrix.check() if extra else matrix


def matrix_with(extra: Path | None) -> Matrix:
    """Return the matrix, with the rows of a file on top where one is named (:func:`load_matrix`)."""
    return load_matrix(extra) if extra else load_matrix()


def _files(folder: Path) -> dict[str, list[Path]]:
    """Table to its files: ``TABLE.jsonl``, or every file of the folder ``TABLE``."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        table = path.parent.name if path.parent.name in TABLES else path.stem
        if table in TABLES:
            files.setdefault(table, []).append(path)
    return files


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ManifestError(
            f"the compatibility matrix has {len(problems)} mistake{'s' if len(problems) > 1 else ''}",
            code="matrix-invalid",
            causes=tuple(problems),
            suggestions=("docs/matrix.md lists the keys of every table",),
        )


def _rows(placed: _Placed, table: str, kind: type[_T]) -> list[_T]:
    rows = []
    known = frozenset(kind._fields)
    for row, _ in placed.values():
        values = {key: tuple(value) if type(value) is list else value for key, value in row.items() if key in known}
        if table == "build":
            values.setdefault("package", row["framework"])
            values.setdefault("versions", f"=={row['version']}")
        rows.append(kind(**values))  # type: ignore[call-overload]
    return rows


def _collect(
    placed: _Placed, problems: list[str], rows: Iterator[tuple[Any, str]], table: str, *, override: bool
) -> None:
    for row, where in rows:
        found = check_row(table, row)
        problems.extend(f"{where}: {problem}" for problem in found)
        if found:
            continue
        other = placed.get(row["id"])
        if other and not override:
            problems.append(f"{where}: id {row['id']!r} is already used by {other[1]}")
        placed[row["id"]] = (row, where)


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
