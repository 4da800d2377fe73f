"""The search for a stack: axes are resolved over the matrix alone, lazily and newest first; nothing is explained."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from types import MappingProxyType

from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from dataloader.base.errors import ResolutionFailure, UsageError
from dataloader.compat.labels import cuda_of_label
from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import is_wish, key, specifier_of
from dataloader.machine.target import Target
from dataloader.stack.model import CPU, FrameworkBuild, Stack, StackRequest, are_mapped
from dataloader.stack.needs import AxisValue, Need, cudnn_range, needs_of_build
from dataloader.stack.provider import StackProvider
from dataloader.stack.report import axes_of, reasons_of
from dataloader.stack.space import MACHINE_AXES, Space, space_of

_MAX_ROUNDS = 10_000
_LOCAL = re.compile(r"\+(cpu|cu\d+)(?=$|,|\s)")

Choice = Mapping[str, AxisValue]
ChoiceKey = tuple[str, "str | None"]
Forbidden = dict[str, frozenset[ChoiceKey]]
Refusal = tuple[Space, "ResolutionImpossible[Need, AxisValue]"]


def read_request(request: StackRequest) -> StackRequest:
    """Check every wish, and read ``torch==2.1.0+cu118`` as torch 2.1.0 for CUDA 11.8: the label says which is meant.

    Raises:
        UsageError: ``version-invalid``; a wish is neither a version nor a specifier.
    """
    asked = {"gcc": request.gcc, "cudnn": request.cudnn, "nccl": request.nccl, "python": request.python}
    asked |= {"cuda": None if request.cuda == CPU else request.cuda, "glibc": request.glibc}
    for axis, value in {**asked, **request.frameworks}.items():
        if value and not is_wish(value):
            raise UsageError(
                f"{axis} {value!r} is neither a version nor a specifier",
                code="version-invalid",
                suggestions=("write a version (11.8, 2.1) or a specifier (>=12,<13)",),
            )
    cuda = request.cuda
    frameworks = {}
    for project, wish in request.frameworks.items():
        found = _LOCAL.search(wish)
        frameworks[project] = _LOCAL.sub("", wish)
        if found and cuda is None:
            cuda = CPU if found[1] == "cpu" else cuda_of_label(found[1])
    return replace(request, cuda=cuda, frameworks=MappingProxyType(frameworks))


def attempts_of(request: StackRequest, targets: Sequence[Target]) -> tuple[StackRequest, ...]:
    """Return what is asked of the matrix, one after the other.

    Where nothing is said of CUDA, every framework gets a CUDA build if that can be; then builds for the CPU too. Builds
    that hardly have code for a GPU of the machines come after those that have.
    """
    cuda = (replace(request, cuda=""),) if request.cuda is None and request.frameworks else ()
    doubts = request.frameworks and not request.sure and any(target.gpus for target in targets)
    return (
        *((replace(stack_request, sure=True) for stack_request in (cuda or (request,))) if doubts else ()),
        *cuda,
        request,
    )


def first_stack(matrix: Matrix, request: StackRequest, *targets: Target) -> Stack | None:
    """Return the best stack, or None when none is found; no explanation is built."""
    request = read_request(request)
    if not are_mapped(targets):
        return None
    for attempt in attempts_of(request, targets):
        space = space_of(matrix, attempt, targets)
        with suppress(ResolutionFailure):  # it was not found
            choice = solve(space, {})
            if not isinstance(choice, ResolutionImpossible):
                return next(stacks_of_choice(space, choice))
    return None


def solve(space: Space, forbidden: Forbidden) -> Choice | ResolutionImpossible[Need, AxisValue]:
    """Return the best choice without what is forbidden, or why there is none.

    Raises:
        ResolutionFailure: ``too-many-rounds``; too many were tried.
    """
    resolver: Resolver[Need, AxisValue, str] = Resolver(StackProvider(space, forbidden), BaseReporter())
    always = [Need(axis=axis, text="", objection=lambda _: None) for axis in (*MACHINE_AXES, "cuda", "gcc")]
    try:
        return resolver.resolve([*space.wishes, *always], max_rounds=_MAX_ROUNDS).mapping
    except ResolutionImpossible as error:
        return error
    except ResolutionTooDeep as error:
        raise ResolutionFailure(
            f"no stack was found in {_MAX_ROUNDS} tries, and none was shown to be impossible",
            code="too-many-rounds",
            suggestions=("pin a framework or CUDA to narrow the search",),
        ) from error


def iter_choices(space: Space, first: Choice) -> Iterator[Choice]:
    """Enumerate by splitting: after a choice (a, b), what is left is not-a, and a with not-b (Lawler 1972)."""
    projects = tuple(space.request.frameworks) or ("cuda",)
    ranks = {
        project: {candidate.identity: rank for rank, candidate in reversed(list(enumerate(space.candidates[project])))}
        for project in projects
    }

    def rank(choice: Choice) -> tuple[int, ...]:
        places = [ranks[project][choice[project].identity] for project in projects]
        return (sum(places), *places)

    count = 0
    queue: list[tuple[tuple[int, ...], int, Choice, Forbidden, int]] = [(rank(first), count, first, {}, 0)]
    while queue:
        _, _, choice, forbidden, fixed = heapq.heappop(queue)
        yield choice
        for index in range(fixed, len(projects)):
            narrowed = dict(forbidden)
            for project in projects[:index]:
                mine = choice[project].identity
                narrowed[project] = frozenset(identity for identity in ranks[project] if identity != mine)
            project = projects[index]
            narrowed[project] = narrowed.get(project, frozenset()) | {choice[project].identity}
            other = solve(space, narrowed)
            if not isinstance(other, ResolutionImpossible):
                count += 1
                heapq.heappush(queue, (rank(other), count, other, narrowed, index))


def stacks_of_choice(space: Space, choice: Choice) -> Iterator[Stack]:
    """One stack for every set of places that publish the chosen builds, the best places first."""
    for builds in product(*(_places(_build(space, project, choice)) for project in sorted(space.request.frameworks))):
        pythons = _pythons(space, builds)
        yield Stack(
            axes=axes_of(space, choice, builds, pythons),
            builds=builds,
            reasons=tuple(reasons_of(space, choice, builds, pythons)),
            pythons=pythons,
        )


def _places(build: FrameworkBuild) -> list[FrameworkBuild]:
    """Split a build by the places that offer it.

    The first conda channel and PyPI stand together, for the solver to choose between; a further wheel index is asked
    only where neither has the build; the other channels follow one by one.
    """
    records = [row for row in build.rows if row.channel.startswith("conda:")]
    wheels = [row for row in build.rows if row.channel == "pypi"]
    indexed = [row for row in build.rows if row not in records and row not in wheels]
    groups = [[*records[:1], *wheels], *([row] for row in records[1:]), [] if wheels else indexed]
    return [replace(build, rows=tuple(group)) for group in groups if group]


def _build(space: Space, project: str, choice: Choice) -> FrameworkBuild:
    """The chosen row, and its siblings elsewhere that meet the same fixed demands."""
    chosen = choice[project].row
    assert chosen is not None
    rows = [chosen]
    for candidate in space.candidates[project]:
        row = candidate.row
        if row is chosen or row is None or candidate.identity != choice[project].identity:
            continue
        if row.id not in {other.id for other in rows} and _fits(space, candidate, choice):
            rows.append(row)
    specifier, version = _versions(chosen, specifier_of(space.request.frameworks[project]))
    return FrameworkBuild(project=project, version=version, cuda=chosen.cuda, specifier=specifier, rows=tuple(rows))


def _versions(row: MatrixBuild, wish: str) -> tuple[str, str]:
    """The specifier that the packages must meet, and the version to show for it."""
    if row.versions == f"=={row.version}":
        return row.versions, row.version
    if wish.startswith("==") and "," not in wish and "*" not in wish:
        return wish, wish[2:]
    return ",".join(dict.fromkeys(part for part in (row.versions, wish) if part)), row.version


def _fits(space: Space, candidate: AxisValue, choice: Choice) -> bool:
    """Whether a sibling meets what the machine, the person and the other frameworks have fixed."""
    assert candidate.row is not None
    asked = {need.axis for need in space.wishes}
    for need in needs_of_build(space.matrix, candidate.row):
        other = choice.get(need.axis)
        if other is None or not need.objection(other):
            continue
        if need.axis in MACHINE_AXES or need.axis in asked or need.axis == "cuda":
            return False
    specifier = cudnn_range(space.matrix, candidate.row)
    if specifier and "cudnn" in choice:
        return (
            key(specifier.lstrip("=<>~").split(",")[0].removesuffix(".*"))[0][:1] == key(choice["cudnn"].value)[0][:1]
        )
    return True


def _pythons(space: Space, builds: Sequence[FrameworkBuild]) -> tuple[str, ...]:
    """The Python minors on which every framework has a build and that the request admits."""
    wishes = [need for need in space.wishes if need.axis == "python"]
    limits = [frozenset(python for row in build.rows for python in row.python) for build in builds]
    limits = [
        limit for build, limit in zip(builds, limits, strict=True) if limit and all(row.python for row in build.rows)
    ]
    if not limits and not wishes:
        return ()
    return tuple(
        candidate.value
        for candidate in space.candidates["python"]
        if all(candidate.value in limit for limit in limits) and not any(need.objection(candidate) for need in wishes)
    )
