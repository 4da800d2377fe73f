"""The candidates of every axis for one request and one or several machines, best first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import admits, key, minor, prefix_of, specifier_of
from dataloader.machine.target import Target
from dataloader.stack.answers import compilers, is_unlikely
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.needs import (
    AxisValue,
    Need,
    cudnn_range,
    has_version,
    is_full,
    nccl_range,
    needs_of_build,
    needs_of_cuda,
    needs_of_cudnn,
    needs_of_request,
    words,
)
from dataloader.stack.titles import build_title

T = TypeVar("T")

MACHINE_AXES = ("glibc", "driver", "gpu")
"""Axes that the target decides: one candidate each."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Everything the resolver may choose from."""

    matrix: Matrix
    request: StackRequest
    pools: tuple[Target, ...]
    candidates: Mapping[str, tuple[AxisValue, ...]]
    """Axis to its candidates, best first."""
    wishes: tuple[Need, ...]
    """What the request demands."""
    known: Mapping[str, tuple[AxisValue, ...]] = field(default_factory=dict)
    """Library to every version that the matrix knows, newest first."""
    _choices: dict[str, tuple[AxisValue, ...]] = field(default_factory=dict, init=False)

    def is_viable(self, candidate: AxisValue) -> bool:
        """Whether a candidate meets the wishes on its axis, and each of its needs can be met by itself.

        What fails here fails in every stack; sorting it out first leaves the resolver with the true choices.
        """
        if self.objects(candidate):
            return False
        return all(
            any(need.objection(other) is None for other in self.choices(need.axis)) for need in self.needs(candidate)
        )

    def choices(self, axis: str) -> tuple[AxisValue, ...]:
        """Return the candidates of an axis that the request admits."""
        if axis not in self._choices:
            self._choices[axis] = tuple(candidate for candidate in self.candidates[axis] if not self.objects(candidate))
        return self._choices[axis]

    def forget(self, axis: str) -> None:
        """Look at the candidates of an axis anew: they are fewer now."""
        self._choices.pop(axis, None)

    def objects(self, candidate: AxisValue) -> bool:
        """Whether the request rules a candidate out."""
        return any(wish.objection(candidate) for wish in self._wishes_of.get(candidate.axis, ()))

    @cached_property
    def _wishes_of(self) -> Mapping[str, tuple[Need, ...]]:
        axes = {wish.axis for wish in self.wishes}
        return {axis: tuple(wish for wish in self.wishes if wish.axis == axis) for axis in axes}

    def needs(self, candidate: AxisValue) -> tuple[Need, ...]:
        """Return what choosing a candidate demands of other axes."""
        matrix, row = self.matrix, candidate.row
        if row is not None:
            beside = self.beside_cuda
            make = partial(needs_of_build, matrix, row, beside_cuda=beside)
            return _remembered(matrix, f"{row.id} {beside}", make)
        if candidate.axis == "cuda":
            return _remembered(matrix, candidate.value, partial(needs_of_cuda, matrix, candidate.value))
        if candidate.axis == "cudnn":
            only = "conda" not in self.request.worlds
            make = partial(needs_of_cudnn, matrix, candidate.value, wheels_only=only)
            return _remembered(matrix, f"cudnn {candidate.value} {only}", make)
        return ()

    @property
    def beside_cuda(self) -> bool:
        """Whether CPU builds may stand beside CUDA builds: where nothing was said, some CUDA is better than none."""
        return self.request.cuda is None and len(self.request.frameworks) > 1


_KNOWN: WeakKeyDictionary[Matrix, dict[Hashable, tuple[Any, ...]]] = WeakKeyDictionary()
"""What is the same for every request: looking for repairs plans a hundred of them."""


def _remembered(matrix: Matrix, name: Hashable, make: Callable[[], Iterable[T]]) -> tuple[T, ...]:
    known = _KNOWN.setdefault(matrix, {})
    if name not in known:
        known[name] = tuple(make())
    return known[name]


def space_of(matrix: Matrix, request: StackRequest, targets: Sequence[Target]) -> Space:
    """Lay out the candidates of every axis."""
    pools = tuple(target._replace(glibc=request.glibc) if request.glibc else target for target in targets)
    candidates: dict[str, tuple[AxisValue, ...]] = {
        axis: (AxisValue(axis=axis, value="", pools=pools),) for axis in MACHINE_AXES
    }
    projects = frozenset(request.frameworks)
    for axis, wish, values in (
        ("cudnn", request.cudnn, _cudnn_versions),
        ("nccl", request.nccl, _nccl_versions),
        ("python", request.python, _pythons),
    ):
        make = partial(_newest_first, axis, values, matrix, projects)
        candidates[axis] = _remembered(matrix, (axis, projects), make) if projects or wish else ()
    candidates["gcc"] = tuple(AxisValue(axis="gcc", value=gcc) for gcc in compilers(matrix, request.gcc or ""))
    candidates["cuda"] = tuple(all_cudas(matrix))
    space = Space(
        matrix=matrix,
        request=request,
        pools=pools,
        candidates=candidates,
        wishes=tuple(needs_of_request(request)),
        known={axis: candidates[axis] for axis in ("cudnn", "nccl")},
    )
    for axis in ("cuda", "cudnn", "nccl"):
        candidates[axis] = tuple(candidate for candidate in candidates[axis] if space.is_viable(candidate))
        space.forget(axis)
    for project, wish in request.frameworks.items():
        asked = _asked(matrix, request, project, wish)
        viable = tuple(candidate for candidate in asked if space.is_viable(candidate))
        if not request.aside:
            viable = _without_asides(space, viable)
        sure = (candidate for candidate in viable if not _hardly(space, candidate))
        candidates[project] = tuple(sure) if request.sure else viable
    return space


def _without_asides(space: Space, candidates: tuple[AxisValue, ...]) -> tuple[AxisValue, ...]:
    """Leave out builds of further indexes of releases that PyPI has with CUDA and that surely run."""
    wheels = [
        candidate
        for candidate in candidates
        if candidate.row and candidate.row.channel == "pypi" and candidate.row.cuda
    ]
    served = {wheel.value for wheel in wheels if not _hardly(space, wheel)}
    indexes = space.matrix.indexes
    return tuple(
        candidate
        for candidate in candidates
        if not (candidate.row and candidate.row.channel in indexes and candidate.value in served)
    )


def _hardly(space: Space, candidate: AxisValue) -> bool:
    return candidate.row is not None and is_unlikely(space.matrix, candidate.row, space.pools)


def all_cudas(matrix: Matrix) -> list[AxisValue]:
    """Return every CUDA that the matrix knows, newest first, and the CPU."""
    return [AxisValue(axis="cuda", value=value) for value in (*reversed(tuple(matrix.toolkits)), CPU)]


def _asked(matrix: Matrix, request: StackRequest, project: str, wish: str) -> tuple[AxisValue, ...]:
    """The builds of a framework that the request may take and that speak for a version asked for, best first."""
    specifier = specifier_of(wish)

    def usable() -> Iterator[AxisValue]:
        for row in usable_rows(matrix, request, project):
            yield AxisValue(axis=project, value=row.version, row=row)

    def asked() -> Iterator[AxisValue]:
        for candidate in _remembered(matrix, offered, usable):
            if candidate.row and has_version(candidate.row, specifier):
                yield candidate

    offered = (project, request.worlds, request.channels, request.indexes)
    return _remembered(matrix, (*offered, specifier), asked)


def usable_rows(matrix: Matrix, request: StackRequest, project: str) -> list[MatrixBuild]:
    """Return the builds of a framework that the worlds and channels of the request offer, best first.

    The order: CUDA before CPU builds; the newest version; a place that needs no further index; the newest CUDA.
    """
    rows = [row for row in matrix.builds.get(project, ()) if is_offered(matrix, request, row)]
    names = [channel.rstrip("/").rsplit("/", 1)[-1] for channel in request.channels]
    ranks = {name: rank for rank, name in reversed(list(enumerate(names)))}

    def order(row: MatrixBuild) -> tuple[object, ...]:
        extra = row.channel != "pypi" and not row.channel.startswith("conda:")
        return (
            row.cuda is not None,
            key(row.version),
            not extra,
            key(row.cuda or "0"),
            -ranks.get(row.channel[6:], 99),
        )

    return sorted(rows, key=order, reverse=True)


def is_offered(matrix: Matrix, request: StackRequest, row: MatrixBuild) -> bool:
    """Whether the place that publishes a build is one that the request may take from."""
    if row.channel.startswith("conda:"):
        names = channel_names(request)
        # Channels of no known name may be mirrors of any: the packages will tell.
        return "conda" in request.worlds and (row.channel[6:] in names or not names & matrix.channels)
    return "pypi" in request.worlds and (row.channel == "pypi" or request.indexes)


def channel_names(request: StackRequest) -> frozenset[str]:
    """Return the request's conda channels by name: the last part of a URL."""
    return frozenset(channel.rstrip("/").rsplit("/", 1)[-1] for channel in request.channels)


def _rows_of(matrix: Matrix, projects: frozenset[str]) -> list[MatrixBuild]:
    return [row for project in sorted(projects) for row in matrix.builds.get(project, ())]


def _cudnn_versions(matrix: Matrix, projects: frozenset[str]) -> Iterable[str]:
    yield from (row.cudnn for row in matrix.cudnns)
    yield from (row.cudnn for row in _rows_of(matrix, projects) if row.cudnn and _names_one(row, row.cudnn))


def _nccl_versions(matrix: Matrix, projects: frozenset[str]) -> Iterable[str]:
    yield from (row.nccl for row in matrix.nccls)
    yield from (row.nccl for row in _rows_of(matrix, projects) if row.nccl and _names_one(row, row.nccl))


def _names_one(row: MatrixBuild, version: str) -> bool:
    """Whether a row's library version is one to show: a full version, or the major that a conda record pins."""
    return is_full(version) or row.channel.startswith("conda:")


def _pythons(matrix: Matrix, projects: frozenset[str]) -> Iterable[str]:
    """The minors that the frameworks of the request have builds for; where no row of theirs says, those of any."""
    return _minors(_rows_of(matrix, projects)) or _minors(_rows_of(matrix, frozenset(matrix.builds)))


def _minors(rows: Iterable[MatrixBuild]) -> set[str]:
    return {minor(python) for pythons in {row.python for row in rows} for python in pythons}


def _newest_first(
    axis: str, values: Callable[[Matrix, frozenset[str]], Iterable[str]], matrix: Matrix, projects: frozenset[str]
) -> Iterator[AxisValue]:
    for value in sorted(dict.fromkeys(values(matrix, projects)), key=key, reverse=True):
        yield AxisValue(axis=axis, value=value)


def objection_of(matrix: Matrix, request: StackRequest, row: MatrixBuild, target: Target) -> str | None:
    """Return why a build does not do for a machine and for the libraries that were asked for, or None."""
    machine = {axis: AxisValue(axis=axis, value="", pools=(target,)) for axis in MACHINE_AXES}
    for need in needs_of_build(matrix, row, beside_cuda=True):
        found = need.objection(machine[need.axis]) if need.axis in machine else None
        if found is not None:
            return f"{need.text}; {found}"
    for axis, wish, range_of in (("cudnn", request.cudnn, cudnn_range), ("nccl", request.nccl, nccl_range)):
        built_with = range_of(matrix, row)
        if row.cuda and wish and built_with and not _shares(matrix, axis, built_with, prefix_of(wish)):
            title = {"cudnn": "cuDNN", "nccl": "NCCL"}[axis]
            return f"{build_title(row)} needs {title} {words(built_with)}; {title} {wish} was asked for"
    return None


def _shares(matrix: Matrix, axis: str, first: str, second: str) -> bool:
    """Say whether two specifiers have a version of a library in common."""
    values = _cudnn_versions if axis == "cudnn" else _nccl_versions
    known = _remembered(matrix, ("all", axis), lambda: values(matrix, frozenset(matrix.builds)))
    return any(admits(first, version) and admits(second, version) for version in known)


def gcc_objection(matrix: Matrix, cuda: str, wish: str) -> str | None:
    """Return why no host compiler that was asked for does for the nvcc of a CUDA, or None."""
    needs = [need for need in needs_of_cuda(matrix, cuda) if need.axis == "gcc"]
    for need in needs:
        found = [need.objection(AxisValue(axis="gcc", value=gcc)) for gcc in compilers(matrix, wish)]
        if all(found):
            return f"{need.text}; GCC {wish} was asked for"
    return None


def cuda_objection(matrix: Matrix, request: StackRequest, cuda: str, targets: Iterable[Target]) -> str | None:
    """Return why a CUDA does not do for the machines and the compiler that was asked for, or None."""
    if request.gcc and (objection := gcc_objection(matrix, cuda, request.gcc)) is not None:
        return objection
    compiler = {"gcc": AxisValue(axis="gcc", value="")}
    for target in targets:
        choices = {**compiler, **{axis: AxisValue(axis=axis, value="", pools=(target,)) for axis in MACHINE_AXES}}
        for need in needs_of_cuda(matrix, cuda):
            found = need.objection(choices[need.axis])
            if found is not None:
                return f"{need.text}; {found}"
    return None
