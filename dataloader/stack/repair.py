"""The nearest changes to a request that do have a stack: each is planned again before it is offered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, islice, product
from types import MappingProxyType
from typing import NamedTuple

from dataloader.base.values import dataclass
from dataloader.compat.versions import admits, key, major, minor, near, specifier_of
from dataloader.stack.model import CPU, Stack, StackRequest
from dataloader.stack.needs import has_version, needs_of_cuda
from dataloader.stack.search import first_stack
from dataloader.stack.space import Space, all_cudas, usable_rows

_MOST = 4
_TRIES_PER_AXIS = 12
"""How many values of one axis are planned before the next axis is tried; each takes a few milliseconds."""
_TRIES_IN_PAIRS = 6
"""How many values of each axis are planned together with those of another."""
_MOST_TRIES = 60
"""When to give up on changes of two axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One change (or two) to what was asked for, with the stack that it leads to."""

    text: str
    changes: tuple[tuple[str, str | None], ...]
    """Axis, framework, ``worlds`` or ``indexes`` to its new value; None: no longer asked for."""
    request: StackRequest
    stack: Stack


class _Edit(NamedTuple):
    axis: str
    value: str | None
    text: str


def repairs_of(space: Space) -> tuple[Repair, ...]:
    """Return the changes that work, cheapest first: one axis, then pairs of axes, then giving up the GPU."""
    singles = [list(edits) for edits in _edits(space) if edits]
    found = list(_working(space, ([edit] for edits in singles for edit in edits), one_per_axis=True))
    if not found:
        couples = combinations(singles, 2)
        near_ones = ((first[:_TRIES_IN_PAIRS], second[:_TRIES_IN_PAIRS]) for first, second in couples)
        pairs = islice((list(pair) for first, second in near_ones for pair in product(first, second)), _MOST_TRIES)
        found = list(_working(space, pairs, one_per_axis=True, most=1))
    if len(found) < _MOST:
        found += _working(space, _last_resorts(space), one_per_axis=False, most=1)
    return tuple(found[:_MOST])


def _last_resorts(space: Space) -> Iterator[list[_Edit]]:
    """Changes that give up much of what was asked: the GPU, or every version."""
    request = space.request
    pins = {"cudnn": request.cudnn, "nccl": request.nccl, "gcc": request.gcc}
    dropped = [_Edit(axis, None, f"drop --{axis}={wish}") for axis, wish in pins.items() if wish]
    if request.frameworks and request.cuda != CPU:
        yield [_Edit("cuda", CPU, "take CPU builds: --cuda=none"), *dropped]
    opened = [_Edit(name, "", f"leave the version of {name} open") for name, wish in request.frameworks.items() if wish]
    if opened:
        yield [*opened, *dropped]
    python = [_Edit("python", None, f"drop --python={request.python}")] if request.python else []
    if request.cuda:
        yield [_Edit("cuda", None, f"drop --cuda={request.cuda}"), *opened, *dropped, *python]


def _working(
    space: Space, trials: Iterable[Sequence[_Edit]], *, one_per_axis: bool, most: int = _MOST
) -> Iterator[Repair]:
    """Plan each trial; of the edits of one set of axes, the first that works is enough."""
    done: set[tuple[str, ...]] = set()
    for trial in trials:
        axes = tuple(edit.axis for edit in trial)
        if axes in done:
            continue
        request = space.request
        for edit in trial:
            request = edited(request, edit.axis, edit.value)
        stack = first_stack(space.matrix, replace(request, sure=True), *space.pools)
        if stack is None:
            continue
        if one_per_axis:
            done.add(axes)
        yield Repair(
            text=" and ".join(edit.text for edit in trial),
            changes=tuple((edit.axis, edit.value) for edit in trial),
            request=request,
            stack=stack,
        )
        most -= 1
        if not most:
            return


def edited(request: StackRequest, axis: str, value: str | None) -> StackRequest:
    """Return the request with one axis changed; a framework is changed, never dropped."""
    if axis in request.frameworks:
        return replace(request, frameworks=MappingProxyType({**request.frameworks, axis: value or ""}))
    if axis == "worlds":
        return replace(request, worlds=frozenset({"conda", "pypi"}), channels=())
    if axis == "indexes":
        return replace(request, indexes=True)
    if axis == "cuda":
        return replace(request, cuda=value)
    if axis == "cudnn":
        return replace(request, cudnn=value)
    if axis == "nccl":
        return replace(request, nccl=value)
    if axis == "gcc":
        return replace(request, gcc=value)
    if axis == "python":
        return replace(request, python=value)
    raise ValueError(f"{axis!r} is no axis of a request")


def _edits(space: Space) -> Iterator[list[_Edit]]:
    """The edits of each axis, nearest first; the axes in the order of what they cost.

    1. A pin that may simply go: cuDNN, NCCL, the host compiler.
    2. A place that the request leaves out: it changes nothing else.
    3. Another CUDA.
    4. Another Python.
    5. Another version of a framework.
    """
    request = space.request
    for axis, title, wish in (("cudnn", "cuDNN", request.cudnn), ("nccl", "NCCL", request.nccl)):
        if wish:
            yield [_Edit(axis, None, f"leave {title} to the framework: drop --{axis}={wish}")]
    if request.gcc:
        yield [_Edit("gcc", gcc, f"compile with GCC {gcc}: --gcc={gcc}") for gcc in _compilers(space)]
    if not request.indexes:
        yield [_Edit("indexes", None, "take wheels from the framework's own index too")]
    if "conda" not in request.worlds or request.channels:
        yield [_Edit("worlds", None, "take conda packages too: -c pytorch -c nvidia -c conda-forge")]
    if request.cuda == CPU:
        yield [_Edit("cuda", None, "take CUDA builds: drop --cuda=none")]
    elif request.cuda is not None:
        yield [_Edit("cuda", cuda, f"take CUDA {cuda}: --cuda={cuda}") for cuda in _cudas(space)]
    if request.python:
        yield [_Edit("python", python, f"take Python {python}: --python={python}") for python in _pythons(space)]
    for project, wish in request.frameworks.items():
        if wish:
            versions = _versions(space, project)
            yield [_Edit(project, version, f"take {project} {version}: {project}=={version}") for version in versions]


def _compilers(space: Space) -> list[str]:
    newest = {row.gcc_max for row in space.matrix.toolkits.values() if row.gcc_max}
    wanted = major(near(space.request.gcc or "0"))
    return sorted((gcc for gcc in newest if key(gcc) < key(wanted)), key=key, reverse=True)


def _cudas(space: Space) -> list[str]:
    """CUDA versions that the frameworks were built for (all, without frameworks), the nearest to the wish first."""
    request = space.request
    built = {
        row.cuda
        for project, wish in request.frameworks.items()
        for row in space.matrix.builds.get(project, ())
        if row.cuda and has_version(row, specifier_of(wish))
    }
    values = [cuda for cuda in built if "." in cuda] or list(space.matrix.toolkits)
    return _nearest(values, request.cuda or "0")[:_TRIES_PER_AXIS]


def _pythons(space: Space) -> list[str]:
    values = [candidate.value for candidate in space.candidates["python"]]
    return _nearest(values, minor(space.request.python or "3"))[:_TRIES_PER_AXIS]


def _versions(space: Space, project: str) -> list[str]:
    """Versions of a framework outside the wish, the nearest first."""
    wish = specifier_of(space.request.frameworks[project])
    rows = usable_rows(space.matrix, space.request, project)
    versions = sorted({row.version for row in rows if not admits(wish, row.version)}, key=key)
    inside = [row.version for row in rows if admits(wish, row.version)]
    pivot = max(inside, key=key) if inside else near(wish)
    return _nearest(versions, pivot, later_first=True)[: 2 * _TRIES_PER_AXIS]


def _nearest(values: Iterable[str], wish: str, *, later_first: bool = False) -> list[str]:
    """Sort versions by how many of them lie between each and the wish; on a tie earlier, or later, come first."""
    pivot = key(near(wish))
    ordered = sorted({value for value in values if value != wish}, key=key)
    earlier = [value for value in reversed(ordered) if key(value) < pivot]
    later = [value for value in ordered if key(value) >= pivot]
    sides = (later, earlier) if later_first else (earlier, later)
    ranked = [(rank, side, value) for side, part in enumerate(sides) for rank, value in enumerate(part)]
    return [value for _, _, value in sorted(ranked)]


def driver_advice(space: Space) -> str:
    """What a newer driver would bring, when the driver is what stands in the way; not a change to the request."""
    request = space.request
    if request.cuda in (None, CPU):
        return ""
    for candidate in all_cudas(space.matrix):
        if candidate.value == CPU or space.objects(candidate):
            continue
        for need in needs_of_cuda(space.matrix, candidate.value):
            if need.axis == "driver" and need.objection(space.candidates["driver"][0]):
                return f"or a newer driver: {need.text}; on data-centre GPUs the cuda-compat package stands in for it"
    return ""
