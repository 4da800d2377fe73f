"""Remove something of a cache: whole entries in one step, and what killed processes left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from dataloader.base.files import remove_tree
from dataloader.install.store.holdings import is_left_over, survey
from dataloader.install.store.users import users_of
from dataloader.install.switch.owner import signed

_NOT_OURS = ("facts", "index", "repodata")
"""Folders that a sync does not clear up: they hold ten thousands of records, and ``cache prune`` looks at them."""


def never() -> bool:
    """No second thoughts."""
    return False


def take_out(entry: Path, second_thoughts: Callable[[], bool] = never) -> bool:
    """Remove an entry; False when it is not there (any more), or is put back.

    Under another name first: what is half removed must not be taken for whole.

    Args:
        second_thoughts: Asked when nobody can find the entry any more; true puts it back.
    """
    aside = entry.with_name(signed(".old-"))
    try:
        entry.rename(aside)
    except FileNotFoundError:
        return False
    if second_thoughts():
        with suppress(OSError):  # a new one has been made meanwhile: that will do
            aside.rename(entry)
        remove(aside)
        return False
    remove(aside)
    return True


def remove(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there; what cannot be deleted stays for the next one who tries."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def discard_archives(cache: Path, names: Collection[str]) -> None:
    """Remove what has come of the archives of these hashes: on a full volume nothing is gained by keeping it."""
    for found in list(survey(cache, but=(*_NOT_OURS, "pkgs", "wheels"))):
        if found.holding and found.holding.stay == "archive" and found.name.partition(".")[0] in names:
            remove(cache / found.path)


def sweep(cache: Path) -> None:
    """Remove what killed syncs left in the folders that syncs work in."""
    users = users_of(cache)
    for found in list(survey(cache, but=_NOT_OURS)):
        if is_left_over(cache, found, users):
            remove(cache / found.path)
