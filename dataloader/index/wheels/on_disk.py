"""METADATA of a wheel on this machine."""

from __future__ import annotations

from pathlib import Path

from dataloader.base.errors import IntegrityError
from dataloader.index.wheels.metadata import Tail, directory_start, extract, find_member

_TAIL = 1 << 16


def read_metadata(path: Path, project: str) -> bytes:
    """METADATA of a wheel on disk, from its end; large wheels are not read through.

    Raises:
        IntegrityError: It is no wheel of ``project`` (code ``wheel-malformed``).
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start = max(0, end - _TAIL)
        file.seek(start)
        tail = Tail(data=file.read(), start=start)
        directory = directory_start(tail)
        if directory < start:
            file.seek(directory)
            tail = Tail(data=file.read(), start=directory)
        member = find_member(tail, project)
        if member is None:
            raise IntegrityError(f"{path.name} has no METADATA of {project}", code="wheel-malformed")
        file.seek(member.start)
        text = extract(member, file.read(member.compressed + (1 << 17)))
    if text is None:
        raise IntegrityError(f"{path.name} ends in the middle of its METADATA", code="wheel-malformed")
    return text
