"""Where caches live on this machine. The layout below the root belongs to the parts that use it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The directory of all caches; it may not exist yet.

    ``DATALOADER_CACHE_DIR``, then ``XDG_CACHE_HOME/dataloader`` and ``~/.cache/dataloader`` (XDG Base Directory
    Specification), whichever first can be written; else, as in a container without a home, a directory of this user's
    own below the system's temporary directory.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get("DATALOADER_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    for variable, below in (("XDG_CACHE_HOME", "dataloader"), ("HOME", ".cache/dataloader")):
        # The specification has relative paths ignored.
        base = environ.get(variable, "")
        if base.startswith("/") and _can_be_written(Path(base) / below):
            return Path(base) / below
    return _temporary_root(environ)


def _temporary_root(environ: Mapping[str, str]) -> Path:
    """A directory that nobody else can write to: a foreign one of the same name is not used."""
    import tempfile

    base = Path(environ.get("TMPDIR") or tempfile.gettempdir())
    root = base / f"dataloader-cache-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = root.lstat()
    if facts.st_uid == os.getuid() and not facts.st_mode & 0o022 and not root.is_symlink():
        return root
    return Path(tempfile.mkdtemp(prefix="dataloader-cache-", dir=base))


def _can_be_written(path: Path) -> bool:
    while not path.exists():
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
