"""The vocabulary that the compatibility matrix speaks to the solver: bounds, and rules between them. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader.compat.rows import World


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
    world: World = "any"
    sha256: str = ""
    """The one file that is meant, where its hash is known beforehand. Counts in ``Rule.when`` alone."""
    unlike: str = ""
    """Regular expression of local version labels (``cu12torch2.4cxx11abifalse``) that are not within; empty: none."""

    def __str__(self) -> str:
        return f"{self.package}{self.specifier}"

    def leaves_out(self, version: str) -> bool:
        """Say whether a version's local label puts it outside, whatever ``specifier`` says."""
        return bool(self.unlike) and re.fullmatch(self.unlike, version.partition("+")[2]) is not None


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
    replaced: tuple[str, ...] = ()
    """Projects that another package stands for (``cupy-cuda12x`` for ``cupy``): it meets requirements on them."""
    warnings: tuple[str, ...] = ()
    """What the user should know though it does not stop anything."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Project without wheels on PyPI to where its wheels for this stack are."""
