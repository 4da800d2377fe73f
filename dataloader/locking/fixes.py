"""The nearest changes to a refused request: each is solved again, packages and all, before it is offered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dataloader.base.errors import DataloaderError, ResolutionFailure
from dataloader.base.values import dataclass
from dataloader.request.specs.joined import title, version_of
from dataloader.request.specs.requirements import PypiRequirement, Requirement

if TYPE_CHECKING:
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request

MOST = 3
"""Changes offered."""
MOST_SECONDS = 15.0
"""When to stop looking for more."""

_NO_PACKAGES = {"cuda", "cudnn", "nccl", "gcc", "python"}
"""Stack options that bring no package by themselves: beside them alone, leaving out a requirement leaves nothing."""

_HOPELESS = {"unknown-package"}
"""Refusals that no change of versions mends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A changed request that solves, and what it solves to."""

    text: str
    request: Request
    locked: Locked


def may_be_mended(failure: ResolutionFailure) -> bool:
    """Say whether changes to a request are worth looking for."""
    return failure.code not in _HOPELESS


async def find_fixes(
    request: Request,
    failure: ResolutionFailure,
    solve: Callable[[Request], Awaitable[Locked]],
    *,
    most: int = MOST,
    seconds: float = MOST_SECONDS,
) -> tuple[Fix, ...]:
    """Return changes to ``request`` that were solved and work, cheapest first.

    Args:
        request: What was refused.
        failure: Why.
        solve: Solves a request; raises DataloaderError where it cannot.
        most: How many to look for.
        seconds: When to stop looking for more.
    """
    found: list[Fix] = []
    if not may_be_mended(failure):
        return ()
    deadline = time.monotonic() + seconds
    for text, changed in _changes(request, failure):
        if len(found) == most or time.monotonic() > deadline:
            break
        try:
            locked = await asyncio.wait_for(solve(changed), deadline - time.monotonic())
        except asyncio.TimeoutError:
            break
        except DataloaderError:
            continue  # this change does not help; the first refusal stays the one that is told
        if all(locked.lock.packages != fix.locked.lock.packages for fix in found):  # else it is mended with less
            found.append(Fix(text=_with_versions(text, request, changed, locked), request=changed, locked=locked))
    return tuple(found)


def _changes(request: Request, failure: ResolutionFailure) -> Iterator[tuple[str, Request]]:
    """Yield changed requests, cheapest first.

    1. What the planner found.
    2. One pin loosened, those that the refusal names first.
    3. One stack option dropped, or the date.
    4. One requirement that the refusal names left out, where more than one thing is asked for.
    5. Every pin loosened, and then every stack option dropped too.
    """
    from dataloader.stack.explain import StackFailure

    if isinstance(failure, StackFailure):
        for repair in failure.repairs:
            yield repair.text, _edited(request, repair.changes)
    told = " ".join((failure.message, *failure.causes))
    asked: tuple[Requirement, ...] = (*request.pypi, *request.conda)
    pins = [requirement for requirement in asked if _is_pin(requirement)]
    for pin in sorted(pins, key=lambda pin: pin.name not in told):
        yield _loosening(pin, pins), _opened(request, (pin,))
    settled = [(axis, value) for axis, value in request.stack.items() if value]
    for axis, value in settled:
        yield f"leave {axis} open instead of {value}", _edited(request, ((axis, None),))
    if request.exclude_newer:
        yield f"leave out --exclude-newer={request.exclude_newer}", replace(request, exclude_newer=None)
    if len(asked) + len(request.stack.keys() - _NO_PACKAGES) > 1:
        for name in dict.fromkeys(title(requirement) for requirement in asked if requirement.name in told):
            yield f"leave out {name}", _without(request, name)
    if len(pins) > 1:
        yield "leave every version open", _opened(request, pins)
    if pins and settled:
        dropped = tuple((axis, None) for axis, _ in settled)
        yield "leave every version and the stack open", _edited(_opened(request, pins), dropped)


def _loosening(pin: Requirement, pins: Collection[Requirement]) -> str:
    """Say which version is left open: where several bind one project, which of them."""
    if sum(title(another) == title(pin) for another in pins) == 1:
        return f"leave the version of {title(pin)} open"
    return f"leave out that {title(pin)} has to be {version_of(pin)} ({pin.origin})"


def _is_pin(requirement: Requirement) -> bool:
    if isinstance(requirement, PypiRequirement):
        return bool(requirement.specifier) and not requirement.url
    return bool(requirement.version or requirement.build)


def _opened(request: Request, pins: Collection[Requirement]) -> Request:
    """Return the request with the versions of ``pins`` left open."""
    return replace(
        request,
        pypi=tuple(replace(r, specifier="") if r in pins else r for r in request.pypi),
        conda=tuple(replace(r, version=None, build=None, build_number=None) if r in pins else r for r in request.conda),
    )


def _without(request: Request, name: str) -> Request:
    return replace(
        request,
        pypi=tuple(r for r in request.pypi if title(r) != name),
        conda=tuple(r for r in request.conda if title(r) != name),
    )


def _edited(request: Request, changes: tuple[tuple[str, str | None], ...]) -> Request:
    """Return the request with axes changed; ``worlds`` brings the channels that carry frameworks."""
    from dataloader.compat.versions import specifier_of
    from dataloader.request.supply import CHANNEL_ALIAS

    for axis, value in changes:
        if axis == "worlds":
            more = tuple(f"{CHANNEL_ALIAS}/{name}/" for name in ("pytorch", "nvidia", "conda-forge"))
            request = replace(request, conda_mode="auto", channels=tuple(dict.fromkeys((*request.channels, *more))))
            continue
        stack = {name: wish for name, wish in request.stack.items() if name != axis}
        named = [r for r in request.pypi if r.name == axis]
        if value is not None and axis != "indexes":
            stack[axis] = value
        elif axis in request.stack and named == [] and axis not in ("cuda", "cudnn", "nccl", "gcc", "python"):
            stack[axis] = ""  # a framework is loosened, never dropped
        specifier = specifier_of(value) if value else ""
        pypi = tuple(replace(r, specifier=specifier) if r.name == axis else r for r in request.pypi)
        request = replace(request, stack=stack, pypi=pypi)
    return request


def _with_versions(text: str, before: Request, after: Request, locked: Locked) -> str:
    """Say which version a loosened requirement came to."""
    versions = {p.name: p.version for p in locked.lock.packages}
    old: tuple[Requirement, ...] = (*before.pypi, *before.conda)
    new: tuple[Requirement, ...] = (*after.pypi, *after.conda)
    left = {requirement.name for requirement in new}
    loosened = dict.fromkeys(
        requirement.name for requirement in old if requirement not in new and requirement.name in left
    )
    came_to = [f"{name} {versions[name]}" for name in loosened if name in versions and versions[name] not in text]
    return f"{text} ({', '.join(came_to)})" if came_to else text
