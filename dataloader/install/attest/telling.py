"""What both kinds of attestations have to say: evidence, and the errors where it is missing or invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from dataloader.base.errors import IntegrityError
from dataloader.index.publishers import Publisher
from dataloader.lockfile.model import Package

Tell: TypeAlias = Callable[[Package, str], None]
"""Hears which package was published by whom."""


class EvidenceSource(Protocol):
    """Fetches what says who published a file (``IndexClient.evidence``); ``None`` when there is nothing."""

    async def provenance(self, project: str, filename: str, sha256: str, index: str | None) -> bytes | None:
        """The provenance document of a wheel."""

    async def sidecar(self, url: str, sha256: str) -> bytes | None:
        """The attestations of a conda package."""


def missing(package: Package, expected: Publisher, *causes: str) -> IntegrityError:
    """What to raise for a package that has no attestation."""
    return IntegrityError(
        f"{package.file_name} has no attestation, and {expected} must have published it",
        code="attestation-missing",
        causes=causes,
        suggestions=(f"choose another version of {package.name}, or except it: {package.name}=none",),
    )


def invalid(package: Package, expected: Publisher, reasons: list[str]) -> IntegrityError:
    """What to raise for a package none of whose attestations holds."""
    return IntegrityError(
        f"it is not proven that {expected} published {package.file_name}",
        code="attestation-invalid",
        causes=tuple(dict.fromkeys(reasons)),
        suggestions=("do not install it, unless the publisher has changed for a reason that you know",),
    )
