"""What a stored wheel installs, as data; ``wheel_source.py`` works it out once, when the wheel is unpacked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from dataloader.base.errors import IntegrityError
from dataloader.base.values import dataclass

RECIPE_VERSION = 2


class StoredFile(NamedTuple):
    """One file of an unpacked wheel. A tuple, because a large wheel has more than ten thousand."""

    scheme: str
    """``purelib``, ``platlib``, ``scripts``, ``headers`` or ``data``."""
    path: str
    """Within the scheme."""
    source: str
    """Within the archive."""
    digest: str
    """sha256 as RECORD has it: URL-safe base64 without padding."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Of the stored file; another time there means that somebody wrote to it."""
    has_python_shebang: bool
    """A script that starts with ``#!python`` and gets the environment's interpreter (binary distribution format)."""
    crc: int | None = None
    """CRC-32 by the archive, where RECORD alone vouches for the digest; ``None`` where that was computed."""


class EntryPoint(NamedTuple):
    """A command (entry points specification)."""

    name: str
    body: str
    """Its script below the first line, which names the environment's interpreter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The files and scripts of one wheel, by install scheme."""

    name: str
    version: str
    dist_info: str
    root_scheme: str
    """``purelib`` or ``platlib``: where the dist-info directory goes."""
    files: tuple[StoredFile, ...]
    entry_points: tuple[EntryPoint, ...]
    slips: Mapping[str, str] = field(default_factory=dict)
    """Path in the archive -> what its RECORD says of a member that is otherwise: ``sha256=...``."""

    def to_bytes(self) -> bytes:
        """A first line with the sha256 of the rest, then JSON: damage to a stored recipe is seen when it is read."""
        body = json.dumps(
            {
                "version": RECIPE_VERSION,
                "name": self.name,
                "package_version": self.version,
                "dist_info": self.dist_info,
                "root_scheme": self.root_scheme,
                "files": self.files,
                "entry_points": self.entry_points,
                "slips": dict(self.slips),
            },
            separators=(",", ":"),
        ).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Recipe:
        """Read what ``to_bytes`` wrote; ValueError when it is damaged or of another version."""
        digest, _, body = data.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("checksum differs")
        content = json.loads(body)
        if content["version"] != RECIPE_VERSION:
            raise ValueError("another version")
        return cls(
            name=content["name"],
            version=content["package_version"],
            dist_info=content["dist_info"],
            root_scheme=content["root_scheme"],
            files=tuple(StoredFile._make(row) for row in content["files"]),
            entry_points=tuple(EntryPoint._make(row) for row in content["entry_points"]),
            slips=content["slips"],
        )


def malformed(wheel_name: str, fact: str) -> IntegrityError:
    """The error for an archive that is not the wheel it should be."""
    return IntegrityError(
        f"{wheel_name} is not a well-formed wheel: {fact}",
        code="wheel-malformed",
        suggestions=("report it to the publisher, and lock another version with `dataloader install`",),
    )
