"""Wheels that lie beside a lock are named relative to it, as pixi does: a project may be copied or checked out anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from dataloader.lockfile.model import Lockfile, PypiPackage


def relative_url(url: str, folder: Path) -> str:
    """A ``file://`` URL of something below ``folder`` as a path relative to it; any other URL as it is.

    >>> relative_url("file:///p/wheels/a%20b.whl", Path("/p")), relative_url("file:///q/a.whl", Path("/p"))
    ('./wheels/a%20b.whl', 'file:///q/a.whl')
    """
    if not url.startswith("file://"):
        return url
    path = os.path.normpath(unquote(urlsplit(url).path))
    below = os.path.relpath(path, folder) if folder.is_absolute() else ".."
    return url if below.startswith("..") else f"./{quote(below)}"


def absolute_url(url: str, folder: Path) -> str:
    """The reverse of :func:`relative_url`.

    >>> absolute_url("./wheels/a%20b.whl", Path("/p"))
    'file:///p/wheels/a%20b.whl'
    """
    return (folder / unquote(url)).absolute().as_uri() if url.startswith("./") else url


def _each(lock: Lockfile, folder: Path, change: Callable[[str, Path], str]) -> Lockfile:
    packages = tuple(replace(p, url=change(p.url, folder)) if isinstance(p, PypiPackage) else p for p in lock.packages)
    return lock if packages == lock.packages else replace(lock, packages=packages)


def to_write(lock: Lockfile, folder: Path) -> Lockfile:
    """The lock as it is written into ``folder``."""
    return _each(lock, folder, relative_url)


def as_read(lock: Lockfile, folder: Path) -> Lockfile:
    """The lock that was read from ``folder``."""
    return _each(lock, folder, absolute_url)
