"""Which packages a prefix holds and which files each recorded: RECORD of wheels, conda-meta of conda packages.

Reads any prefix: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.
"""

from __future__ import annotations

import csv
import json
import marshal
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from dataloader.core_metadata import parse_headers
from dataloader.install.hashing import encode, hexadecimal
from dataloader.verify.files import read_regular

Kind: TypeAlias = Literal["pypi", "conda"]


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
        return None if self.recorded is None else hex_digest(self.recorded)


def hex_digest(recorded: str) -> str:
    """SHA-256 in hex digits, of ``sha256=`` and base64 without padding, or of hex digits themselves."""
    if not recorded.startswith("sha256="):
        return recorded
    return hexadecimal(recorded[7:])


def record_digest(digits: str) -> str:
    """The inverse: as RECORD writes it."""
    return "sha256=" + encode(bytes.fromhex(digits))


class InstalledPackage(NamedTuple):
    """One installed distribution or conda package."""

    kind: Kind
    name: str
    """Normalised for ``pypi``."""
    version: str
    path: str
    """Its record, relative to the prefix."""
    build: str | None = None
    files: tuple[RecordedFile, ...] = ()
    requires: tuple[str, ...] = ()
    """Requires-Dist, or conda's ``depends``."""
    constrains: tuple[str, ...] = ()
    requires_python: str | None = None

    @property
    def label(self) -> str:
        """``name version``, as messages say it."""
        return f"{self.name} {self.version}"

    def __reduce__(self) -> tuple[object, ...]:
        """For another process of this program. Files go in columns: as objects they would take four times as long."""
        about = {name: value for name, value in self._asdict().items() if name != "files"}
        return _package, (about, marshal.dumps(tuple(zip(*self.files, strict=True)), 2))


def _package(about: Mapping[str, Any], columns: bytes) -> InstalledPackage:
    paths, recorded, sizes = marshal.loads(columns) or ((), (), ())  # noqa: S302 - by this program, just now
    return InstalledPackage(files=tuple(map(RecordedFile, paths, recorded, sizes)), **about)


class Installed(NamedTuple):
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
            paths = {path for path, _, _ in package.files}
            twice |= seen & paths
            seen |= paths
        found: dict[str, list[tuple[InstalledPackage, RecordedFile]]] = {}
        for package in self.packages if twice else ():
            for file in package.files:
                if file.path in twice:
                    found.setdefault(file.path, []).append((package, file))
        return found


class BadRecord(Exception):
    """A record that cannot be read; the message says why."""


def normalise(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_site_packages(prefix: Path) -> tuple[str, ...]:
    """Directories of ``prefix`` that hold distributions, relative to it."""
    found = [
        path.relative_to(prefix).as_posix()
        for pattern in ("lib/python3*/site-packages", "lib64/python3*/site-packages")
        for path in sorted(prefix.glob(pattern))
        if path.is_dir() and not path.parent.parent.is_symlink()
    ]
    if any(prefix.glob("*.dist-info")) or not found:
        found.append("")
    return tuple(found)


def read_installed(prefix: Path) -> Installed:
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
    return Installed(packages=tuple(packages), site_packages=sites, unreadable=unreadable)


def _collect(packages, unreadable, prefix: Path, record: Path, read) -> None:  # type: ignore[no-untyped-def]
    where = record.relative_to(prefix).as_posix()
    try:
        packages.append(read(prefix, record))
    except (BadRecord, ValueError, RecursionError, csv.Error) as error:
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


def parse_record(text: str, base: str) -> tuple[RecordedFile, ...]:
    """Rows of a RECORD file whose paths are relative to ``base`` (itself relative to the prefix).

    Raises:
        BadRecord: a path leaves the prefix, or a hash is none.
    """
    lines = text.splitlines()
    # A name with a comma or a quotation mark is quoted; nearly no RECORD has one.
    rows = list(csv.reader(lines)) if '"' in text else [line.rsplit(",", 2) for line in lines]
    rows = [row if len(row) == 3 else [*row, "", ""] for row in rows if row and row[0]]
    paths = [inside(base, row[0]) for row in rows]
    recorded = [_record_hash(row[1]) if row[1] else None for row in rows]
    sizes = [int(row[2]) if row[2].isdigit() and len(row[2]) < 20 else None for row in rows]
    return tuple(map(RecordedFile, paths, recorded, sizes))


def _record_hash(text: str) -> str | None:
    """A RECORD hash field, where it is SHA-256: 43 characters of urlsafe base64 without padding."""
    if not text.startswith("sha256="):
        return None
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
    files: tuple[RecordedFile, ...] = ()
    if record.exists():
        base = where.rpartition("/")[0]
        files = parse_record(read_regular(record).decode("utf-8", "surrogateescape"), base)
    return InstalledPackage(
        kind="pypi",
        name=normalise(names[0]),
        version=versions[0],
        path=where,
        files=files,
        requires=tuple(metadata.get("requires-dist", ())),
        requires_python=metadata.get("requires-python", [None])[0],
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
        files=tuple(conda_files(data)),
        requires=_texts(data.get("depends")),
        constrains=_texts(data.get("constrains")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


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
