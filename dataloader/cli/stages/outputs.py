"""Which files a command may write to where somebody named them: never the project's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.prefix.locate import locate_manifest, own_files, same_file


def check_output(option: str, path: str | os.PathLike[str], options: CommonOptions, here: Path) -> None:
    """Refuse to write over a manifest or a lock: those that are named, and those of the project that ``here`` is in.

    Raises:
        UsageError: It says which of them it is.
    """
    for own, what in _own_files(options, here).items():
        if same_file(path, own):
            raise UsageError(
                f"{option}: {os.fspath(path)} is the {what} itself, which would be lost",
                suggestions=("name another file",),
            )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of what ``--output`` names that it cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}",
            code="directory-unwritable",
            suggestions=("leave --output out: the text goes to standard output",),
        ) from error


def _own_files(options: CommonOptions, here: Path) -> dict[Path, str]:
    """Return each file, and what it is."""
    from dataloader.request.places import lock_path

    found = locate_manifest(str(here))
    own = dict.fromkeys(map(Path, own_files(found, str(here))), "lock")
    own |= dict.fromkeys((path for path in (options.manifest, found and Path(found)) if path), "manifest")
    with suppress(DataloaderError):  # a manifest that is not there: the command itself says so
        own[lock_path(options, here)] = "lock"
    return own
