"""Which packages a prefix holds and which files each recorded: RECORD of wheels, conda-meta of conda packages.

Reads any prefix: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.
"""

from __future__ import annotations

import json
import marshal
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, overload

from dataloader.base.core_metadata import parse_headers
from dataloader.base.digests import hexadecimal_of
from dataloader.base.names import World, normalized
from dataloader.prefix.layout import find_site_packages
from dataloader.prefix.rows import BadRecord, record_rows
from dataloader.prefix.walk import read_regular


class RecordedFile(NamedTuple):
    """One file as its package recorded it. A named tuple, because a prefix has some ten thousand."""

    path: str
    """Relative to the prefix, with ``/``."""
    recorded: str | None = None
    """SHA-256 as it stands in the record: ``sha256=`` and base64 (RECORD), or hex digits (conda)."""
    size: int | None = None
    """Bytes."""

    @property
    def sha256(self) -> str | None:
        """Hex digest of the file as installed; ``None`` where none was recorded."""
        return None if self.recorded is None else hexadecimal_of(self.recorded)


Columns: TypeAlias = tuple[list[str], list[str | None], list[int | None]]
"""Of :class:`RecordedFile`."""


class RecordedFiles(Sequence[RecordedFile]):
    """The files of one package, in three columns. Sent to another process they stay packed until they are asked for.

    As objects, those of a torch environment would take 30 ms to hand over, and most are of no interest there.
    """

    __slots__ = ("_columns", "_packed")

    def __init__(self, rows: Iterable[RecordedFile] = ()) -> None:
        rows = tuple(rows)
        self._columns: Columns | None = ([r.path for r in rows], [r.recorded for r in rows], [r.size for r in rows])
        self._packed = b""

    @classmethod
    def of(cls, paths: list[str], recorded: list[str | None], sizes: list[int | None]) -> RecordedFiles:
        """Of columns, each as :class:`RecordedFile` has them."""
        files = cls()
        files._columns = (paths, recorded, sizes)
        return files

    @classmethod
    def unpack(cls, packed: bytes) -> RecordedFiles:
        """What :meth:`__reduce__` packed. Not for what another program may have written."""
        files = cls()
        files._columns, files._packed = None, packed
        return files

    @property
    def columns(self) -> Columns:
        """Paths, hashes and sizes."""
        if self._columns is None:
            self._columns = marshal.loads(self._packed)  # noqa: S302 - by this program, just now
        return self._columns

    def __reduce__(self) -> tuple[object, ...]:
        return RecordedFiles.unpack, (self._packed or marshal.dumps(self.columns, 2),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordedFiles) and self.columns == other.columns

    def __hash__(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[RecordedFile]:
        return map(RecordedFile, *self.columns)

    @overload
    def __getitem__(self, index: int) -> RecordedFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordedFile]: ...
    def __getitem__(self, index: int | slice) -> RecordedFile | Sequence[RecordedFile]:
        """As of a tuple."""
        return tuple(self)[index]


_NO_FILES: Final = RecordedFiles()


class InstalledPackage(NamedTuple):
    """One installed distribution or conda package."""

    kind: World
    name: str
    """Normalised for ``pypi``."""
    version: str
    path: str
    """Its record, relative to the prefix."""
    build: str | None = None
    files: RecordedFiles = _NO_FILES
    requires: tuple[str, ...] = ()
    """Requires-Dist, or conda's ``depends``."""
    constrains: tuple[str, ...] = ()
    requires_python: str | None = None

    @property
    def label(self) -> str:
        """``name version``, as messages say it."""
        return f"{self.name} {self.version}"


class InstalledPackages(NamedTuple):
    """All packages of a prefix, and what could not be read of their records."""

    packages: tuple[InstalledPackage, ...]
    site_packages: tuple[str, ...]
    """Relative to the prefix, with ``/``; ``""`` is the prefix itself."""
    unreadable: Mapping[str, str]
    """Path of a record -> why it cannot be read."""

    def shared(self) -> dict[str, list[tuple[InstalledPackage, RecordedFile]]]:
        """Path -> who recorded it, of those that several packages recorded."""
        seen: set[str] = set()
        twice: set[str] = set()
        for package in self.packages:
            paths = package.files.columns[0]
            twice |= seen.intersection(paths)
            seen.update(paths)
        found: dict[str, list[tuple[InstalledPackage, RecordedFile]]] = {}
        for package in self.packages:
            if not twice.isdisjoint(package.files.columns[0]):
                for file in package.files:
                    if file.path in twice:
                        found.setdefault(file.path, []).append((package, file))
        return found


class Owners(Mapping[str, InstalledPackage]):
    """Path -> the package that installed it; the last one where several claim it.

    Args:
        asked: Files that are most likely asked for: those that may be libraries.
        recorded: Which of them each package recorded, in its order. For others the records of all files are unpacked.
    """

    def __init__(
        self, packages: Sequence[InstalledPackage], asked: Container[str], recorded: Sequence[Sequence[str]]
    ) -> None:
        self._packages, self._asked = packages, asked
        self._recorded = {package.path: paths for package, paths in zip(packages, recorded, strict=True)}
        self._known = {path: package for package in packages for path in self._recorded[package.path]}
        self._all: dict[str, InstalledPackage] = {}

    @staticmethod
    def recorded(packages: Iterable[InstalledPackage], asked: Container[str]) -> list[list[str]]:
        """Which of the files ``asked`` each package recorded."""
        return [[path for path in package.files.columns[0] if path in asked] for package in packages]

    def recorded_by(self, package: InstalledPackage) -> Sequence[str]:
        """Which of the files that are most likely asked for the package recorded."""
        return self._recorded[package.path]

    def __getitem__(self, path: str) -> InstalledPackage:
        return (self._known if path in self._asked else self._whole())[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def _whole(self) -> dict[str, InstalledPackage]:
        if not self._all:
            self._all = {path: package for package in self._packages for path in package.files.columns[0]}
        return self._all


def read_installed(prefix: Path) -> InstalledPackages:
    """The packages installed in ``prefix``."""
    packages: list[InstalledPackage] = []
    unreadable: dict[str, str] = {}
    sites = find_site_packages(prefix)
    for record in sorted((prefix / "conda-meta").glob("*.json")):
        _collect(packages, unreadable, prefix, record, _read_conda)
    for site in sites:
        for info in sorted((prefix / site).glob("*.dist-info")):
            if info.is_dir():
                _collect(packages, unreadable, prefix, info, _read_dist_info)
        known = {package.name for package in packages if package.path.rpartition("/")[0] == site}
        for info in sorted((prefix / site).glob("*.egg-info")):
            if normalized(info.name.removesuffix(".egg-info").partition("-")[0]) not in known:
                _collect(packages, unreadable, prefix, info, _read_egg_info)
    return InstalledPackages(packages=tuple(packages), site_packages=sites, unreadable=unreadable)


def _collect(packages, unreadable, prefix: Path, record: Path, read) -> None:  # type: ignore[no-untyped-def]
    where = record.relative_to(prefix).as_posix()
    try:
        packages.append(read(prefix, record))
    except (BadRecord, ValueError, RecursionError) as error:
        unreadable[where] = str(error) or type(error).__name__
    except OSError as error:
        unreadable[where] = error.strerror or str(error)


def inside(base: str, name: str) -> str:
    """``name`` relative to ``base``, as a clean path relative to the prefix.

    Raises:
        BadRecord: the path leaves the prefix.
    """
    path = f"{base}/{name}" if base else name
    if ".." not in name and "//" not in path and "/." not in path and name[:1] not in "/." and "\0" not in name:
        return path  # nearly all: normpath costs more than all the rest
    path = os.path.normpath(path)
    if name.startswith("/") or path.split("/", 1)[0] == ".." or "\0" in name:
        raise BadRecord(f"records a path outside the prefix: {name!r}")
    return path


def parse_record(text: str, base: str) -> RecordedFiles:
    """Rows of a RECORD file whose paths are relative to ``base`` (itself relative to the prefix).

    Raises:
        BadRecord: a path leaves the prefix, or a hash is none.
    """
    rows = record_rows(text)
    paths = [inside(base, name) for name, _, _ in rows]
    recorded = [_record_hash(digest) if digest else None for _, digest, _ in rows]
    sizes = [int(size) if size.isdigit() and len(size) < 20 else None for _, _, size in rows]
    return RecordedFiles.of(paths, recorded, sizes)


def _record_hash(text: str) -> str | None:
    """A RECORD hash field, where it is SHA-256: 43 characters of urlsafe base64 without padding; of old tools hex."""
    if not text.startswith("sha256="):
        return None
    if len(text) == 71 and re.fullmatch(r"[0-9a-f]{64}", text[7:]):
        return text[7:]
    if len(text) != 50 or not text.isascii():
        raise BadRecord(f"a hash that is none: {text[:80]!r}")
    return text


def _read_dist_info(prefix: Path, info: Path) -> InstalledPackage:
    where = info.relative_to(prefix).as_posix()
    metadata = parse_headers(read_regular(info / "METADATA").decode("utf-8", "replace"))
    names, versions = metadata.get("name"), metadata.get("version")
    if not names or not versions:
        raise BadRecord("METADATA has no Name or no Version")
    record = info / "RECORD"
    files = _NO_FILES
    if record.exists():
        base = where.rpartition("/")[0]
        files = parse_record(read_regular(record).decode("utf-8", "surrogateescape"), base)
        if base.endswith("/dist-packages") and not (info / "INSTALLER").exists():
            # dpkg's: files are stripped and patched after RECORD was written, and nothing writes it anew.
            files = RecordedFiles(RecordedFile(path) for path in files.columns[0] if (prefix / path).exists())
    return InstalledPackage(
        kind="pypi",
        name=normalized(names[0]),
        version=versions[0],
        path=where,
        files=files,
        requires=tuple(metadata.get("requires-dist", ())),
        requires_python=metadata.get("requires-python", [None])[0],
    )


def _read_egg_info(prefix: Path, info: Path) -> InstalledPackage:
    """What setuptools and distutils wrote before there was a RECORD: a name and a version, and files perhaps."""
    where, is_folder = info.relative_to(prefix).as_posix(), info.is_dir()
    metadata = parse_headers(read_regular(info / "PKG-INFO" if is_folder else info).decode("utf-8", "replace"))
    names, versions = metadata.get("name"), metadata.get("version")
    if not names or not versions:
        raise BadRecord("PKG-INFO has no Name or no Version")
    listed = info / "installed-files.txt"
    lines = read_regular(listed).decode("utf-8", "surrogateescape").splitlines() if listed.is_file() else []
    files = (RecordedFile(inside(where, name)) for name in lines if name)
    return InstalledPackage(
        kind="pypi", name=normalized(names[0]), version=versions[0], path=where, files=RecordedFiles(files)
    )


def _read_conda(prefix: Path, record: Path) -> InstalledPackage:
    data = json.loads(read_regular(record).decode("utf-8", "surrogateescape"))
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not isinstance(data.get("version"), str):
        raise BadRecord("no JSON object with name and version")
    return InstalledPackage(
        kind="conda",
        name=data["name"],
        version=data["version"],
        build=data.get("build") if isinstance(data.get("build"), str) else None,
        path=record.relative_to(prefix).as_posix(),
        files=RecordedFiles(conda_files(data)),
        requires=_texts(data.get("depends")),
        constrains=_texts(data.get("constrains")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(element for element in value if isinstance(element, str)) if isinstance(value, list) else ()


def conda_files(data: Mapping[str, object]) -> Iterator[RecordedFile]:
    """Files of a conda prefix record, with hashes where ``paths_data`` has them."""
    paths_data = data.get("paths_data")
    rows = paths_data.get("paths") if isinstance(paths_data, dict) else None
    if not isinstance(rows, list):
        for name in _texts(data.get("files")):
            yield RecordedFile(inside("", name))
        return
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("_path"), str):
            raise BadRecord("paths_data has an entry without _path")
        replaced = bool(row.get("prefix_placeholder"))
        digest = row.get("sha256_in_prefix") or (None if replaced else row.get("sha256"))
        link = row.get("path_type") in ("softlink", "directory")
        size = row.get("size_in_bytes")
        yield RecordedFile(
            path=inside("", row["_path"]),
            recorded=digest.lower() if isinstance(digest, str) and len(digest) == 64 and not link else None,
            size=size if isinstance(size, int) and not link and not replaced else None,
        )


def required_names(requires: Iterable[str]) -> list[str]:
    """Normalised names of requirements, extras' ones included: they are installed or they are not.

    >>> required_names(["numpy<2,>=1.22", "Torch [cuda] ; extra == 'gpu'"])
    ['numpy', 'torch']
    """
    found = (re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text) for text in requires)
    return [normalized(match[1]) for match in found if match]
