"""Prove that an environment can load, without running it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes 5 ms to import
if TYPE_CHECKING:
    from typing import Any

    from dataloader.verify.findings import Finding, Severity
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.report import VerifyReport
    from dataloader.verify.run import verify_prefix

__all__ = ["Finding", "Severity", "VerifyOptions", "VerifyReport", "verify_prefix"]

_HOMES = {
    "Finding": "findings",
    "Severity": "findings",
    "VerifyOptions": "options",
    "VerifyReport": "report",
    "verify_prefix": "run",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: recognising an unchanged prefix, and each reading process, needs a few modules only."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
