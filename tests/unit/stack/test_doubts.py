"""What a row lacks makes no answer better or worse: it stays, or it is doubted and said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataloader.base.matrix_folder import matrix_dir
from dataloader.cli.telling.documents import lock_document
from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.versions import admits
from dataloader.lockfile.model import LockedPython, Lockfile
from dataloader.machine.target import Gpu, Target
from dataloader.stack.answers import StackAnswer, accepts_gcc, compiles_for, has_code, has_kernels
from dataloader.stack.model import StackRequest
from dataloader.stack.settled import settled_stack
from dataloader.stack.titles import build_title

GPUS = [Gpu(f"sm_{each}", each) for each in ("3.5", "5.0", "6.1", "7.0", "8.9", "9.0", "10.0", "12.0")]
POOLS = (Target(), Target(driver="470.82.01"), Target(driver="580.65.06"), Target(driver="999.1"))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def _lacking(**tables: object) -> Matrix:
    """Return the matrix with other rows in some tables."""
    other = Matrix(matrix_dir(), {})
    vars(other).update(tables)
    return other


def _keeps(full: StackAnswer, lacking: StackAnswer) -> bool:
    return lacking.doubted or lacking.refused == full.refused


def test_a_build_that_lacks_its_capabilities_is_neither_taken_nor_refused_for_it(matrix: Matrix) -> None:
    rows = [row for rows in matrix.builds.values() for row in rows if row.cuda and row.sm is not None]
    changed = 0
    for row in rows:
        known = row if row.ptx is not None else row._replace(ptx=())
        for gpu in GPUS:
            for pool in POOLS:
                full = has_code(matrix, known, gpu, pool)
                for lacking in (known._replace(ptx=None), known._replace(sm=None), known._replace(sm=None, ptx=None)):
                    answer = has_code(matrix, lacking, gpu, pool)
                    assert _keeps(full, answer), (row.id, gpu.capability, pool.driver, full, answer)
                    assert answer.why or not answer.doubted
                    changed += answer.doubted
    assert changed > len(rows)


def test_a_toolkit_that_lacks_its_limits_is_judged_by_its_neighbours(matrix: Matrix) -> None:
    for cuda, row in matrix.toolkits.items():
        stripped = row._replace(gcc_max=None, gcc_min=None, sm=())
        lacking = _lacking(toolkits={**matrix.toolkits, cuda: stripped})
        for gcc in ("5", "8", "9.4", "11", "13", "16", "17"):
            assert _keeps(accepts_gcc(matrix, cuda, gcc), accepts_gcc(lacking, cuda, gcc)), (cuda, gcc)
        for gpu in GPUS:
            assert _keeps(compiles_for(matrix, cuda, gpu), compiles_for(lacking, cuda, gpu)), (cuda, gpu)


def test_nothing_is_known_of_a_toolkit_without_neighbours(matrix: Matrix) -> None:
    bare = matrix.toolkits["13.0"]._replace(cuda="13.9", gcc_max=None, gcc_min=None, sm=())
    alone = _lacking(toolkits={"13.9": bare})

    assert accepts_gcc(alone, "13.9", "12").doubted
    assert compiles_for(alone, "13.9", GPUS[3]).doubted


def test_a_cudnn_that_lacks_its_least_gpu_is_judged_by_its_neighbours(matrix: Matrix) -> None:
    assert has_kernels(matrix, "9.10.0.56", Gpu("P4", "6.1")) == StackAnswer()  # so it is of 9.5 and 9.10.2
    assert has_kernels(matrix, "8.5.0.96", Gpu("K80", "3.7")).doubted
    for row in matrix.cudnns:
        if row.capability_min:
            rest = tuple(other._replace(capability_min=None) if other is row else other for other in matrix.cudnns)
            lacking = _lacking(cudnns=rest)
            for gpu in GPUS:
                assert _keeps(has_kernels(matrix, row.cudnn, gpu), has_kernels(lacking, row.cudnn, gpu))


def _doubts(matrix: Matrix, asked: StackRequest, target: Target, **chosen: str) -> Iterator[str]:
    """Yield what the document of a lock says is not known."""
    stack = settled_stack(
        matrix,
        asked,
        (target,),
        axes={"axis:cuda": chosen["cuda"]},
        builds={chosen["package"]: chosen["row"]},
        versions={chosen["package"]: chosen["version"]},
        python="3.11.9",
    )
    lock = Lockfile(
        platform="linux-64",
        channels=(),
        indexes=(),
        python=LockedPython(source="host", version="3.11"),
        packages=(),
        requested=(),
        stack={},
        rules={},
        inputs={},
    )
    for doubt in lock_document(lock, stack)["doubts"]:  # type: ignore[attr-defined]
        yield doubt["text"]


def test_a_lock_says_what_is_not_known(matrix: Matrix) -> None:
    onnx = {"package": "onnxruntime-gpu", "version": "1.20.0", "cuda": "12.9"}
    row = next(row for row in matrix.builds["onnxruntime-gpu"] if admits(row.versions, "1.20.0"))
    onnx["row"] = row.id
    gpu = Target(gpus=(Gpu("A100", "8.0"),), driver="580.65.06")

    assert list(_doubts(matrix, StackRequest(), Target(), **onnx)) == []
    (doubt,) = _doubts(matrix, StackRequest(), gpu, **onnx)
    assert doubt == (
        f"not known whether {build_title(row)} has code for a GPU A100 (compute capability 8.0) "
        "of the target: its row does not say what it was compiled for"
    )
    assert list(_doubts(matrix, StackRequest(gcc="4.8"), Target(), **onnx)) == [
        "not known whether nvcc of CUDA 12.9 accepts GCC 4.8 as host compiler: it is made for GCC 6 and later"
    ]
