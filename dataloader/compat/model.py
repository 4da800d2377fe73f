"""The vocabulary that the compatibility matrix speaks to the solver: bounds, and rules between them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from dataloader.base.values import dataclass

if TYPE_CHECKING:
    from dataloader.compat.rows import WorldOrAny

AXIS = "axis:"
"""Names of axes begin so: packages of the problem alone, with values for versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A set of candidates of one package.

    ``package`` is a PyPI project name (normalised) that stands for the project in both worlds, unless
    ``world`` narrows it; a name that only conda has is written ``conda:NAME``.
    """

    package: str
    specifier: str = ""
    """PEP 440 specifier set (a conda version spec for ``conda:NAME``); empty means every version."""
    build: str = ""
    """Matcher on the conda build string as conda match specs have it: a glob, or a regular expression in ``^...$``.

    Binds conda records only; wheels have no build string and are never excluded by it.
    """
    world: WorldOrAny = "any"
    sha256: str = ""
    """The one file that is meant, where its hash is known beforehand. Counts in ``Rule.when`` alone."""
    channel: str = ""
    """Name of the one conda channel that is meant; empty: any. Counts in ``Rule.when`` alone."""

    def __str__(self) -> str:
        return f"{self.package}{self.specifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``when`` chosen implies every bound of ``then``.

    With ``requires`` each package of ``then`` must be present within its bound; without it each is only
    limited if something else brings it in.
    """

    id: str
    """Stable and readable, ``torch-numpy-abi``: shown in explanations as the row that decided."""
    when: Bound | None
    """``None``: always."""
    then: tuple[Bound, ...]
    requires: bool = False
    why: str = ""
    """One sentence in the user's terms."""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a package file is taken for: one row of the matrix, with all that follows from it.

    One wheel may be taken for several: with the CUDA libraries that it opens, or for the CPU without them.
    """

    id: str
    """The row's."""
    package: str
    """PyPI project, or ``conda:NAME``."""
    specifier: str
    """Versions that the row speaks for, local labels aside."""
    rules: tuple[Rule, ...]
    local: str = ""
    """Local version label of the wheels; empty: they have none."""
    build: str = ""
    """Matcher of the conda build string."""
    channel: str = ""
    """Name of the conda channel; empty: any, as one of no known name may mirror each."""
    preferred: bool = False
    """Taken before the file's other variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A wheel that a further index has by the matrix's account; its page is read when the wheel is chosen."""

    project: str
    version: str
    """With its local label."""
    index: str
    """URL of the Simple API that has it."""
    pythons: tuple[str, ...]
    """Minors; empty: not known."""
    rules: tuple[Rule, ...]
    variant: str
    """Row that it is of."""
    released: str = ""
    """ISO 8601 day; empty: not known."""
    on_pypi: bool = False
    """PyPI has the same build, without the label."""


class VersionReading(Protocol):
    """Rules that depend on what a candidate's own version says."""

    @property
    def package(self) -> str:
        """PyPI project, or ``conda:NAME``."""
        ...

    def rules(self, version: str) -> tuple[Rule, ...]:
        """Return what a candidate of that version asks for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StackNeeds:
    """What the matrix, the target and the stack options say to the package problem."""

    requirements: tuple[Bound, ...] = ()
    """Must be present: the frameworks that were asked for."""
    rules: tuple[Rule, ...] = ()
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Axis (``axis:cuda``) to its values: packages of the problem that no channel or index has."""
    variants: Mapping[str, tuple[Variant, ...]] = field(default_factory=dict)
    """Package of ``Variant.package`` to what its candidates can be taken for."""
    unknown: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    """Package to what holds for candidates that no variant describes; and, second, besides, where their metadata says
    nothing of CUDA either."""
    parts: frozenset[str] = frozenset()
    """Packages that say which CUDA the environment has."""
    announced: Mapping[str, tuple[Announced, ...]] = field(default_factory=dict)
    """Project to the wheels that further indexes have of it."""
    readings: tuple[VersionReading, ...] = ()
    paired: frozenset[str] = frozenset()
    """Projects of which each release was made for one release of another."""
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Project without wheels to the projects that stand for it (``cupy`` to ``cupy-cuda12x``, ...)."""
    ladder: tuple[tuple[Bound, ...], ...] = ((),)
    """What is done without where that can be, one rung after the other: CPU builds, unknown builds, ..."""
    extra_indexes: frozenset[str] = frozenset()
    """Indexes whose files are not what the matrix knows of PyPI, though their versions be the same."""
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Axis to the values that options and machines leave, of those axes that say which releases are worth a thought."""
    newest_cuda: str = ""
    """The newest CUDA that options and machines leave, where the request has to do with CUDA."""
    hints: tuple[Bound, ...] = ()
    """What the planner expects to be chosen: read ahead, and no more than that."""
    warnings: tuple[str, ...] = ()
    """What the user should know though it does not stop anything."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Project without wheels on PyPI to where its wheels for this stack are."""
