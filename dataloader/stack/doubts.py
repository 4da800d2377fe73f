"""What is not known of a chosen stack: said of each, for neither yes nor no may be made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.machine.target import Target
from dataloader.stack.answers import accepts_gcc, compilers, compiles_for, has_code, has_kernels, library_major
from dataloader.stack.model import CPU, Reason, StackRequest
from dataloader.stack.titles import build_title, gpu_title, pool_title


def doubts_of(
    matrix: Matrix, request: StackRequest, rows: Sequence[MatrixBuild], cuda: str, cudnn: str, targets: Sequence[Target]
) -> tuple[Reason, ...]:
    """Return what is not known of a stack, each once.

    Args:
        matrix: The facts.
        request: What was asked.
        rows: The builds that were chosen, one of each framework.
        cuda: The CUDA that was chosen; empty or ``none``: there is none.
        cudnn: Likewise.
        targets: The machines.
    """
    if cuda in ("", CPU):
        return ()
    found = (
        *_of_gpus(matrix, rows, cuda, cudnn, targets),
        *_of_compilers(matrix, request, cuda),
        *_of_libraries(matrix, request, rows),
        *_of_python(request, rows),
    )
    return tuple(dict.fromkeys(found))


def _of_gpus(
    matrix: Matrix, rows: Sequence[MatrixBuild], cuda: str, cudnn: str, targets: Sequence[Target]
) -> Iterator[Reason]:
    for pool in targets:
        for gpu in pool.gpus:
            whose = f"{gpu_title(gpu)} of {pool_title(pool)}"
            for row in rows:
                answer = has_code(matrix, row, gpu, pool)
                if answer.doubted:
                    text = f"not known whether {build_title(row)} has code for {whose}: {answer.why}"
                    yield Reason(axis="gpu", text=text, row=row.id, source=row.source)
            toolkit = matrix.toolkits.get(cuda)
            if toolkit and (answer := compiles_for(matrix, cuda, gpu)).doubted:
                text = f"not known whether CUDA {cuda} supports {whose}: {answer.why}"
                yield Reason(axis="gpu", text=text, row=toolkit.id, source=toolkit.source)
            library = next((row for row in matrix.cudnns if row.cudnn == cudnn), None)
            if library and (answer := has_kernels(matrix, cudnn, gpu)).doubted:
                text = f"not known whether cuDNN {cudnn} has kernels for {whose}: {answer.why}"
                yield Reason(axis="cudnn", text=text, row=library.id, source=library.source)


def _of_compilers(matrix: Matrix, request: StackRequest, cuda: str) -> Iterator[Reason]:
    gcc = request.gcc or ""
    answers = [accepts_gcc(matrix, cuda, compiler) for compiler in compilers(matrix, gcc)] if gcc else []
    if answers and all(answer.refused or answer.doubted for answer in answers):
        answer = next((answer for answer in answers if answer.doubted), answers[0])
        toolkit = matrix.toolkits.get(cuda)
        text = f"not known whether nvcc of CUDA {cuda} accepts GCC {gcc} as host compiler: {answer.why}"
        yield Reason(axis="gcc", text=text, row=toolkit.id if toolkit else "", source=toolkit.source if toolkit else "")


def _of_libraries(matrix: Matrix, request: StackRequest, rows: Sequence[MatrixBuild]) -> Iterator[Reason]:
    for row in rows:
        for axis, title, wish in (("cudnn", "cuDNN", request.cudnn), ("nccl", "NCCL", request.nccl)):
            known = library_major(matrix, row, axis) or any(f"nvidia-{axis}-" in need for need in row.needs)
            if wish and row.cuda and not known:
                text = f"not known whether {build_title(row)} was built with {title} {wish}: its row does not say"
                yield Reason(axis=axis, text=text, row=row.id, source=row.source)


def _of_python(request: StackRequest, rows: Sequence[MatrixBuild]) -> Iterator[Reason]:
    for row in rows:
        if request.python and not row.python:
            text = f"not known whether {build_title(row)} exists for Python {request.python}: its packages decide"
            yield Reason(axis="python", text=text, row=row.id, source=row.source)
