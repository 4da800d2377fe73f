"""Whether anything runs in an environment: its Python is there, and libraries may be mapped from where it lies."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataloader.elf.scan import ScannedFile
from dataloader.prefix.python import PROGRAM, missing_python
from dataloader.verify.findings import Finding


def check_python(prefix: Path, *, described: bool) -> Iterator[Finding]:
    """Say that the Python of an environment is gone.

    Args:
        prefix: The environment.
        described: Judged is another machine than this one: whether it has a Python that lies beside the environment
            cannot be told here.
    """
    why = missing_python(prefix)
    if why is None:
        return
    elsewhere = described and (prefix / PROGRAM).is_symlink()
    yield Finding(
        severity="note" if elsewhere else "error",
        kind="python-missing",
        path=PROGRAM,
        message=f"the environment's Python is not on this machine: {why}"
        if elsewhere
        else f"the environment's Python is gone: {why}",
        fix="dataloader sync",
    )


def check_mounts(prefix: Path, files: Mapping[str, ScannedFile], *, described: bool) -> Iterator[Finding]:
    """Say that libraries lie where nothing may be executed: the loader maps none from there (mmap(2), EPERM).

    Args:
        described: Judged is another machine, which mounts what it likes.
    """
    by_device: dict[int, list[str]] = {}
    for path, file in files.items() if not described else ():
        by_device.setdefault(file.file_id[0], []).append(path)
    for paths in by_device.values():
        try:
            flags = os.statvfs(prefix / paths[0]).f_flag
        except OSError:
            continue  # it was readable a moment ago; the next run says what happened to it
        if flags & os.ST_NOEXEC:
            point = _mount_point(prefix / paths[0])
            yield Finding(
                severity="error",
                kind="mounted-noexec",
                path=paths[0],
                message=f"{point} is mounted noexec: no library is loaded from it, and no program starts",
                evidence=(f"{len(paths)} of its libraries and programs lie there",),
                fix=f"mount -o remount,exec {shlex.quote(point)}",
                files=tuple(paths),
            )


def _mount_point(path: Path) -> str:
    real = Path(os.path.realpath(path))
    return str(next(parent for parent in real.parents if parent.is_mount()))
