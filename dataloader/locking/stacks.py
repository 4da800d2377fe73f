"""From a request to stacks: what the planner is asked, and in which order it is asked for what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.versions import specifier_of
from dataloader.machine.target import Target
from dataloader.request.specs.joined import both
from dataloader.stack.model import Stack, StackRequest
from dataloader.stack.needs import has_version
from dataloader.stack.planner import iter_stacks, possible_stacks
from dataloader.stack.search import first_stack

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix
    from dataloader.request.request import Request


def stack_request(matrix: Matrix, request: Request, worlds: frozenset[str], channels: tuple[str, ...]) -> StackRequest:
    """Return what the planner is asked: stack options, and frameworks that were named as plain requirements."""
    plain = [r for r in request.pypi if r.name in matrix.builds and r.marker is None and not r.url]
    frameworks = {
        name: both([r.specifier for r in plain if r.name == name]) for name in dict.fromkeys(r.name for r in plain)
    }
    asked = {
        name: both([specifier_of(value), frameworks[name]]) if frameworks.get(name) else value
        for name, value in request.stack.items()
        if name in matrix.builds
    }
    return StackRequest(
        cuda=request.stack.get("cuda"),
        cudnn=request.stack.get("cudnn"),
        nccl=request.stack.get("nccl"),
        gcc=request.stack.get("gcc"),
        python=request.stack.get("python"),
        frameworks=dict(sorted({**frameworks, **asked}.items())),
        worlds=worlds,
        channels=channels,
    )


def stacks(matrix: Matrix, asked: StackRequest, targets: tuple[Target, ...]) -> Iterator[Stack]:
    """Yield the stacks of a request, best first, as a lock would have it: a further index serves what PyPI lacks.

    Raises:
        StackFailure: There is none, when the first is asked for.
    """
    yield from possible_stacks(matrix, replace(asked, aside=False), *targets)
    yield from iter_stacks(matrix, asked, *targets)


def planned(matrix: Matrix, asked: StackRequest, targets: tuple[Target, ...]) -> Stack | None:
    """Return the stack that a request is expected to come to; None where the matrix knows none."""
    return first_stack(matrix, replace(asked, aside=False), *targets) or first_stack(matrix, asked, *targets)


def refuse_contradiction(matrix: Matrix, asked: StackRequest, targets: tuple[Target, ...]) -> None:
    """Refuse options that contradict each other, or the machines, whatever packages there are.

    A cuDNN, NCCL or Python that the matrix does not know contradicts nothing that it knows: packages may have it. What
    it knows and the machines exclude contradicts the other options all the same.

    Raises:
        StackFailure: no stack has them all.
    """
    any_machines = tuple(target._replace(driver=None, driver_cuda=None, gpus=()) for target in targets)
    if any(_contradict(matrix, asked, machines) for machines in (targets, any_machines)):
        next(stacks(matrix, asked, targets))


def _contradict(matrix: Matrix, asked: StackRequest, targets: tuple[Target, ...]) -> bool:
    options = replace(asked, frameworks=MappingProxyType({}), python=None)
    if first_stack(matrix, StackRequest(worlds=asked.worlds, cudnn=asked.cudnn), *targets) is None:
        options = replace(options, cudnn=None)
    if first_stack(matrix, StackRequest(worlds=asked.worlds, nccl=asked.nccl), *targets) is None:
        options = replace(options, nccl=None)
    return first_stack(matrix, options, *targets) is None


def refusal(
    matrix: Matrix, asked: StackRequest, targets: tuple[Target, ...], failure: ResolutionFailure
) -> ResolutionFailure:
    """Return a refusal in the words of the matrix, where it knows all versions and no stack; else the packages' own."""
    for name, wish in asked.frameworks.items():
        specifier = specifier_of(wish)
        if not any(has_version(row, specifier) for row in matrix.builds[name]):
            return failure  # it did not fail for what the matrix knows
    try:
        next(stacks(matrix, asked, targets))
    except ResolutionFailure as error:
        return error
    return failure
