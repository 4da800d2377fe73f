"""Which addresses are places on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str) -> Path | None:
    """The path of a ``file://`` URL or of a location without a scheme; None for other URLs.

    >>> local_path("file:///srv/a%20b")
    PosixPath('/srv/a b')
    """
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location else Path(location).expanduser().absolute()
