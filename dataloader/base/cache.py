"""Where caches live on this machine, and names in them that say a format. All names: ``install/store/holdings.py``."""

# ruff: noqa: PTH100, PTH103, PTH110, PTH111, PTH112, PTH118, PTH120
# As dataloader.prefix.locate: the short ways of sync and verify ask, and importing pathlib would take longer than the
# answer.

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FACTS = "facts"
"""The folder of what ``verify`` remembers; the next two are in it."""
LIBRARIES = "elf-8"
"""Facts of libraries. The number is of the format: another one is not read."""
PREFIXES = "prefix-8"
"""What was said of prefixes."""
EXPORTS = "exports-1"
"""What libraries of releases of frameworks define."""
WHEEL_LIBRARIES = "wheel-libraries-1"
"""What libraries of wheels say, read before the wheels were fetched."""
LEARNED = "learned-2"
"""What package files turned out to contradict, and which sets of packages load."""


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The directory of all caches; it may not exist yet.

    ``DATALOADER_CACHE_DIR``, then ``XDG_CACHE_HOME/dataloader`` and ``~/.cache/dataloader`` (XDG Base Directory
    Specification), whichever first can be written; else, as in a container without a home, a directory of this user's
    own below the system's temporary directory.
    """
    from pathlib import Path

    return Path(cache_folder(os.environ if environ is None else environ))


def cache_folder(environ: Mapping[str, str]) -> str:
    """:func:`cache_root` as a string."""
    if chosen := environ.get("DATALOADER_CACHE_DIR"):
        return os.path.abspath(os.path.expanduser(chosen))
    for variable, below in (("XDG_CACHE_HOME", "dataloader"), ("HOME", ".cache/dataloader")):
        # The specification has relative paths ignored.
        base = environ.get(variable, "")
        if base.startswith("/") and _can_be_written(folder := os.path.join(base, below)):
            return folder
    return _temporary_folder(environ)


def _temporary_folder(environ: Mapping[str, str]) -> str:
    """A directory that nobody else can write to: a foreign one of the same name is not used."""
    import tempfile

    name = f"dataloader-cache-{os.getuid()}"
    try:
        base = environ.get("TMPDIR") or tempfile.gettempdir()
    except FileNotFoundError:
        # Nothing here can be written to. Who only reads does without a cache; who writes is told when it fails.
        return os.path.join("/tmp", name)  # noqa: S108
    root = os.path.join(base, name)
    try:
        os.makedirs(base, exist_ok=True)
        os.mkdir(root, mode=0o700)  # noqa: PTH102
    except FileExistsError:
        pass  # whose it is, is seen below
    except OSError:
        return root  # as above
    facts = os.lstat(root)
    if facts.st_uid == os.getuid() and stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o022:
        return root
    return tempfile.mkdtemp(prefix="dataloader-cache-", dir=base)


def _can_be_written(path: str) -> bool:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)
