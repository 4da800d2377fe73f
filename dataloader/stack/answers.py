"""What the rows say of GPUs and compilers: yes, no, or that nobody knows.

What one row lacks its neighbours may tell: no later toolkit knows an older GPU or accepts fewer compilers, no later
cuDNN has kernels for GPUs that an earlier one had given up, and none is for a CUDA that a later one is the first for.
What they leave open is doubted: neither taken for granted nor refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import admits, key, major, near, release
from dataloader.machine.target import Gpu, Target


class StackAnswer(NamedTuple):
    """One answer."""

    refused: bool = False
    doubted: bool = False
    unlikely: bool = False
    """A doubt that is taken only where nothing surer is left."""
    why: str = ""
    """Of a refusal, an addition to its sentence; of a doubt, what is not known."""


YES = StackAnswer()
NO = StackAnswer(refused=True)


def has_code(matrix: Matrix, row: MatrixBuild, gpu: Gpu, pool: Target) -> StackAnswer:
    """Say whether a build has code for a GPU of a machine.

    Machine code runs on its own capability and on later minors of the same major. PTX runs on every later capability,
    but the driver compiles it, so minor-version compatibility does not cover it: the driver must know the toolkit.
    """
    if row.cuda is None:
        return YES
    if row.sm is None:
        return _can_have_code(matrix, row, gpu)
    if _runs(row.sm, gpu):
        return YES
    if row.ptx is None:
        # PTX is made of capabilities that machine code is made for, or of later ones.
        older = release(gpu.capability) < min(map(release, row.sm), default=(0,))
        return NO if older else _unlikely("its row does not say for which capabilities it has PTX")
    if not any(release(ptx) <= release(gpu.capability) for ptx in row.ptx):
        return NO
    return _compiles_ptx(matrix, row.cuda, pool)


def _unlikely(why: str) -> StackAnswer:
    return StackAnswer(doubted=True, unlikely=True, why=why)


def is_unlikely(matrix: Matrix, row: MatrixBuild, targets: Iterable[Target]) -> bool:
    """Say whether a build that no row refuses hardly has code for some GPU of the machines."""
    return any(has_code(matrix, row, gpu, pool).unlikely for pool in targets for gpu in pool.gpus)


def _runs(code: Iterable[str], gpu: Gpu) -> bool:
    wanted = release(gpu.capability)
    return any(release(sm)[0] == wanted[0] and release(sm) <= wanted for sm in code)


def _can_have_code(matrix: Matrix, row: MatrixBuild, gpu: Gpu) -> StackAnswer:
    """Say what follows from the toolkit alone: a build has no code that its toolkit cannot compile."""
    compiled = compiled_by(matrix, row)
    if compiled and release(gpu.capability) < release(compiled[0]):
        return NO
    why = "its row does not say what it was compiled for"
    return StackAnswer(doubted=True, why=why) if not compiled or _runs(compiled, gpu) else _unlikely(why)


def compiled_by(matrix: Matrix, row: MatrixBuild) -> tuple[str, ...]:
    """Return what the toolkit of a build can compile for, oldest first; empty where that is not known.

    Of a build whose row names a major alone: what any of its minors can.
    """
    cuda = row.cuda or ""
    toolkits = [matrix.toolkits[cuda]] if cuda in matrix.toolkits else []
    if "." not in cuda:
        toolkits = [toolkit for toolkit in matrix.toolkits.values() if major(toolkit.cuda) == cuda]
    known = {sm for toolkit in toolkits for sm in toolkit.sm} if all(toolkit.sm for toolkit in toolkits) else set()
    return tuple(sorted(known, key=key))


def _compiles_ptx(matrix: Matrix, cuda: str, pool: Target) -> StackAnswer:
    """Say whether the driver of a machine compiles the PTX of a toolkit; where no driver was seen one is assumed."""
    toolkit = matrix.toolkits.get(cuda)
    if pool.driver and toolkit and toolkit.driver:
        if key(pool.driver) >= key(toolkit.driver):
            return YES
        why = f", for which the driver must compile PTX: that takes driver {toolkit.driver}, it is {pool.driver}"
        return StackAnswer(refused=True, why=why)
    knows = pool.driver_cuda or (matrix.cuda_of_driver(pool.driver) if pool.driver else None)
    if knows and "." in cuda:
        if key(knows) >= key(cuda):
            return YES
        why = f", for which the driver must compile PTX of CUDA {cuda}: it knows CUDA {knows}"
        return StackAnswer(refused=True, why=why)
    if pool.driver:
        return _unlikely(f"the driver must compile its PTX, and whether {pool.driver} does is not known")
    return YES


def library_major(matrix: Matrix, row: MatrixBuild, axis: str) -> str:
    """Return the major of the cuDNN or NCCL of a build: builds of one release for one CUDA major have the same.

    Args:
        matrix: The facts.
        row: The build.
        axis: ``cudnn`` or ``nccl``.

    Returns:
        The major that its row says, else its siblings' where they agree; empty where that is not known.
    """
    if said := getattr(row, axis):
        return major(said)
    siblings = [
        major(said)
        for other in matrix.builds.get(row.framework, ())
        if row.cuda and other.cuda and (other.version, major(other.cuda)) == (row.version, major(row.cuda))
        if (said := getattr(other, axis))
    ]
    return siblings[0] if len(set(siblings)) == 1 else ""


def compiles_for(matrix: Matrix, cuda: str, gpu: Gpu) -> StackAnswer:
    """Say whether a toolkit knows a GPU. The oldest that toolkits know never gets older again."""
    mine = matrix.toolkits[cuda].sm
    earlier = [row for row in matrix.toolkits.values() if key(row.cuda) <= key(cuda) and row.sm]
    later = [row for row in matrix.toolkits.values() if key(row.cuda) >= key(cuda) and row.sm]
    if earlier and key(gpu.capability) < key(min(earlier[-1].sm, key=key)):
        return NO
    if mine or (later and key(gpu.capability) >= key(min(later[0].sm, key=key))):
        return YES
    return StackAnswer(doubted=True, why="its row does not say which GPUs it supports")


def accepts_gcc(matrix: Matrix, cuda: str, gcc: str) -> StackAnswer:
    """Say whether nvcc of a CUDA accepts a GCC as host compiler. The newest accepted never gets older again."""
    toolkit = matrix.toolkits.get(cuda)
    newest = toolkit.gcc_max if toolkit else None
    wanted = key(major(gcc))
    most = newest or newer_gcc(matrix, cuda)
    if most and wanted > key(most):
        return NO
    if newest is None:
        known = [row.gcc_max for row in matrix.toolkits.values() if key(row.cuda) < key(cuda) and row.gcc_max]
        if not known or wanted > key(known[-1]):
            return StackAnswer(doubted=True, why="its row does not say which compilers it accepts")
    if toolkit and toolkit.gcc_min and wanted < key(toolkit.gcc_min):
        return StackAnswer(doubted=True, why=f"it is made for GCC {toolkit.gcc_min} and later")
    return YES


def compilers(matrix: Matrix, wish: str) -> tuple[str, ...]:
    """Return the GCC that a wish admits, newest first: the version itself, or the majors within a specifier."""
    if not wish or wish[0].isdigit():
        return (wish.removesuffix(".*"),)
    known = [int(row.gcc_max) for row in matrix.toolkits.values() if row.gcc_max]
    newest = max(*known, int(major(near(wish))) + 1)
    return tuple(gcc for gcc in map(str, range(newest, 0, -1)) if admits(wish, gcc)) or (near(wish),)


def newer_gcc(matrix: Matrix, cuda: str) -> str:
    """Return the newest GCC that the next toolkit with a limit accepts; empty for none."""
    return next((row.gcc_max for row in matrix.toolkits.values() if key(row.cuda) > key(cuda) and row.gcc_max), "")


def has_kernels(matrix: Matrix, cudnn: str, gpu: Gpu) -> StackAnswer:
    """Say whether a cuDNN has kernels for a GPU."""
    surely_not_before, surely_from = kernels_from(matrix, cudnn)
    if surely_not_before and key(gpu.capability) < key(surely_not_before):
        return NO
    if surely_from and key(gpu.capability) >= key(surely_from):
        return YES
    return StackAnswer(doubted=True, why="its row does not say for which GPUs it has kernels")


def first_cudnn(matrix: Matrix, cuda_major: str) -> str:
    """Return the first cuDNN for a CUDA major, where earlier ones are known to be for other CUDAs; empty: not known."""
    released = sorted(matrix.cudnns, key=lambda row: key(row.cudnn))
    first = next((row.cudnn for row in released if cuda_major in row.cuda_majors), "")
    return first if first and first != released[0].cudnn else ""


def kernels_from(matrix: Matrix, cudnn: str) -> tuple[str, str]:
    """Return the capability before which a cuDNN has no kernels, and that from which on it has; empty: not known."""
    known = sorted((key(row.cudnn), row.capability_min) for row in matrix.cudnns if row.capability_min)
    before = [least for version, least in known if version <= key(cudnn)]
    after = [least for version, least in known if version >= key(cudnn)]
    return (before[-1] if before else "", after[0] if after else "")
