"""Where things are without being told: the manifest, the lock, the prefix, what is ours in it. Imports next to nothing.

A sync with nothing to do asks these questions and no others, in a few milliseconds.
"""

# ruff: noqa: PTH109, PTH113, PTH121, PTH118, PTH120, PTH208
# Importing pathlib would cost more than the answers.

from __future__ import annotations

import os

PYPROJECT = "pyproject.toml"

MANIFEST_NAMES = ("dataloader.toml", "pixi.toml", PYPROJECT)
"""In the order they are looked for in each directory."""

LOCK_NAME = "dataloader.lock"

ENVIRONMENTS = os.path.join(".dataloader", "envs")
"""Directory of the prefixes, each by its environment's name; relative to the manifest's, or to the working directory.
"""

STATE = ".dataloader/state.json"
"""Relative to the prefix; its presence says that the environment is ours."""

SYNCED = ".dataloader/synced.json"
"""What the last sync went by (``dataloader.cli.stages.agreement``); relative to the prefix."""

ACTIVATION = ".dataloader/activation.json"
"""What running inside takes, written when the environment is built; relative to the prefix."""

JOURNAL = ".dataloader/journal"
"""There while a mounted prefix is being switched, or when that was cut off; relative to the prefix."""


DEFAULT_ENVIRONMENT = "default"
"""The environment that a command is about where none is named."""


def root_of(manifest: str | None, here: str) -> str:
    """Return the directory that lock and prefix stand in unless they are named: the manifest's, else ``here``."""
    return here if manifest is None else os.path.dirname(manifest)


def lock_in(root: str, environment: str = DEFAULT_ENVIRONMENT, *, manifest: bool = True) -> str:
    """Return the path of the lock that an environment stands in: that of all, unless it has one of its own.

    Without a manifest an environment that is named has, unless the lock of all holds it.
    """
    whole = os.path.join(root, LOCK_NAME)
    if environment == DEFAULT_ENVIRONMENT:
        return whole
    own = os.path.join(root, own_lock(environment))
    return whole if not os.path.isfile(own) and (manifest or holds_environment(whole, environment)) else own


def own_lock(environment: str) -> str:
    """Return the file name of an environment's own lock."""
    return f"dataloader.{environment}.lock"


def holds_environment(path: str, environment: str) -> bool:
    """Whether a lock of ours holds an environment of this name."""
    data = _read(path)
    return any(f"\n  {name}:\n    channels:".encode() in data for name in (environment, f'"{environment}"'))


def names_environments(path: str) -> bool:
    """Whether a lock of ours has names for what it holds: one that has none holds the default environment alone."""
    return b"\ndataloader:\n  version: 3\n" in _read(path)


def _read(path: str) -> bytes:
    """Return what a file holds; nothing, where there is none to be read: a pipe would be waited for."""
    if not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def own_files(manifest: str | None, here: str) -> list[str]:
    """Return the manifest and the locks of all environments beside it, those that are there and the default one."""
    root = root_of(manifest, here)
    names = {LOCK_NAME, *_locks_in(root or ".")}
    return [*([manifest] if manifest else []), *(os.path.join(root, name) for name in names)]


def _locks_in(directory: str) -> list[str]:
    """Return the names of the locks of all environments."""
    try:
        names = os.listdir(directory)
    except OSError:  # a folder that may be entered and not listed
        return []
    return [name for name in names if name.startswith("dataloader.") and name.endswith(".lock")]


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file, by links of either kind; it need not be there."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False


def prefix_in(root: str, environment: str = DEFAULT_ENVIRONMENT) -> str:
    """Return where an environment stands."""
    return os.path.join(root, ENVIRONMENTS, environment)


def lock_held(prefix: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """The lock that ``prefix`` is held against: ``path``, if the prefix is one of ours; ``""`` where there is none."""
    return os.fspath(path) if os.path.isfile(os.path.join(prefix, STATE)) and os.path.isfile(path) else ""


def lock_noted(prefix: str | os.PathLike[str]) -> str | None:
    """Return the lock that an environment of ours was made from, where it still is."""
    return _noted(prefix, "lockfile")


def manifest_noted(prefix: str | os.PathLike[str]) -> str | None:
    """Return the manifest that an environment of ours was made from, where it still is."""
    return _noted(prefix, "manifest")


def _noted(prefix: str | os.PathLike[str], what: str) -> str | None:
    import json

    try:
        with open(os.path.join(prefix, STATE), encoding="utf-8") as stream:
            path = json.load(stream).get(what)
    except (OSError, ValueError, AttributeError):
        return None
    return path if isinstance(path, str) and os.path.isfile(path) else None


def plain_path(text: str) -> str:
    """Return a path as pathlib has it.

    >>> plain_path("./envs//gpu/")
    'envs/gpu'
    """
    slashes = len(text) - len(text.lstrip("/"))
    start = "//" if slashes == 2 else "/" if slashes else ""  # POSIX leaves the meaning of two to the system
    return start + "/".join(part for part in text.split("/") if part not in ("", ".")) or "."


def as_seen(path: str | os.PathLike[str]) -> str:
    """Return a path as whoever works in this directory calls it: relative to it, if it lies below."""
    text = os.fspath(path)
    try:
        here = os.getcwd().rstrip("/") + "/"
    except OSError:  # it is gone
        return text
    return text[len(here) :] if text.startswith(here) and len(text) > len(here) else text


def locate_manifest(start: str) -> str | None:
    """Return the nearest manifest, in ``start`` or upward.

    A pyproject.toml counts if it speaks to us, or if a lock beside it was made from it.
    """
    directory = start
    while True:
        for name in MANIFEST_NAMES:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and (name != PYPROJECT or _speaks_to_us(path) or _is_locked(directory)):
                return path
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _speaks_to_us(path: str) -> bool:
    # A cheap look that cannot fail on someone else's broken file; a true hit is parsed and checked later.
    with open(path, "rb") as stream:
        lines = (line.replace(b" ", b"").replace(b"\t", b"") for line in stream)
        return any(line.startswith((b"[tool.dataloader", b"[tool.pixi")) for line in lines)


MADE_FROM = [b"\n" + b" " * deep + b"project: pyproject.toml\n" for deep in (4, 8, 10)]
"""What stands in a lock that was made from the pyproject.toml beside it, which says nothing to us."""


def _is_locked(directory: str) -> bool:
    for name in _locks_in(directory):
        with open(os.path.join(directory, name), "rb") as stream:
            data = stream.read()
        if any(line in data for line in MADE_FROM):
            return True
    return False


OWN_FOLDER = ".dataloader"
"""The folder of an environment that belongs to us."""
