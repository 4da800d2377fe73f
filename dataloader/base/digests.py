"""Hashes of files and bytes, in the two ways that packages write them."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

_BLOCK = 1 << 20

LARGE = 1 << 20
"""Bytes above which a member of an archive is not hashed. The archive's own hash, which the lock gives, is of every
byte of it. Most bytes are in a few large libraries, and to hash these a second time took 2.8 of 33 seconds of processor
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


def is_sha256(digest: str) -> bool:
    """Whether it is one as RECORD has it."""
    return re.fullmatch(r"[A-Za-z0-9_-]{43}", digest) is not None


def _hash(path: str | Path, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()
