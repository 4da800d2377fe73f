"""The candidates of every axis for one request and one or several machines, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Build
from dataloader.compat.versions import key, minor
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.needs import Candidate, Need, needs_of_build, needs_of_cuda, needs_of_request
from dataloader.target import Target

MACHINE_AXES = ("glibc", "driver", "gpu")
"""Axes that the target decides: one candidate each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Everything the resolver may choose from."""

    matrix: Matrix
    request: StackRequest
    pools: tuple[Target, ...]
    candidates: Mapping[str, tuple[Candidate, ...]]
    """Axis to its candidates, best first."""
    wishes: tuple[Need, ...]
    """What the request demands."""
    _needs: dict[int, tuple[Need, ...]] = field(default_factory=dict)

    def needs(self, candidate: Candidate) -> tuple[Need, ...]:
        """Return what choosing a candidate demands of other axes."""
        found = self._needs.get(id(candidate))
        if found is None:
            if candidate.row is not None:
                found = tuple(needs_of_build(self.matrix, candidate.row))
            else:
                found = tuple(needs_of_cuda(self.matrix, candidate.value)) if candidate.axis == "cuda" else ()
            self._needs[id(candidate)] = found
        return found


def space_of(matrix: Matrix, request: StackRequest, targets: Sequence[Target]) -> Space:
    """Lay out the candidates of every axis."""
    pools = tuple(replace(target, glibc=request.glibc) if request.glibc else target for target in targets)
    candidates: dict[str, tuple[Candidate, ...]] = {
        axis: (Candidate(axis=axis, value="", pools=pools),) for axis in MACHINE_AXES
    }
    for axis, values in (
        ("cuda", (*reversed(tuple(matrix.toolkits)), CPU)),
        ("cudnn", _newest_first(_cudnn_versions(matrix))),
        ("nccl", _newest_first(_nccl_versions(matrix))),
        ("python", _newest_first(_pythons(matrix))),
        ("gcc", (request.gcc or "",)),
    ):
        candidates[axis] = tuple(Candidate(axis=axis, value=value) for value in values)
    for project in request.frameworks:
        rows = usable_rows(matrix, request, project)
        candidates[project] = tuple(Candidate(axis=project, value=row.version, row=row) for row in rows)
    return Space(
        matrix=matrix, request=request, pools=pools, candidates=candidates, wishes=tuple(needs_of_request(request))
    )


def usable_rows(matrix: Matrix, request: StackRequest, project: str) -> list[Build]:
    """Return the builds of a framework that the worlds and channels of the request offer, best first.

    The order: CUDA before CPU builds; the newest version; a place that needs no further index; the newest CUDA.
    """
    rows = [row for row in matrix.builds.get(project, ()) if is_offered(request, row)]
    ranks = {channel: rank for rank, channel in enumerate(channel_names(request))}

    def order(row: Build) -> tuple[object, ...]:
        extra = row.channel != "pypi" and not row.channel.startswith("conda:")
        return (
            row.cuda is not None,
            key(row.version),
            not extra,
            key(row.cuda or "0"),
            -ranks.get(row.channel[6:], 99),
        )

    return sorted(rows, key=order, reverse=True)


def is_offered(request: StackRequest, row: Build) -> bool:
    """Whether the place that publishes a build is one that the request may take from."""
    if row.channel.startswith("conda:"):
        names = channel_names(request)
        return "conda" in request.worlds and (not names or row.channel[6:] in names)
    return "pypi" in request.worlds and (row.channel == "pypi" or request.indexes)


def channel_names(request: StackRequest) -> list[str]:
    """Return the request's conda channels by name: the last part of a URL."""
    return [channel.rstrip("/").rsplit("/", 1)[-1] for channel in request.channels]


def _cudnn_versions(matrix: Matrix) -> Iterable[str]:
    yield from (row.cudnn for row in matrix.cudnns)
    yield from (row.cudnn for rows in matrix.builds.values() for row in rows if row.cudnn)


def _nccl_versions(matrix: Matrix) -> Iterable[str]:
    yield from (row.nccl for row in matrix.nccls)
    yield from (row.nccl for rows in matrix.builds.values() for row in rows if row.nccl)


def _pythons(matrix: Matrix) -> Iterable[str]:
    return (minor(python) for rows in matrix.builds.values() for row in rows for python in row.python)


def _newest_first(versions: Iterable[str]) -> list[str]:
    return sorted(dict.fromkeys(versions), key=key, reverse=True)
