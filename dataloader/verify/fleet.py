"""One environment on many machines: on which node pools it runs, how, and the node selector for those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from dataloader.base.values import dataclass
from dataloader.lockfile.model import Lockfile
from dataloader.machine.target import Target
from dataloader.verify.options import VerifyOptions
from dataloader.verify.report import VerifyReport
from dataloader.verify.run import verify_targets

Runs: TypeAlias = Literal["runs", "minor-version-compatibility", "cannot"]
_ARCH: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""``uname -m`` -> the value of the label kubernetes.io/arch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolVerdict:
    """What one environment does on one pool."""

    pool: str
    runs: Runs
    because: tuple[str, ...]
    """Why not, or how."""
    node_selector: Mapping[str, str]
    """Labels of the pool's nodes (kubernetes.io, and those of NVIDIA's GPU feature discovery); empty for ``cannot``."""
    report: VerifyReport

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "pool": self.pool,
            "runs": self.runs,
            "because": list(self.because),
            "node_selector": dict(sorted(self.node_selector.items())),
            "findings": self.report.to_dict()["findings"],
        }


def verify_fleet(
    prefix: Path, *, targets: Sequence[Target], lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> tuple[PoolVerdict, ...]:
    """One verdict for each target, in their order; the prefix is read once.

    Raises:
        PrefixError: there is no such directory.
    """
    reports = verify_targets(prefix, targets=targets, read_lock=lambda: lock, options=options).reports
    return tuple(judge_pool(target, report) for target, report in zip(targets, reports, strict=True))


def judge_pool(target: Target, report: VerifyReport) -> PoolVerdict:
    """The verdict on one pool, from its report."""
    errors = [finding for finding in report.findings if finding.severity == "error"]
    minor = [finding for finding in report.findings if finding.kind == "minor-version-compatibility"]
    runs: Runs = "cannot" if errors else ("minor-version-compatibility" if minor else "runs")
    return PoolVerdict(
        pool=target.name or "this machine",
        runs=runs,
        because=tuple(dict.fromkeys(finding.message for finding in errors or minor)),
        node_selector={} if errors else node_selector(target),
        report=report,
    )


def node_selector(target: Target) -> dict[str, str]:
    """Labels that nodes of this target carry."""
    labels = {"kubernetes.io/arch": _ARCH.get(target.arch, target.arch), "kubernetes.io/os": "linux"}
    names = {gpu.name for gpu in target.gpus}
    if len(names) == 1:
        labels["nvidia.com/gpu.product"] = names.pop().replace(" ", "-")
    return labels


def fleet_to_dict(verdicts: Sequence[PoolVerdict]) -> dict[str, Any]:
    """The document of ``verify --json`` over several targets."""
    ok = all(verdict.runs != "cannot" for verdict in verdicts)
    return {"version": 1, "status": "ok" if ok else "error", "pools": [verdict.to_dict() for verdict in verdicts]}


def fleet_to_text(verdicts: Sequence[PoolVerdict]) -> str:
    """One line for each pool, with the reasons below."""
    words = {
        "runs": "runs",
        "minor-version-compatibility": "runs through minor-version compatibility",
        "cannot": "cannot, because",
    }
    lines: list[str] = []
    for verdict in verdicts:
        lines.append(f"{verdict.pool}: {words[verdict.runs]}")
        lines += [f"    {reason}" for reason in verdict.because]
        if verdict.node_selector:
            labels = ", ".join(f"{key}={value}" for key, value in sorted(verdict.node_selector.items()))
            lines.append(f"    node selector: {labels}")
    return "\n".join(lines) + "\n"
