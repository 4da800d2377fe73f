"""Hold the planner against every build that the matrix knows: a plan where it fits, a refusal where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import admits, key, major
from dataloader.machine.target import Target
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.planner import iter_stacks

FIRST = {"torch": "1.11", "tensorflow": "2.8", "jax": "0.4", "onnxruntime-gpu": "1.12", "cupy": "0"}
"""Framework to the oldest release that must be covered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One build held against a machine that fits it and one that does not."""

    framework: str
    version: str
    cuda: str | None
    planned: bool
    """A plan with this very build was found for the right machine."""
    refused: bool
    """The wrong machine was refused, with a cause."""
    detail: str = ""


def iter_coverage(matrix: Matrix) -> Iterator[Trial]:
    """Try every (framework, version, CUDA) that some row publishes, oldest first."""
    for framework, first in FIRST.items():
        rows = {(row.version, row.cuda): row for row in matrix.builds[framework] if key(row.version) >= key(first)}
        for row in sorted(rows.values(), key=lambda row: (key(row.version), key(row.cuda or "0"))):
            yield _trial(matrix, row)


def _trial(matrix: Matrix, row: MatrixBuild) -> Trial:
    wish = f"=={row.version}"
    request = StackRequest(cuda=row.cuda or CPU, frameworks={row.framework: wish})
    planned, detail = _plans(matrix, row, request)
    refused, why = _refuses(matrix, row, request)
    return Trial(
        framework=row.framework,
        version=row.version,
        cuda=row.cuda,
        planned=planned,
        refused=refused,
        detail=detail or why,
    )


def _plans(matrix: Matrix, row: MatrixBuild, request: StackRequest) -> tuple[bool, str]:
    """A machine with the driver of the toolkit and a glibc of today."""
    right = Target(glibc="2.39", driver=_driver(matrix, row.cuda))
    try:
        for stack in iter_stacks(matrix, request, right):
            build = stack.builds[0]
            if build.cuda == row.cuda and admits(row.versions, build.version):
                return True, ""
    except ResolutionFailure as failure:
        return False, "; ".join(failure.causes)
    return False, "no stack has this build"


def _refuses(matrix: Matrix, row: MatrixBuild, request: StackRequest) -> tuple[bool, str]:
    """A machine whose driver is of the CUDA before; for CPU builds, one without glibc."""
    if row.cuda is None:
        wrong, word = Target(musl="1.2"), "musl"
        if row.glibc is None:
            return True, ""
    else:
        wrong, word = Target(glibc="2.39", driver=_older_driver(matrix, row.cuda)), "driver"
    try:
        next(iter_stacks(matrix, request, wrong))
    except ResolutionFailure as failure:
        told = any(word in cause for cause in failure.causes)
        return told, "" if told else f"refused for another reason: {'; '.join(failure.causes)}"
    return False, f"not refused on {wrong.driver or 'musl'}"


def _driver(matrix: Matrix, cuda: str | None) -> str | None:
    """The driver that runs a CUDA minor, or all minors of a major."""
    if cuda is None:
        return None
    floor = matrix.drivers.get(major(cuda))
    return floor.driver if floor else matrix.toolkits[cuda].driver


def _older_driver(matrix: Matrix, cuda: str) -> str:
    """The newest driver in the matrix that is too old."""
    least = key(_driver(matrix, cuda) or "0")
    drivers = [row.driver for row in matrix.toolkits.values() if row.driver]
    older = [driver for driver in drivers if key(driver) < least]
    return max(older, key=key) if older else "1.0"
