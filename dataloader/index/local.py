"""Indexes and find-links on this machine: directories, ``file://`` pages, and wheels read in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dataloader.base.errors import IndexUnavailable, IntegrityError
from dataloader.index.filenames import parse_listed
from dataloader.index.metadata import Tail, directory_start, extract, find_member
from dataloader.index.model import IndexFile
from dataloader.index.pages import Page, parse_page

_TAIL = 1 << 16


def local_path(location: str) -> Path | None:
    """The path of a ``file://`` URL or of a location without a scheme; None for other URLs.

    >>> local_path("file:///srv/a%20b")
    PosixPath('/srv/a b')
    """
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location else Path(location).expanduser().absolute()


def read_project_page(root: Path, project: str, index: str) -> Page:
    """A project of a Simple API laid out in folders, each with an ``index.html`` (as pip reads ``file://`` indexes)."""
    return _read_page(root / project / "index.html", project, index)


def read_find_links(path: Path, location: str) -> Page:
    """A directory's distributions, an HTML file's links, or one distribution."""
    if path.is_dir():
        return Page(files=tuple(_listed(sorted(path.iterdir()), location)))
    if path.suffix in {".html", ".htm"}:
        return _read_page(path, None, location)
    return Page(files=tuple(_listed([path] if path.is_file() else [], location)))


def read_metadata(path: Path, project: str) -> bytes:
    """METADATA of a wheel on disk, from its end; large wheels are not read through.

    Raises:
        IntegrityError: It is no wheel of ``project`` (code ``wheel-malformed``).
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start = max(0, end - _TAIL)
        file.seek(start)
        tail = Tail(data=file.read(), start=start)
        directory = directory_start(tail)
        if directory < start:
            file.seek(directory)
            tail = Tail(data=file.read(), start=directory)
        member = find_member(tail, project)
        if member is None:
            raise IntegrityError(f"{path.name} has no METADATA of {project}.", code="wheel-malformed")
        file.seek(member.start)
        text = extract(member, file.read(member.compressed + (1 << 17)))
    if text is None:
        raise IntegrityError(f"{path.name} ends in the middle of its METADATA.", code="wheel-malformed")
    return text


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256, read in pieces."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def _read_page(path: Path, project: str | None, index: str) -> Page:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return Page(files=())
    except OSError as error:
        raise IndexUnavailable(f"{path} cannot be read: {error.strerror}.", code="index-unreachable") from error
    return parse_page(body, "text/html", path.as_uri(), project=project, index=index)


def _listed(paths: list[Path], location: str) -> Iterator[IndexFile]:
    for path in paths:
        parsed = parse_listed(path.name)
        if parsed is not None:
            name, version = parsed
            size = path.stat().st_size
            yield IndexFile(
                name=name, version=version, filename=path.name, url=path.as_uri(), size=size, index=location
            )
