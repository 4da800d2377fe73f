"""Prove that an environment can load, without running it."""

from __future__ import annotations

from dataloader.verify.findings import Finding, Severity
from dataloader.verify.report import VerifyReport
from dataloader.verify.run import VerifyOptions, verify_prefix

__all__ = ["Finding", "Severity", "VerifyOptions", "VerifyReport", "verify_prefix"]
