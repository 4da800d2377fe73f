"""A request in the solver's words: what is asked, what is preferred, and where it was said."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.versions import specifier_of
from dataloader.request.request import Request
from dataloader.request.specs.joined import origins, together
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.resolve.model import Requirement


def conda_packages(request: Request) -> list[CondaRequirement]:
    """Return what only a channel can serve; a plain ``python`` may be this machine's."""
    return [r for r in request.conda if r.name != "python" or r.build or r.channel]


def requirements_of(request: Request) -> Iterator[Requirement]:
    """Yield what the solver is asked: one requirement for each project and marker."""
    from dataloader.resolve.model import Requirement

    asked, limits = together(request.pypi), together(request.constraints)
    # What limits a project that is asked for anyway is part of what is asked: the solver then sees it from the start.
    limited = together([*asked, *(c for c in limits if any(_meets(c, r) for r in asked))])
    rest = [c for c in limits if not any(_meets(c, r) for r in asked)]
    for requirement, constraint in [*((r, False) for r in limited), *((c, True) for c in rest)]:
        yield Requirement(
            name=requirement.name,
            specifier=requirement.specifier,
            extras=requirement.extras,
            marker=requirement.marker or "",
            only_pypi=requirement.world == "pypi",
            constraint=constraint,
            origin=requirement.origin,
        )


def _meets(requirement: PypiRequirement, other: PypiRequirement) -> bool:
    return (requirement.name, requirement.marker) == (other.name, other.marker)


def python_specifier(request: Request) -> str:
    """Return a PEP 440 specifier on Python from the request."""
    asked = [request.stack.get("python"), *(r.version for r in request.conda if r.name == "python")]
    return ",".join(specifier_of(bound) for bound in asked if bound)


def first_admitted(specifier: str) -> list[str]:
    """Return the first Python 3 that a specifier on it admits, if it says anything: one that another machine may have.

    >>> first_admitted(">=3.12,<3.13"), first_admitted("")
    (['3.12.0'], [])
    """
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(specifier)
    pythons = (f"3.{minor}.{patch}" for minor in range(6, 25) for patch in range(25))
    return list(islice((python for python in pythons if wanted.contains(python)), 1 if specifier else 0))


def any_python(request: Request, channels: Collection[str]) -> str:
    """Return a specifier that asks for Python where nothing is asked for yet, and no channel could serve anything.

    Then an environment is one of this machine's Python, as a virtual environment is; from channels it may have none.
    """
    return "" if channels or request.pypi or request.conda or request.stack else ">=3"


def preferred_by(request: Request, reporter: Reporter) -> dict[str, str]:
    """Return name -> file name of what the locks hold that a first lock is to prefer."""
    if not request.prefer:
        return {}
    from dataloader.request.readers.locks import preferences

    others, told = preferences(request.prefer, request.platform)
    for line in told:
        reporter.warn(line)
    return others


def said_in_several_places(request: Request, failure: ResolutionFailure) -> tuple[str, ...]:
    """Say of each project that a refusal names where it was asked for, if that was in several places."""
    told = " ".join((failure.message, *failure.causes))
    asked: list[PypiRequirement | CondaRequirement] = [*request.pypi, *request.conda]
    found = []
    for name in dict.fromkeys(r.name for r in asked):
        group = [r for r in (*asked, *request.constraints) if r.name == name]
        text = origins(group)
        if len(set(group)) > 1 and text not in told and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", told):
            found.append(f"{name} is asked for by {text}")
    if len(request.pythons) > 1 and re.search(r"\bPython\b", told):
        found.append(f"Python is asked for by {', '.join(request.pythons[:-1])} and {request.pythons[-1]}")
    return tuple(found)
