"""The nearest changes to a refused request: each is solved again, packages and all, before it is offered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataloader.errors import DataloaderError, ResolutionFailure

if TYPE_CHECKING:
    from dataloader.locking import Locked
    from dataloader.request import Request

MOST = 3
"""Changes offered."""
MOST_SECONDS = 15.0
"""When to stop looking for more."""

_HOPELESS = {"unknown-package"}
"""Refusals that no change of versions mends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A changed request that solves, and what it solves to."""

    text: str
    request: Request
    locked: Locked


async def find_fixes(
    request: Request, failure: ResolutionFailure, solve: Callable[[Request], Awaitable[Locked]], *, most: int = MOST
) -> tuple[Fix, ...]:
    """Return changes to ``request`` that were solved and work, cheapest first.

    Args:
        request: What was refused.
        failure: Why.
        solve: Solves a request; raises DataloaderError where it cannot.
        most: How many to look for.
    """
    found: list[Fix] = []
    if failure.code in _HOPELESS:
        return ()
    deadline = time.monotonic() + MOST_SECONDS
    for text, changed in _changes(request, failure):
        if len(found) == most or time.monotonic() > deadline:
            break
        try:
            locked = await solve(changed)
        except DataloaderError:
            continue  # this change does not help; the first refusal stays the one that is told
        found.append(Fix(text=_with_versions(text, request, changed, locked), request=changed, locked=locked))
    return tuple(found)


def _changes(request: Request, failure: ResolutionFailure) -> Iterator[tuple[str, Request]]:
    """Yield changed requests, cheapest first: what the planner found, one pin loosened, one stack option dropped."""
    from dataloader.stack.explain import StackFailure

    if isinstance(failure, StackFailure):
        for repair in failure.repairs:
            yield repair.text, _edited(request, repair.changes)
    told = " ".join((failure.message, *failure.causes))
    pins = [r for r in request.pypi if r.specifier and not r.url]
    for pin in sorted(pins, key=lambda r: r.name not in told):
        rest = tuple(replace(r, specifier="") if r == pin else r for r in request.pypi)
        yield f"leave the version of {pin.name} open", replace(request, pypi=rest)
    for axis, value in request.stack.items():
        if value:
            yield f"leave {axis} open instead of {value}", _edited(request, ((axis, None),))


def _edited(request: Request, changes: tuple[tuple[str, str | None], ...]) -> Request:
    """Return the request with axes changed; ``worlds`` brings the channels that carry frameworks."""
    from dataloader.compat.versions import specifier_of
    from dataloader.request import CHANNEL_ALIAS

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
    loosened = [new.name for old, new in zip(before.pypi, after.pypi, strict=True) if old != new]
    came_to = [f"{name} {versions[name]}" for name in loosened if name in versions and versions[name] not in text]
    return f"{text} ({', '.join(came_to)})" if came_to else text
