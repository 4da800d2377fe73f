"""Choose a stack: the axes are resolved over the matrix alone, lazily and newest first."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator
from dataclasses import replace

from resolvelib import ResolutionImpossible

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.matrix import Matrix
from dataloader.compat.versions import specifier_of
from dataloader.machine.target import Target
from dataloader.stack.doubts import doubts_of
from dataloader.stack.model import CPU, PLATFORM, FrameworkBuild, Reason, Stack, StackRequest
from dataloader.stack.search import Refusal, attempts_of, iter_choices, read_request, solve, stacks_of_choice
from dataloader.stack.space import Space, space_of


def iter_stacks(matrix: Matrix, request: StackRequest, *targets: Target) -> Iterator[Stack]:
    """Yield the stacks that fit the request on every target, best first; each is computed when asked for.

    Two stacks differ in the version or the CUDA of some framework (of the CUDA axis, when no framework was asked
    for): where a build is published in several places, one stack names them all.

    Raises:
        StackFailure: There is none, when the first is asked for.
    """
    refusal = yield from possible_stacks(matrix, request, *targets)
    if refusal is not None:
        from dataloader.stack.explain import failure_of

        raise failure_of(*refusal)


def possible_stacks(matrix: Matrix, request: StackRequest, *targets: Target) -> Generator[Stack, None, Refusal | None]:
    """Yield the stacks of :func:`iter_stacks`; where there are none, return what refused the request, unexplained."""
    request = read_request(request)
    unknown = [target for target in targets if target.platform != PLATFORM]
    if unknown:
        yield _unmapped(request, unknown[0])
        return None
    found: set[Hashable] = set()
    refusal: Refusal | None = None
    for attempt in attempts_of(request, targets):
        space = space_of(matrix, attempt, targets)
        first = solve(space, {})
        if isinstance(first, ResolutionImpossible):
            refusal = (space, first)
            continue
        for choice in iter_choices(space, first):
            for stack in stacks_of_choice(space, choice):
                if (identity := _identity(stack)) not in found:  # else it came with an earlier attempt
                    found.add(identity)
                    yield replace(stack, warnings=_warnings(space, stack), doubts=_doubts(space, stack))
    return None if found else refusal


def _unmapped(request: StackRequest, target: Target) -> Stack:
    """A stack for a platform that the matrix has no rows for: the versions asked for, and the packages decide."""
    cuda = request.cuda or ""
    if cuda not in ("", CPU) and target.platform.startswith("osx-"):
        raise ResolutionFailure(f"no stack has CUDA {cuda}: there is no CUDA on {target.platform}", code="no-stack")
    builds = tuple(
        FrameworkBuild(project=project, version=wish, cuda=None, specifier=specifier_of(wish), rows=())
        for project, wish in sorted(request.frameworks.items())
    )
    asked = {"cuda": cuda, "cudnn": request.cudnn, "nccl": request.nccl, "gcc": request.gcc, "python": request.python}
    axes = {"platform": target.platform} | {axis: value for axis, value in asked.items() if value}
    return Stack(
        axes=axes | {build.project: build.version for build in builds if build.version},
        builds=builds,
        warnings=(f"the matrix has no rows for {target.platform}: builds are left to the packages' own metadata",),
    )


def _identity(stack: Stack) -> Hashable:
    builds = [(build.project, build.version, build.cuda, build.rows[0].channel) for build in stack.builds]
    return tuple(builds) or stack.axes.get("cuda")


def _without_cuda(stack: Stack) -> list[FrameworkBuild]:
    return [build for build in stack.builds if build.cuda is None]


def _warnings(space: Space, stack: Stack) -> tuple[str, ...]:
    """Say that CPU builds were taken, and why, where nobody asked for them."""
    without = _without_cuda(stack)
    if space.request.cuda is not None or not without:
        return ()
    names = ", ".join(f"{build.project} {build.version}" for build in without)
    wished = space_of(space.matrix, replace(space.request, cuda=""), space.pools)
    refusal = solve(wished, {})
    if not isinstance(refusal, ResolutionImpossible):
        return (f"{names}: a build for the CPU is taken",)
    from dataloader.stack.explain import causes_of

    why = "; ".join(causes_of(wished, refusal)[:2])
    return (f"{names}: a build for the CPU is taken, for no CUDA stack fits ({why})",)


def _doubts(space: Space, stack: Stack) -> tuple[Reason, ...]:
    rows = [build.rows[0] for build in stack.builds if build.rows]
    axes = stack.axes
    return doubts_of(space.matrix, space.request, rows, axes.get("cuda", ""), axes.get("cudnn", ""), space.pools)
