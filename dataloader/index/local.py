"""Indexes and find-links on this machine: directories, ``file://`` pages, and single distributions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataloader.base.errors import IndexUnavailable
from dataloader.index.filenames import described_release, parse_listed
from dataloader.index.model import IndexFile
from dataloader.index.pages.simple import Page, parse_page, with_variants


def read_project_page(root: Path, project: str, index: str) -> Page:
    """A project of a Simple API laid out in folders, each with an ``index.html`` (as pip reads ``file://`` indexes)."""
    return _read_page(root / project / "index.html", project, index)


def read_find_links(path: Path, location: str) -> Page:
    """A directory's distributions, an HTML file's links, or one distribution."""
    if path.is_dir():
        paths = sorted(path.iterdir())
        described = {release: p.as_uri() for p in paths if (release := described_release(p.name))}
        return Page(files=with_variants(list(_listed(paths, location)), described))
    if path.suffix in {".html", ".htm"}:
        return _read_page(path, None, location)
    return Page(files=tuple(_listed([path] if path.is_file() else [], location)))


def _read_page(path: Path, project: str | None, index: str) -> Page:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return Page(files=())
    except OSError as error:
        raise IndexUnavailable(f"{path} cannot be read: {error.strerror}", code="index-unreachable") from error
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
