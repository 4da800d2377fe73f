"""Hashes of files and bytes, in the two ways that packages write them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

_BLOCK = 1 << 20


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


def _hash(path: str | Path, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()
