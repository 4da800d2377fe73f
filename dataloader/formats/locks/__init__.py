"""Locks of other tools, each format by its own reader: a document and what is wanted of it -> Taken."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from dataloader.base.errors import LockfileError
from dataloader.formats.content import Content
from dataloader.formats.model import LockSelection, Taken

READERS: Final = {
    "pylock.toml": "pylock",
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "conda-lock.yml": "conda_lock",
    "pixi.lock": "pixi",
    "explicit": "conda_lists",
    "export": "conda_lists",
}
"""Format -> module of this package, whose ``read`` takes the content and what is wanted."""

_TITLES: Final = {"explicit": "an explicit list of conda's", "export": "a list of conda's"}
"""What formats without a name are called."""


def take(content: Content, wanted: LockSelection) -> Taken:
    """Return what a lock holds for one machine.

    Raises:
        LockfileError: ``lock-unfit``, it is not for this machine, or has no such part; ``lockfile-invalid``.
    """
    reader = import_module(f"dataloader.formats.locks.{READERS[content.form]}")
    try:
        taken: Taken = reader.read(content, wanted)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise LockfileError(
            f"{content.path} cannot be read as {_TITLES.get(content.form, f'a {content.form}')}: {what}",
            suggestions=("restore it from version control, or lock again with the tool that wrote it",),
        ) from error
    return taken


def unfit(content: Content, why: str, *ways: str) -> LockfileError:
    """Return what is said of a lock that is not for what is wanted."""
    return LockfileError(f"{content.path}: {why}", code="lock-unfit", suggestions=ways)
