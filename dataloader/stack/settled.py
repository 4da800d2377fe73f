"""The stack that a solution came to, in words: every axis, and the reasons with the rows that decided. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dataloader.compat.axes import CUDA
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import minor
from dataloader.stack.doubts import doubts_of
from dataloader.stack.model import CPU, FrameworkBuild, Reason, Stack, StackRequest
from dataloader.stack.report import build_reasons, cuda_reasons, driver_value, gcc_value, joined

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix
    from dataloader.machine.target import Target

_CONDA = "conda:"


def settled_stack(
    matrix: Matrix,
    asked: StackRequest,
    targets: Sequence[Target],
    *,
    axes: Mapping[str, str],
    builds: Mapping[str, str],
    versions: Mapping[str, str],
    python: str | None,
) -> Stack:
    """Return the stack of a solution.

    Args:
        matrix: The facts.
        asked: The stack options and the frameworks that were asked for by name.
        targets: The machines.
        axes: Axis of the problem to the value that was chosen.
        builds: Package to the row that it is taken for.
        versions: Package to its version.
        python: Version of the Python that was chosen.
    """
    rows = {row.id: row for framework in matrix.frameworks for row in _rows(matrix, framework, builds)}
    chosen = [(package, rows[row]) for package, row in builds.items() if row in rows]
    found = tuple(_build(row, versions.get(package, row.version)) for package, row in chosen)
    cuda = axes.get(CUDA, "") or (CPU if asked.cuda == CPU or any(build.cuda is None for build in found) else "")
    settled = {axis: value for axis, value in _axes(matrix, asked, targets, found, versions, cuda, python) if value}
    of_packages = replace(asked, python=None)  # for which Pythons they are their own files say
    return Stack(
        axes=settled,
        builds=found,
        reasons=tuple(_reasons(matrix, asked, targets, found, cuda)),
        warnings=(*_warnings(asked, found, builds, rows), *_unread(matrix, asked, settled, builds, versions)),
        doubts=doubts_of(matrix, of_packages, [row for _, row in chosen], cuda, settled.get("cudnn", ""), targets),
    )


def _rows(matrix: Matrix, framework: str, builds: Mapping[str, str]) -> Iterator[MatrixBuild]:
    wanted = set(builds.values())
    return (row for row in matrix.builds[framework] if row.id in wanted)


def _build(row: MatrixBuild, version: str) -> FrameworkBuild:
    return FrameworkBuild(project=row.framework, version=version, cuda=row.cuda, specifier=f"=={version}", rows=(row,))


def _axes(
    matrix: Matrix,
    asked: StackRequest,
    targets: Sequence[Target],
    builds: Sequence[FrameworkBuild],
    versions: Mapping[str, str],
    cuda: str,
    python: str | None,
) -> Iterator[tuple[str, str]]:
    yield "platform", joined(target.platform for target in targets)
    yield "glibc", joined(target.glibc or f"musl {target.musl or ''}".strip() for target in targets)
    if cuda not in ("", CPU):
        yield "driver", driver_value(matrix, targets, cuda)
        yield "gpu", joined(f"{gpu.name} ({gpu.capability})" for target in targets for gpu in target.gpus)
    yield "cuda", cuda
    for axis in ("cudnn", "nccl"):
        names = {name.removeprefix("conda:") for name in matrix.carriers(axis)}
        held = (version for name, version in versions.items() if name in names)
        within = (getattr(row, axis) or "" for build in builds for row in build.rows)
        yield axis, next(held, "") or next(filter(None, within), "")
    yield "gcc", asked.gcc or ("" if cuda in ("", CPU) else gcc_value(matrix, cuda))
    yield "python", python or ""
    for build in builds:
        yield build.project, build.version


def _reasons(
    matrix: Matrix,
    asked: StackRequest,
    targets: Sequence[Target],
    builds: Sequence[FrameworkBuild],
    cuda: str,
) -> Iterator[Reason]:
    for build in builds:
        yield from build_reasons(build, cuda)
    if asked.cuda:
        wish = "CPU builds were asked for" if asked.cuda == CPU else f"CUDA {asked.cuda} was asked for"
        yield Reason(axis="cuda", text=wish)
    if builds and cuda not in ("", CPU):
        yield from cuda_reasons(matrix, targets, minor(cuda))


def _warnings(
    asked: StackRequest, builds: Sequence[FrameworkBuild], taken: Mapping[str, str], rows: Mapping[str, MatrixBuild]
) -> Iterator[str]:
    without = [f"{build.project} {build.version}" for build in builds if build.cuda is None]
    if without and asked.cuda is None:
        yield f"{', '.join(without)}: a build for the CPU is taken, for none with CUDA goes with the rest"
    for package, row in taken.items():
        if row and row not in rows:
            yield (
                f"the matrix does not know this build of {package}: its own metadata decided, and whether it runs with "
                "the driver and the GPUs shows when it is verified"
            )


def _unread(
    matrix: Matrix,
    asked: StackRequest,
    settled: Mapping[str, str],
    taken: Mapping[str, str],
    versions: Mapping[str, str],
) -> Iterator[str]:
    """Say which options nothing in the solution reads."""
    has_cuda = bool(taken) or any(part.package.removeprefix(_CONDA) in versions for part in matrix.parts)
    for title, wish, is_read in (
        ("CUDA", None if asked.cuda == CPU else asked.cuda, has_cuda),
        ("cuDNN", asked.cudnn, "cudnn" in settled),
        ("NCCL", asked.nccl, "nccl" in settled),
        ("GCC", asked.gcc, has_cuda),
    ):
        if wish is not None and not is_read:
            what = "is compiled with it" if title == "GCC" else f"uses {title}"
            yield f"{f'{title} {wish}'.strip()} was asked for, and nothing here {what}"
