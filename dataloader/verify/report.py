"""The report of one verification. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from dataloader.verify.findings import Finding, Severity

if TYPE_CHECKING:
    from dataloader.elf.gpucode import GpuCode
    from dataloader.elf.scan import ScannedFile
    from dataloader.verify.loads import Verdict

_ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class VerifyReport(NamedTuple):
    """What verify found, worst first."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    """``files``, ``libraries``, ``packages``, ``symbols``... that were looked at."""
    verdicts: tuple[Verdict, ...] = ()
    gpu: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Library -> the GPU code in it: ``sm_90``, ``compute_90 (PTX 8.4)``."""
    process: str = ""
    """Which variables of the process were heeded, and whose they are; ``""`` when there were none."""

    @property
    def ok(self) -> bool:
        """No finding of severity error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``verify --json``."""
        return {
            "version": 1,
            "status": "ok" if self.ok else "error",
            "counts": dict(sorted(self.counts.items())),
            "gpu": {printable(path): list(code) for path, code in sorted(self.gpu.items())},
            "process": printable(self.process),
            "findings": [
                {
                    "severity": finding.severity,
                    "kind": finding.kind,
                    "path": printable(finding.path),
                    "message": printable(finding.message),
                    "evidence": [printable(line) for line in finding.evidence],
                    "fix": finding.fix and printable(finding.fix),
                    "alternatives": [printable(command) for command in finding.alternatives],
                    "files": [printable(path) for path in finding.files or (finding.path,)],
                }
                for finding in self.findings
            ],
        }


def inventory(scanned: Iterable[ScannedFile]) -> dict[str, tuple[str, ...]]:
    """The GPU code of each library that has some."""
    found: dict[str, tuple[str, ...]] = {}
    for file in scanned:
        codes = file.facts.gpu if file.facts else ()
        if codes:
            found[file.path] = tuple(dict.fromkeys(map(_named, codes)))
    return found


def _named(code: GpuCode) -> str:
    if code.kind != "ptx":
        return f"sm_{code.arch}"
    isa = ".".join(map(str, code.isa))
    return f"compute_{code.arch}" + (f" (PTX {isa})" if isa else "")


def printable(text: str) -> str:
    """``text`` without control characters and with bytes that are no UTF-8 escaped: names come from untrusted files."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in clean)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, then by path; equal ones once."""
    key = lambda finding: (_ORDER[finding.severity], finding.path, finding.kind, finding.message)  # noqa: E731
    return tuple(sorted(dict.fromkeys(findings), key=key))
