"""Whether a requirement can matter on a platform at all: what its marker rules out is not looked at further. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.request.specs.joined import title
from dataloader.request.specs.requirements import PypiRequirement, Requirement
from dataloader.request.specs.sources import UNBUILDABLE

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_PYTHONS = tuple(f"3.{minor}" for minor in range(6, 25))
_OF_THE_MACHINE = re.compile(r"platform_(release|version)")


def may_apply(marker: str | None, platforms: Collection[str], python: str = "") -> bool:
    """Say whether a marker holds on one of ``platforms`` (conda subdirs), for any Python that a specifier admits.

    >>> [may_apply(m, ["linux-64"], "<3.12") for m in (None, "sys_platform == 'win32'", "python_version >= '3.12'")]
    [True, False, False]
    """
    if marker is None or _OF_THE_MACHINE.search(marker):
        return True
    from packaging.markers import Marker, UndefinedEnvironmentName
    from packaging.specifiers import SpecifierSet

    from dataloader.base.markers import marker_environment

    parsed = Marker(marker)
    by_patch = re.search(r"full_version|implementation_version", marker)
    for version in _versions(SpecifierSet(python), every=by_patch is not None):
        try:
            if any(parsed.evaluate({**marker_environment(version, platform), "extra": ""}) for platform in platforms):
                return True
        except UndefinedEnvironmentName:
            return True
    return False


def _versions(wanted: SpecifierSet, *, every: bool) -> Iterator[str]:
    """Yield versions of Python that ``wanted`` admits: of each minor all patches, or one."""
    for minor in _PYTHONS:
        patches = (f"{minor}.{patch}" for patch in range(25))
        admitted = (version for version in patches if wanted.contains(version, prereleases=True))
        yield from admitted if every else islice(admitted, 1)


def applying(
    requirements: Iterable[Requirement], platforms: Collection[str], python: str, *, skip: bool = False
) -> tuple[Requirement, ...]:
    """Return the requirements that can matter on a platform; with ``skip`` without those that would have to be built.

    Raises:
        UsageError: ``requirement-unsupported`` (or what was found when it was read); one that matters cannot be met.
    """
    found = tuple(
        r for r in requirements if not isinstance(r, PypiRequirement) or may_apply(r.marker, platforms, python)
    )
    if skip:
        found = tuple(r for r in found if not is_unbuildable(r))
    refuse_unsupported(found)
    return found


def is_unbuildable(requirement: Requirement) -> bool:
    """Say whether a requirement is refused because nothing is built here."""
    return requirement.refusal is not None and requirement.refusal.code == UNBUILDABLE


def worth_keeping(requirements: Iterable[Requirement], platforms: Collection[str]) -> tuple[Requirement, ...]:
    """Return what a manifest can say: sources too, but not what else cannot be met, if it need not be here.

    Raises:
        UsageError: as :func:`applying`.
    """
    said = tuple(requirements)
    applying(
        (requirement for requirement in said if requirement.refusal is not None and requirement.source is None),
        platforms,
        "",
    )
    return tuple(requirement for requirement in said if requirement.refusal is None or requirement.source is not None)


def refuse_unsupported(requirements: Sequence[Requirement]) -> None:
    """Raise UsageError with everything that is asked for and cannot be met."""
    refused = [requirement for requirement in requirements if requirement.refusal is not None]
    if not refused:
        return
    first = refused[0].refusal
    assert first is not None
    raise UsageError(
        first.message if len(refused) == 1 else f"{', '.join(map(title, refused))}: these cannot be met",
        code=first.code,
        causes=tuple(requirement.refusal.message for requirement in refused if requirement.refusal)
        if len(refused) > 1
        else (),
        suggestions=tuple(
            dict.fromkeys(
                text for requirement in refused if requirement.refusal for text in requirement.refusal.suggestions
            )
        ),
    )
