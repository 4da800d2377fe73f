"""Hashes of files and bytes, in the two ways that packages write them."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from pathlib import Path

_BLOCK = 1 << 20

LARGE = 32 << 20
"""Bytes above which a member of an archive is not hashed. The archive's own hash, which the lock gives, is of every
byte of it. Most bytes are in a few large libraries, and to hash all a second time took 2.8 of 33 seconds of processor
time in a cold sync of 4.7 GB. The first ``verify`` hashes them, as all that is installed."""


def hex_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """The hash of a file in hexadecimal, as locks and conda have it; ValueError for an unknown algorithm."""
    return _hash(path, algorithm).hex()


def record_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """The hash of a file as RECORD has it (PEP 376): URL-safe base64 without padding."""
    return encode(_hash(path, algorithm))


def encode(digest: bytes) -> str:
    """A raw digest as RECORD has it."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hexadecimal(digest: str) -> str:
    """A sha256 as RECORD has it, in hexadecimal."""
    return base64.urlsafe_b64decode(f"{digest}=").hex()


def hexadecimal_of(recorded: str) -> str:
    """SHA-256 in hexadecimal, of ``sha256=`` and base64 as RECORD has it, or of hexadecimal itself, as conda has it."""
    return hexadecimal(recorded[7:]) if recorded.startswith("sha256=") else recorded


def recorded_of(digits: str) -> str:
    """The inverse: with ``sha256=``, as RECORD has it."""
    return f"sha256={encode(bytes.fromhex(digits))}"


def is_sha256(digest: str) -> bool:
    """Whether it is one as RECORD has it."""
    return re.fullmatch(r"[A-Za-z0-9_-]{43}", digest) is not None


def as_recorded(algorithm: str, digest: str) -> str:
    """A digest of somebody's RECORD as RECORD should have it: some write it in hexadecimal, some with padding.

    >>> as_recorded("md5", "D41D8CD98F00B204E9800998ECF8427E")
    '1B2M2Y8AsgTpgAmY7PhCfg'
    """
    plain = digest.rstrip("=")
    try:
        raw = bytes.fromhex(plain)
        return encode(raw) if len(raw) == hashlib.new(algorithm, usedforsecurity=False).digest_size else plain
    except ValueError:
        return plain


def crc32(path: str | Path) -> int:
    """CRC-32 of a file, as zip archives have it of their members."""
    found = 0
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found


def _hash(path: str | Path, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()
