"""Say why there is no stack, in the user's terms: which wish, which row, which machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

from resolvelib import ResolutionImpossible

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import admits, key, specifier_of
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.needs import AxisValue, Need, cuda_range, cuda_wish, has_version, needs_of_build, needs_of_cuda
from dataloader.stack.repair import Repair, driver_advice, repairs_of
from dataloader.stack.report import span
from dataloader.stack.search import first_stack
from dataloader.stack.space import MACHINE_AXES, Space, all_cudas, is_offered, usable_rows
from dataloader.stack.titles import channel_title, pool_title

_MOST_CAUSES = 6


class StackFailure(ResolutionFailure):
    """No stack fits; ``repairs`` are changes to the request that do, cheapest first."""

    default_code = "no-stack"

    def __init__(self, message: str, *, causes: tuple[str, ...], repairs: tuple[Repair, ...], advice: str = "") -> None:
        suggestions = (*(repair.text for repair in repairs), *([advice] if advice else []))
        super().__init__(message, causes=causes, suggestions=suggestions)
        self.repairs = repairs


def failure_of(space: Space, error: ResolutionImpossible[Need, AxisValue]) -> StackFailure:
    """Return the failure with its causes and with the changes that were planned again and work."""
    causes = causes_of(space, error)
    if len(space.pools) > 1:
        causes += tuple(_pool_causes(space))
    return StackFailure(
        f"no stack has {wishes_title(space.request)}",
        causes=causes,
        repairs=repairs_of(space),
        advice=driver_advice(space),
    )


def causes_of(space: Space, error: ResolutionImpossible[Need, AxisValue]) -> tuple[str, ...]:
    """Return what stands in the way, most telling first."""
    return tuple(dict.fromkeys(_causes(space, error)))[:_MOST_CAUSES]


def wishes_title(request: StackRequest) -> str:
    """``CUDA 12.4, torch 2.1.0``."""
    named = (("CUDA", request.cuda), ("cuDNN", request.cudnn), ("NCCL", request.nccl), ("GCC", request.gcc))
    titles = {CPU: "CPU builds"}
    parts = [titles.get(value, f"{title} {value}".strip()) for title, value in named if value is not None]
    parts += [f"Python {request.python}"] if request.python else []
    parts += [f"{project} {wish}".strip() for project, wish in request.frameworks.items()]
    return ", ".join(parts) or "what the target needs"


def _causes(space: Space, error: ResolutionImpossible[Need, AxisValue]) -> Iterator[str]:
    if space.request.cuda == CPU and len(about := [wish.text for wish in space.wishes if wish.axis == "cuda"]) > 1:
        yield from about  # whatever was built
        return
    alone = [list(_project_causes(space, project)) for project in space.request.frameworks]
    for causes in alone:
        yield from causes
    if not any(alone):
        axis = list(_axis_causes(space))
        yield from axis or _joint_causes(space, error)


def _axis_causes(space: Space) -> Iterator[str]:
    """Why an axis that was asked for has no value by itself."""
    yield from _cuda_causes(space)
    for axis, title, wish in (("cudnn", "cuDNN", space.request.cudnn), ("nccl", "NCCL", space.request.nccl)):
        known = space.known[axis]
        wanted = [candidate for candidate in known if not space.objects(candidate)]
        if wish and known and not wanted:
            yield f"the matrix knows {title} {known[-1].value} to {known[0].value}, not {wish}"
        elif wish and known and not space.candidates[axis]:
            yield from _library_causes(space, wanted[0])


def _library_causes(space: Space, newest: AxisValue) -> Iterator[str]:
    """Why a library does not go with the machines or the CUDA: the newest stands for all that were asked for."""
    needs, cudas = space.needs(newest), space.choices("cuda")
    yield from (_sentence(*problem) for problem in _objections(space, needs))
    against = [need for need in needs if need.axis == "cuda" and all(map(need.objection, cudas))]
    for need in against[:1] if cudas else ():
        yield _sentence(need, f"CUDA {space.request.cuda} was asked for" if space.request.cuda else "")


def _cuda_causes(space: Space) -> Iterator[str]:
    if space.request.cuda in (None, CPU):
        return
    wanted = [candidate for candidate in all_cudas(space.matrix) if not space.objects(candidate)]
    if not wanted:
        known = list(space.matrix.toolkits)
        yield f"the matrix knows CUDA {known[0]} to {known[-1]}, not {space.request.cuda}"
        return
    problems = [list(_objections(space, needs_of_cuda(space.matrix, candidate.value))) for candidate in wanted]
    if all(problems):
        yield from (_sentence(need, detail) for need, detail in min(problems, key=len))


def _joint_causes(space: Space, error: ResolutionImpossible[Need, AxisValue]) -> Iterator[str]:
    """Each framework fits alone: what the best builds of two of them want of one axis."""
    best = [choices[0] for project in space.request.frameworks if (choices := space.candidates[project])]
    found = False
    for first, second in combinations(best, 2):
        for mine, other in product(space.needs(first), space.needs(second)):
            if mine.axis == other.axis and not _can_agree(space, mine, other):
                found = True
                yield mine.text
                yield other.text
    if not found:
        yield from (cause.requirement.text for cause in error.causes if cause.requirement.text)


def _can_agree(space: Space, mine: Need, other: Need) -> bool:
    candidates = space.candidates[mine.axis]
    return any(not mine.objection(candidate) and not other.objection(candidate) for candidate in candidates)


def _pool_causes(space: Space) -> Iterator[str]:
    fits = [(pool, first_stack(space.matrix, space.request, pool) is not None) for pool in space.pools]
    good = [pool_title(pool) for pool, fit in fits if fit]
    bad = [pool_title(pool) for pool, fit in fits if not fit]
    if good and bad:
        yield f"a stack fits {', '.join(good)}; none fits {', '.join(bad)}"
    elif good:
        yield f"each of {', '.join(good)} has a stack, but no one stack fits them all"


class _Trial(NamedTuple):
    """One build held against everything that is fixed."""

    row: MatrixBuild
    problems: tuple[tuple[Need, str], ...]

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(need.axis for need, _ in self.problems)

    @property
    def distance(self) -> tuple[bool, int]:
        """How far it is from what was asked: a build of another CUDA is further than any of the right one."""
        return ("cuda" in self.axes, len(self.axes))


def _project_causes(space: Space, project: str) -> Iterator[str]:
    """Why no build of one framework fits by itself; nothing when one does."""
    known = space.matrix.builds.get(project, ())
    if not known:
        yield f"the matrix has no builds of {project}"
        return
    wish = specifier_of(space.request.frameworks[project])
    named = [row for row in known if has_version(row, wish)]
    if not named:
        versions = sorted({row.version for row in known}, key=key)
        asked = space.request.frameworks[project]
        yield f"the matrix has no {project} {asked}: it knows {versions[0]} to {versions[-1]}"
        return
    offered = [row for row in usable_rows(space.matrix, space.request, project) if has_version(row, wish)]
    if not offered:
        yield _places_sentence(space, project, named)
        return
    trials = [_Trial(row, tuple(_row_problems(space, row))) for row in offered]
    if not all(trial.problems for trial in trials):
        return
    nearest = min(trial.distance for trial in trials)
    best = [trial for trial in trials if trial.distance == nearest]
    yield from _summary(space, project, best, named)


def _row_problems(space: Space, row: MatrixBuild) -> Iterator[tuple[Need, str]]:
    needs = list(needs_of_build(space.matrix, row))
    yield from _objections(space, needs)
    cuda_needs = [need for need in needs if need.axis == "cuda"]
    runtimes = [
        candidate
        for candidate in all_cudas(space.matrix)
        if not any(need.objection(candidate) for need in cuda_needs) and not space.objects(candidate)
    ]
    if not runtimes:
        yield cuda_needs[0], ""
        return
    blocked = [list(_objections(space, needs_of_cuda(space.matrix, candidate.value))) for candidate in runtimes]
    if all(blocked):
        yield from min(blocked, key=len)


def _objections(space: Space, needs: Iterator[Need] | Sequence[Need]) -> Iterator[tuple[Need, str]]:
    """The needs that no candidate of a fixed axis meets, with the machine's or the request's side."""
    for need in needs:
        if need.axis == "cuda":
            continue
        candidates = space.known.get(need.axis, space.candidates[need.axis])
        choices = [candidate for candidate in candidates if not space.objects(candidate)]
        objections = [need.objection(candidate) for candidate in choices]
        if objections and all(objection is not None for objection in objections):
            machine = need.axis in MACHINE_AXES
            wishes = [wish.text for wish in space.wishes if wish.axis == need.axis]
            yield need, (objections[0] or "") if machine else ", ".join(wishes)


def _sentence(need: Need, detail: str) -> str:
    return f"{need.text}; {detail}" if detail else need.text


def _summary(space: Space, project: str, trials: Sequence[_Trial], named: Sequence[MatrixBuild]) -> Iterator[str]:
    """The least that would have to give, one sentence per axis."""
    axes = trials[0].axes
    if "cuda" in axes:
        yield from _cuda_sentences(space, project, trials, named)
    for axis in sorted(axes - {"cuda"}):
        if axis == "python":
            yield _python_sentence(space, project, trials)
            continue
        # The first trial is the newest build: its sentence stands for the others.
        yield next(_sentence(*problem) for trial in trials for problem in trial.problems if problem[0].axis == axis)


def _cuda_sentences(
    space: Space, project: str, trials: Sequence[_Trial], named: Sequence[MatrixBuild]
) -> Iterator[str]:
    wish = space.request.cuda or ""
    versions = sorted({trial.row.version for trial in trials}, key=key)
    title = f"{project} {versions[0]}" if len(versions) == 1 else f"{project} {versions[0]} to {versions[-1]}"
    if wish == CPU:
        yield f"{title} has no CPU build on {_places(trials)}"
        elsewhere = [row for row in named if row.cuda is None and not is_offered(space.matrix, space.request, row)]
        if elsewhere:
            yield _places_sentence(space, project, elsewhere)
        return
    variants = sorted({trial.row.cuda for trial in trials if trial.row.cuda}, key=key)
    built = f"for CUDA {_listed(variants)}" if variants else "for the CPU only"
    where = _places(trials)
    specifier = cuda_wish(wish)
    elsewhere = [row for row in named if not is_offered(space.matrix, space.request, row) and _runs(row, specifier)]
    if elsewhere:
        yield f"on {where}, {title} was built {built}"
        yield _places_sentence(space, project, elsewhere)
        return
    yield f"{title} was built {built}{_other_version_hint(space, project, specifier, versions)}"


def _runs(row: MatrixBuild, specifier: str) -> bool:
    """Whether some CUDA within the wish runs the build: its own, or one that its range shares."""
    if row.cuda is None:
        return False
    pin = specifier[2:].removesuffix(".*")
    return admits(specifier, row.cuda) or (specifier.startswith("==") and admits(cuda_range(row), pin))


def _other_version_hint(space: Space, project: str, specifier: str, versions: Sequence[str]) -> str:
    """Which versions have the wanted CUDA: ``; CUDA 12.4 needs torch 2.4.0 or later``."""
    wish = space.request.cuda
    if not wish:
        return ""
    rows = [
        row
        for row in space.matrix.builds[project]
        if _runs(row, specifier) and is_offered(space.matrix, space.request, row)
    ]
    if not rows:
        return f"; no build of {project} is for CUDA {wish}"
    having = sorted({row.version for row in rows}, key=key)
    if key(having[0]) > key(versions[-1]):
        return f"; CUDA {wish} needs {project} {having[0]} or later"
    if key(having[-1]) < key(versions[0]):
        return f"; the last with CUDA {wish} is {project} {having[-1]}"
    return f"; CUDA {wish} has {project} {having[0]} to {having[-1]}"


def _python_sentence(space: Space, project: str, trials: Sequence[_Trial]) -> str:
    pythons = {python for trial in trials for python in trial.row.python}
    versions = sorted({trial.row.version for trial in trials}, key=key)
    title = f"{project} {versions[0]}" if len(versions) == 1 else f"{project} {versions[0]} to {versions[-1]}"
    return f"{title} was built for Python {span(tuple(pythons))}; Python {space.request.python} was asked for"


def _places_sentence(space: Space, project: str, rows: Sequence[MatrixBuild]) -> str:
    """Where builds are published that the request may not take from: those of the wanted CUDA, if there are any."""
    wish = space.request.cuda or ""
    numbered = wish not in ("", CPU)
    fitting = [row for row in rows if numbered and _runs(row, cuda_wish(wish))]
    places = [
        channel_title(row.channel)
        if row.channel.startswith("conda:") or row.channel == "pypi"
        else space.matrix.indexes[row.channel].url_of(row.cuda)
        for row in fitting or rows
    ]
    newest = max(fitting or rows, key=lambda row: key(row.version))
    what = ""
    if fitting or wish == CPU:
        what = f" for CUDA {newest.cuda}" if newest.cuda else " for the CPU"
    if fitting and newest.cuda and wish[0].isdigit() and not admits(cuda_wish(wish), newest.cuda):
        what += f", which runs with {wish},"
    where = _listed(list(dict.fromkeys(places)))
    return f"{project} {newest.version}{what} is published on {where}, which this request leaves out"


def _places(trials: Sequence[_Trial]) -> str:
    return _listed(list(dict.fromkeys(channel_title(trial.row.channel) for trial in trials)))


def _listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


__all__ = ["StackFailure", "failure_of", "wishes_title"]
