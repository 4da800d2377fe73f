"""Projects that are compiled against one torch: which of their releases go with the torch of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import Build, Companion
from dataloader.compat.versions import admits, key, major

if TYPE_CHECKING:
    from dataloader.stack.model import FrameworkBuild

TORCH = "torch"


def companion_rules(
    matrix: Matrix, build: FrameworkBuild, wheels: Sequence[Build], records: Sequence[Build], local: str
) -> Iterator[Rule]:
    """Yield the rules that keep companions of torch to releases that load beside it.

    Much of this is in nobody's metadata: a wheel on PyPI was compiled for one CUDA and one C++ ABI and names neither.

    Args:
        matrix: The facts.
        build: The build of torch.
        wheels: Its rows on PyPI and wheel indexes that may provide it; empty when only conda may.
        records: Its rows in conda channels that may provide it.
        local: The local version label of its index; empty when the wheel is PyPI's own.
    """
    for project, group in groupby(matrix.companions, key=lambda row: row.project):
        rows = [row for row in group if admits(row.torch, build.version)]
        if wheels:
            yield from _beside_wheel(matrix, build, project, rows, local)
        if records and any(row.cuda for row in rows):
            yield from _beside_record(matrix, build, project, rows, records[0])


def _beside_wheel(
    matrix: Matrix, build: FrameworkBuild, project: str, rows: Sequence[Companion], local: str
) -> Iterator[Rule]:
    torch = Bound(package=TORCH, world="pypi")
    if any(row.torch.startswith("==") for row in rows):
        yield Rule(
            id=f"{project}-beside-torch-wheel",
            when=torch,
            then=(Bound(package=project, world="pypi"),),
            why=f"{project} of a conda channel is compiled against the torch of that channel, not against the wheel",
            source=rows[-1].source,
        )
    served = any(project in index.projects for index in matrix.indexes.values())
    pinned = [row for row in rows if row.torch.startswith("==")]
    if local and served and pinned:
        newest = max(pinned, key=lambda row: key(row.version))
        yield Rule(
            id=f"{newest.id}-variant",
            when=Bound(package=project, world="pypi"),
            then=(Bound(package=project, specifier=f"=={newest.version}+{local}"),),
            why=f"{project} must be of the same variant as torch {build.version}+{local}",
            source=newest.source,
        )
    else:
        yield from _excluded(build, project, rows)


def _beside_record(
    matrix: Matrix, build: FrameworkBuild, project: str, rows: Sequence[Companion], record: Build
) -> Iterator[Rule]:
    wheels = [row for row in matrix.builds[TORCH] if row.version == build.version and row.channel == "pypi"]
    if wheels and record.cxx11_abi is not None and wheels[0].cxx11_abi not in (None, record.cxx11_abi):
        new, old = ("new", "old") if record.cxx11_abi else ("old", "new")
        yield Rule(
            id=f"{project}-abi-of-{record.id}",
            when=Bound(package=TORCH, world="conda"),
            then=(Bound(package=project, world="conda"),),
            why=f"torch {build.version} of {record.channel[6:]} has the {new} C++ ABI, PyPI's {project} the {old}",
            source=record.source,
        )
    else:
        yield from _excluded(build, project, rows)


def _excluded(build: FrameworkBuild, project: str, rows: Sequence[Companion]) -> Iterator[Rule]:
    """Leave out the releases whose wheels on PyPI were compiled for another CUDA."""
    wrong = [row for row in rows if row.cuda and not _same_cuda(row, build.cuda)]
    if not wrong:
        return
    cuda = build.cuda or "no CUDA"
    yield Rule(
        id=f"{wrong[-1].id}-cuda",
        when=Bound(package=project, world="pypi"),
        then=(Bound(package=project, specifier=",".join(f"!={row.version}" for row in wrong)),),
        why=f"wheels of {project} on PyPI for torch {build.version} were not compiled for {cuda}",
        source=wrong[-1].source,
    )


def _same_cuda(row: Companion, cuda: str | None) -> bool:
    if cuda is None:
        return row.match == "minor"
    if row.match == "minor":
        return cuda in row.cuda
    return any(major(other) == major(cuda) for other in row.cuda)
