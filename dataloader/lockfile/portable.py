"""Wheels that lie beside a lock are named relative to it, as pixi does: a project may be copied or checked out anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from dataloader.base.origin import ARCHIVES, WHEEL
from dataloader.lockfile.model import Lockfile, PypiPackage


def relative_url(url: str, folder: Path) -> str:
    """A ``file://`` URL of something below ``folder`` as a path relative to it; any other URL as it is.

    >>> relative_url("file:///p/wheels/a%20b.whl", Path("/p")), relative_url("file:///q/a.whl", Path("/p"))
    ('./wheels/a%20b.whl', 'file:///q/a.whl')
    >>> relative_url("file:///p/lib#editable=true", Path("/p/app"))
    '../lib#editable=true'
    """
    if not url.startswith("file://"):
        return url
    plain, mark, fragment = url.partition("#")
    path = os.path.normpath(unquote(urlsplit(plain).path))
    below = relative_path(path, folder, beside=not path.endswith((WHEEL, *ARCHIVES)))
    return url if below is None else f"{quote(below)}{mark}{fragment}"


def relative_path(path: str, folder: Path, *, beside: bool) -> str | None:
    """A path relative to ``folder``, if it is below it; or (``beside``) if both are of one folder that is not the root.

    >>> [relative_path(p, Path("/a/p"), beside=True) for p in ("/a/p", "/a/lib", "/b/lib")]
    ['.', '../lib', None]
    """
    if not folder.is_absolute():
        return None
    below = os.path.relpath(path, folder)
    if not below.startswith(".."):
        return "." if below == "." else f"./{below}"
    return below if beside and os.path.commonpath((path, folder)) != "/" else None


def absolute_url(url: str, folder: Path) -> str:
    """The reverse of :func:`relative_url`.

    >>> absolute_url("./wheels/a%20b.whl", Path("/p"))
    'file:///p/wheels/a%20b.whl'
    """
    plain, mark, fragment = url.partition("#")
    if plain != "." and not plain.startswith(("./", "../")):
        return url
    return f"{Path(os.path.normpath(folder.absolute() / unquote(plain))).as_uri()}{mark}{fragment}"


def _each(lock: Lockfile, folder: Path, change: Callable[[str, Path], str]) -> Lockfile:
    packages = tuple(replace(p, url=change(p.url, folder)) if isinstance(p, PypiPackage) else p for p in lock.packages)
    return lock if packages == lock.packages else replace(lock, packages=packages)


def to_write(lock: Lockfile, folder: Path) -> Lockfile:
    """The lock as it is written into ``folder``."""
    return _each(lock, folder, relative_url)


def as_read(lock: Lockfile, folder: Path) -> Lockfile:
    """The lock that was read from ``folder``."""
    return _each(lock, folder, absolute_url)
