"""Newer versions of what a lock holds, moving little else; and what holds the rest back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from dataloader.base.errors import DataloaderError, ResolutionFailure
from dataloader.base.values import dataclass
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, Package
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement

if TYPE_CHECKING:
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request

MOST_SECONDS = 15.0
"""When to stop asking the solver what holds a package back."""

MOST_CAUSES = 6
"""Causes of a refusal that are told of one package."""
ORIGIN = "the upgrade"
"""Who asks for a newer version, where that is told."""

Solver: TypeAlias = Callable[["Request", "Lockfile | None"], Awaitable["Locked"]]
"""Solves a request beside a lock; raises DataloaderError where it cannot."""


async def upgraded(
    request: Request, old: Lockfile | None, names: Collection[str], solve: Solver, quietly: Solver
) -> Locked:
    """Return a lock with newer versions.

    Args:
        request: What is asked for.
        old: The lock as it is; its Python stays where it is this machine's.
        names: The packages that are to be newer; empty: all of them.
        solve: Solves, and says what is chosen.
        quietly: The same without a word.
    """
    if old is None:
        return await solve(request, None)
    if not names:
        return await solve(request, replace(old, packages=()))
    goals = await _goals(request, old, names, quietly)
    if not goals:
        return await solve(request, old)
    freed = replace(old, packages=tuple(p for p in old.packages if p.name not in goals))
    locked = await solve(_bound(request, goals.values(), ">="), freed)
    return replace(locked, lock=replace(locked.lock, inputs=request.inputs()))


async def _goals(request: Request, old: Lockfile, names: Collection[str], solve: Solver) -> dict[str, Package]:
    """Return the newest that each package can be: beside all that is locked, or where everything may move."""
    from dataloader.resolve.words.versions import is_newer

    goals = {p.name: p for p in old.packages if p.name in names}
    beside = replace(old, packages=tuple(p for p in old.packages if p.name not in names))
    for start in (beside, replace(old, packages=())):
        try:
            found = (await solve(request, start)).lock
        except ResolutionFailure:
            continue  # the other start, or the solve that counts, tells it
        goals |= {p.name: p for p in found.packages if p.name in goals and is_newer(p.version, goals[p.name].version)}
    before = {p.name: p.version for p in old.packages}
    return {name: package for name, package in goals.items() if package.version != before[name]}


def _bound(request: Request, packages: Iterable[Package], operator: str) -> Request:
    """Return the request with versions of packages limited, each in the world that it is of."""
    limits, constraints = list(request.limits), list(request.constraints)
    for package in packages:
        if isinstance(package, CondaPackage):
            limits.append(CondaRequirement(name=package.name, version=f"{operator}{package.version}", origin=ORIGIN))
        else:
            specifier = f"{operator}{_plain(package.version, operator)}"
            constraints.append(PypiRequirement(name=package.name, specifier=specifier, origin=ORIGIN))
    return replace(request, limits=tuple(limits), constraints=tuple(constraints))


def _plain(version: str, operator: str) -> str:
    """Return a version as an operator takes it: an ordered comparison admits no label (PEP 440)."""
    return version if operator == "==" else version.partition("+")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A package of which there is something newer, and why it stays."""

    name: str
    version: str
    newest: str
    why: tuple[str, ...]


async def find_held(
    request: Request,
    lock: Lockfile,
    newest: Mapping[str, str | None],
    solve: Solver,
    *,
    seconds: float = MOST_SECONDS,
) -> tuple[HeldBack, ...]:
    """Return what holds packages of a lock back from their newest releases.

    What is asked for, and what other locked packages need, is read; where neither says it, solving for the newest
    does, for as long as there is time.
    """
    from dataloader.resolve.words.versions import is_newer

    found = []
    deadline = time.monotonic() + seconds
    for package in lock.packages:
        last = newest.get(package.name)
        if last is None or not is_newer(last, package.version):
            continue
        why = (*_asked(request, package, last), *_needed(lock, package, last))
        if not why:
            in_time = time.monotonic() < deadline
            why = (await _refused(request, lock, package, last, solve),) if in_time else ("this was not looked into",)
        found.append(HeldBack(name=package.name, version=package.version, newest=last, why=why))
    return tuple(found)


def _asked(request: Request, package: Package, newest: str) -> tuple[str, ...]:
    """Return which requirements do not admit the newest."""
    if isinstance(package, CondaPackage):
        from dataloader.resolve.channels.rattler import meets

        newer = replace(package, version=newest)
        plain = [
            (r, CondaRequirement(name=r.name, version=r.version).match_spec)
            for r in (*request.conda, *request.limits)
            if r.name == package.name
        ]
        specs = [(r.origin, r.version or "") for r, spec in plain if not meets(newer, spec)]
        return tuple(dict.fromkeys(f"{origin} asks for conda:{package.name} {version}" for origin, version in specs))
    requirements = (*request.pypi, *request.constraints)
    said = [r for r in requirements if r.name == package.name and (r.url or not _admits(r.specifier, newest))]
    return tuple(dict.fromkeys(f"{r.origin} asks for {r.requirement}" for r in said))


def _needed(lock: Lockfile, package: Package, newest: str) -> tuple[str, ...]:
    """Return which locked packages do not go with the newest."""
    versions = {p.name: p.version for p in lock.packages}
    edges = [e for e in edges_of(lock) if e.target == package.name and not _admits(e.bound, newest)]
    return tuple(f"{e.source} {versions[e.source]} needs {package.name}{e.bound}" for e in edges)


def _admits(bound: str, version: str) -> bool:
    """Whether a specifier admits a version; one that is conda's alone is not judged here."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(bound).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


async def _refused(request: Request, lock: Lockfile, package: Package, newest: str, solve: Solver) -> str:
    """Say why there is no lock with the newest, or what it would cost."""
    wanted = replace(package, version=newest)
    try:
        other = (await solve(_bound(request, [wanted], "=="), lock)).lock
    except ResolutionFailure as failure:
        return "; ".join((failure.message, *failure.causes[:MOST_CAUSES]))
    except DataloaderError as error:
        return error.message
    now = {p.name: p.version for p in lock.packages}
    then = {p.name: p.version for p in other.packages}
    moved = [f"{n} {v} -> {then.get(n, 'none')}" for n, v in now.items() if n != package.name and then.get(n) != v]
    return f"it would take {', '.join(moved)}" if moved else f"`dataloader upgrade {package.name}` takes it"
