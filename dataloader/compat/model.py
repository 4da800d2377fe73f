"""The vocabulary that the compatibility matrix speaks to the solver: bounds and rules. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

World: TypeAlias = Literal["any", "pypi", "conda"]


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
    """Glob on the conda build string; binds conda records only."""
    world: World = "any"


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
class StackNeeds:
    """What a chosen stack asks of the package problem."""

    requirements: tuple[Bound, ...] = ()
    """Must be present (``torch ==2.1.0`` and the like)."""
    rules: tuple[Rule, ...] = ()
    indexes: tuple[str, ...] = ()
    """Extra Simple-API indexes that the stack wants (a PyTorch wheel index), used for ``index_only`` projects."""
    index_only: tuple[str, ...] = ()
    """Projects whose wheels must come from ``indexes`` when they are served there."""
