"""Environments that share their versions (pixi's solve-group): what all of them ask for, as one request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError
from dataloader.request.input_file import join_system
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement

if TYPE_CHECKING:
    from dataloader.lockfile.model import Package
    from dataloader.request.request import Request

_ALIKE = ("indexes", "options")
"""Parts of the inputs that decide where packages come from: no two environments of a group may differ in them."""


def joined(request: Request) -> Request:
    """Return what all environments of a request's solve-group ask for together.

    Raises:
        UsageError: ``solve-group-conflict``; no one solution can be for all of them.
    """
    members = sorted((request, *request.mates), key=lambda member: member.environment)
    _check_alike(members)

    def each(of: Callable[[Request], Iterable[Any]]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(part for member in members for part in of(member)))

    return replace(
        request,
        mates=(),
        variables={},
        groups=(),
        pypi=each(lambda member: member.pypi),
        conda=each(lambda member: member.conda),
        constraints=each(lambda member: member.constraints),
        limits=each(lambda member: member.limits),
        pythons=each(lambda member: member.pythons),
        channels=each(lambda member: member.channels),
        secrets=each(lambda member: member.secrets),
        gpus=each(lambda member: member.gpus),
        stack=_stack_of(members),
        system=join_system([member.system for member in members]),
    )


def within(request: Request, packages: Iterable[Package], together: Request, frameworks: Container[str]) -> Request:
    """Return the request of one environment of a group, where versions are those that were found for all of it.

    Args:
        request: Of the environment.
        packages: What was found for all of the group.
        together: What that was found for.
        frameworks: The axes of a stack that are packages: who asks for one has it.
    """
    from dataloader.lockfile.model import CondaPackage

    origin, held = "its solve-group", tuple(packages)
    wheels = (p for p in held if not isinstance(p, CondaPackage) and p.build is None)
    stack = {axis: said for axis, said in together.stack.items() if axis not in frameworks or axis in request.stack}
    return replace(
        together,
        pypi=request.pypi,
        conda=request.conda,
        stack=stack,
        constraints=(
            *together.constraints,
            *(PypiRequirement(name=p.name, specifier=f"=={p.version}", origin=origin) for p in wheels),
        ),
        limits=(
            *together.limits,
            *(
                CondaRequirement(name=p.name, version=f"=={p.version}", build=p.build, origin=origin)
                for p in held
                if isinstance(p, CondaPackage)
            ),
        ),
    )


def digests(mates: Iterable[Request]) -> dict[str, str]:
    """Return, for each environment of a group, a digest of what it asks for."""
    return {mate.environment: _digest(mate.inputs()) for mate in sorted(mates, key=lambda member: member.environment)}


def _digest(inputs: Mapping[str, object]) -> str:
    binding = {key: value for key, value in inputs.items() if key not in ("variables", "project")}
    return hashlib.sha256(json.dumps(binding, sort_keys=True).encode()).hexdigest()[:16]


def _stack_of(members: Iterable[Request]) -> dict[str, str]:
    found: dict[str, str] = {}
    for member in members:
        for axis, said in member.stack.items():
            if found.get(axis) and said and found[axis] != said:
                raise _conflict(f"{axis} is {found[axis]} for one and {said} for {member.environment}", member)
            found[axis] = said or found.get(axis, "")
    return found


def _check_alike(members: Iterable[Request]) -> None:
    first, *others = members
    for member in others:
        for part in _ALIKE:
            here, there = first.inputs().get(part), member.inputs().get(part)
            if here != there:
                raise _conflict(f"{part} of {first.environment}: {here}; of {member.environment}: {there}", member)


def _conflict(why: str, member: Request) -> UsageError:
    place = member.manifest.path if member.manifest else "the manifest"
    return UsageError(
        f"the environments of a solve-group share their versions, and {member.environment} cannot with the others",
        code="solve-group-conflict",
        causes=(why,),
        suggestions=(f"take {member.environment} out of its solve-group in {place}, or let both ask for the same",),
    )
