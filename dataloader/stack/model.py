"""What a person asks of the stack, and the stack that answers. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from types import MappingProxyType

from dataloader.base.values import dataclass
from dataloader.compat.rows import MatrixBuild
from dataloader.machine.target import Target

CPU = "none"
"""The ``cuda`` axis of a stack whose builds need no GPU."""
PLATFORM = "linux-64"
"""The platform that the builds of the matrix are for."""


def are_mapped(targets: Iterable[Target]) -> bool:
    """Whether the matrix has builds for all of these machines."""
    return all(target.platform == PLATFORM for target in targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRequest:
    """The stack options of one command, manifest and target together.

    Every version may be partial (``"12"``, ``"2.1"``: any version that begins so) or a PEP 440 specifier.
    """

    cuda: str | None = None
    """``"none"``: CPU builds; ``""``: any CUDA; None: not asked (CUDA builds are preferred, CPU builds accepted)."""
    cudnn: str | None = None
    nccl: str | None = None
    gcc: str | None = None
    """The host compiler that nvcc is to use."""
    python: str | None = None
    glibc: str | None = None
    frameworks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Normalised project to version; ``""``: the newest that fits."""
    worlds: frozenset[str] = frozenset({"conda", "pypi"})
    channels: tuple[str, ...] = ()
    """conda channels in order of priority, as names or URLs; empty: every channel that the matrix knows."""
    indexes: bool = True
    """Whether wheel indexes beside PyPI (PyTorch's) may be used."""
    aside: bool = True
    """Whether one of them may serve a release that PyPI has for a CUDA that would do as well."""
    sure: bool = False
    """Whether builds that hardly have code for some GPU of the machines are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One sentence on why an axis has its value, and the matrix row that says so."""

    axis: str
    text: str
    row: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkBuild:
    """The build of one framework that a stack settled on, with every place that offers it."""

    project: str
    version: str
    cuda: str | None
    """CUDA version the build was compiled against; None for a CPU build."""
    specifier: str
    """PEP 440 specifier of the versions that are as good: the version alone, where the matrix has a row for each."""
    rows: tuple[MatrixBuild, ...]
    """The matrix rows that offer it, best first: one per conda channel or index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One consistent choice on every axis."""

    axes: Mapping[str, str]
    """Axis name to value; an axis that nothing bears on is left out. Sorted for printing by ``AXES``."""
    builds: tuple[FrameworkBuild, ...] = ()
    reasons: tuple[Reason, ...] = ()
    pythons: tuple[str, ...] = ()
    """Python minors that every chosen build supports, newest first; empty when nothing limits them."""
    warnings: tuple[str, ...] = ()
    doubts: tuple[Reason, ...] = ()
    """What nobody knows of it: taken for granted by nothing, and no reason to refuse it."""


AXES = ("platform", "glibc", "driver", "gpu", "cuda", "cudnn", "nccl", "gcc", "python")
"""The order in which the axes are shown; frameworks follow by name."""
