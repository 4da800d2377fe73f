"""A source archive: what it says of itself without being built, and its files in a folder. Runs nothing of it."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dataloader.base.core_metadata import parse_headers
from dataloader.base.damage import damage_told
from dataloader.base.errors import IntegrityError
from dataloader.base.names import normalized
from dataloader.build.static import vouched
from dataloader.index.model import WheelMetadata

_MOST = 32 << 20
"""Bytes of a PKG-INFO beyond which it is taken for an attack."""


def said_of(path: Path, title: str, *, project: str, version: str) -> WheelMetadata | None:
    """Return the METADATA that a wheel of an archive will have, where its PKG-INFO vouches for it.

    Raises:
        IntegrityError: ``source-malformed``; the archive cannot be read, or is of another project or version.
    """
    return vouched(_read(path, title), project=project, version=version)


def named_in(path: Path, title: str) -> tuple[str, str]:
    """Return the project and version that an archive's PKG-INFO says it is of; empty where it says nothing.

    Raises:
        IntegrityError: ``source-malformed``; the archive cannot be read.
    """
    fields = parse_headers(_read(path, title).decode("utf-8", "replace"))
    return normalized(fields.get("name", [""])[0]), fields.get("version", [""])[0]


def _read(path: Path, title: str) -> bytes:
    with damage_told(partial(_malformed, title), tarfile.TarError):
        return _pkg_info(path)


def unpack(path: Path, title: str, into: Path) -> Path:
    """Unpack an archive into a new folder and return the root of its project; ``title`` is its name in messages.

    Raises:
        IntegrityError: ``source-malformed``; it is damaged, or reaches outside the folder.
    """
    into.mkdir(parents=True)
    with damage_told(partial(_malformed, title), tarfile.TarError):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(into)  # noqa: S202  (keeps every member inside)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(into, filter="data")  # neither links nor paths that lead outside, no devices, no set-uid
    inside = [entry for entry in into.iterdir() if entry.is_dir()]
    return inside[0] if len(inside) == 1 and not _is_project(into) else into


def _is_project(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("pyproject.toml", "setup.py"))


def _pkg_info(path: Path) -> bytes:
    """Return the PKG-INFO in the archive's one top folder; nothing where there is none."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _is_pkg_info(name.split("/"))]
            return archive.read(names[0]) if names and archive.getinfo(names[0]).file_size <= _MOST else b""
    with tarfile.open(path) as tar:
        for member in tar:
            if _is_pkg_info(member.name.removeprefix("./").split("/")) and member.isfile() and member.size <= _MOST:
                file = tar.extractfile(member)
                return file.read() if file else b""
    return b""


def _is_pkg_info(parts: Sequence[str]) -> bool:
    return len(parts) == 2 and parts[1] == "PKG-INFO"


def _malformed(name: str, error: Exception) -> IntegrityError:
    return IntegrityError(f"{name} cannot be unpacked", code="source-malformed", causes=(str(error) or repr(error),))
