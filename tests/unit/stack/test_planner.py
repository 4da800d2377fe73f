from __future__ import annotations

import json
import time
from itertools import islice
from typing import Any

import pytest

from dataloader.base.errors import ResolutionFailure, UsageError
from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.machine.target import Gpu, Target
from dataloader.stack import StackRequest, iter_stacks, plan_document
from dataloader.stack.answers import NO, YES, has_code
from dataloader.stack.explain import StackFailure, wishes_title
from dataloader.stack.model import AXES
from dataloader.stack.needs import words
from dataloader.stack.repair import edited
from dataloader.stack.search import first_stack

PYPI = frozenset({"pypi"})
TARGET = Target(glibc="2.36")


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def test_stacks_come_newest_first_and_each_once(matrix: Matrix) -> None:
    request = StackRequest(cuda="12", frameworks={"torch": ""}, worlds=PYPI)

    stacks = list(iter_stacks(matrix, request, TARGET))

    found = [(stack.builds[0].version, stack.builds[0].cuda) for stack in stacks]
    versions = [tuple(map(int, version.split("."))) for version, _ in found]
    assert len(set(found)) == len(found) > 20
    assert versions == sorted(versions, reverse=True)


def test_every_framework_has_a_stack_on_the_pythons_of_today(matrix: Matrix) -> None:
    """Rows that do not say which Pythons they are for exclude none."""
    for framework in matrix.frameworks:
        for python in ("3.11", "3.12", "3.13"):
            request = StackRequest(frameworks={framework: ""}, python=python, worlds=PYPI)
            assert first_stack(matrix, request, TARGET) is not None, (framework, python)


def test_stacks_of_two_frameworks_are_all_pairs_that_agree(matrix: Matrix) -> None:
    request = StackRequest(cuda="12", frameworks={"torch": ">=2.6,<2.8", "tensorflow": ">=2.18,<2.20"}, worlds=PYPI)

    stacks = list(iter_stacks(matrix, request, TARGET))

    pairs = {tuple((build.version, build.cuda) for build in stack.builds) for stack in stacks}
    assert len(pairs) == len(stacks)
    assert (("2.19.1", "12.5"), ("2.7.1", "12.8")) in pairs
    assert not any(torch == "12.4" for _, (_, torch) in pairs)  # tensorflow was built for 12.5


def test_only_what_is_asked_for_is_computed(matrix: Matrix) -> None:
    stacks = iter_stacks(matrix, StackRequest(frameworks={"torch": "", "jax": "", "tensorflow": ""}), TARGET)

    start = time.perf_counter()
    next(stacks)

    assert time.perf_counter() - start < 2.0


def test_cuda_alone_gives_one_stack_for_every_minor(matrix: Matrix) -> None:
    stacks = list(iter_stacks(matrix, StackRequest(cuda="11"), TARGET))

    found = [stack.axes["cuda"] for stack in stacks]
    assert sorted(found) == [f"11.{minor}" for minor in range(9)]
    assert found[0] == "11.8"


def test_nothing_asked_gives_a_stack_of_the_machine_alone(matrix: Matrix) -> None:
    stack = next(iter_stacks(matrix, StackRequest(), TARGET))

    assert dict(stack.axes) == {"platform": "linux-64", "glibc": "2.36"}
    assert stack.builds == ()


def test_axes_are_in_the_order_they_are_shown(matrix: Matrix) -> None:
    stack = next(iter_stacks(matrix, StackRequest(cuda="12.1", frameworks={"torch": "2.1.0"}), TARGET))

    known = [axis for axis in stack.axes if axis in AXES]
    assert known == sorted(known, key=AXES.index)
    assert list(stack.axes)[-1] == "torch"


def test_what_a_range_of_a_row_admits_can_be_pinned(matrix: Matrix) -> None:
    stack = next(iter_stacks(matrix, StackRequest(cuda="12.4", frameworks={"cupy": "12.2.0"}, worlds=PYPI), TARGET))

    assert stack.builds[0].version == "12.2.0"
    assert stack.builds[0].specifier == "==12.2.0"


def test_every_suggestion_was_planned_again_and_works(matrix: Matrix) -> None:
    request = StackRequest(cuda="12.4", cudnn="8", frameworks={"torch": "2.1.0"}, worlds=PYPI, indexes=False)

    with pytest.raises(StackFailure) as failure:
        next(iter_stacks(matrix, request, TARGET))

    assert failure.value.repairs
    for repair in failure.value.repairs:
        again = request
        for axis, value in repair.changes:
            again = edited(again, axis, value)
        assert again == repair.request
        assert first_stack(matrix, again, TARGET) is not None


def test_a_failure_is_said_in_the_words_of_the_request() -> None:
    request = StackRequest(cuda="12.4", python="3.9", frameworks={"torch": "2.1.0", "jax": ""})

    assert wishes_title(request) == "CUDA 12.4, Python 3.9, torch 2.1.0, jax"
    assert wishes_title(StackRequest(cuda="none")) == "CPU builds"
    assert wishes_title(StackRequest()) == "what the target needs"


def test_machine_code_runs_on_later_minors_of_its_major_alone(matrix: Matrix) -> None:
    row = matrix.row("torch-2.5.1-cu121-index")  # 5.0 6.0 7.0 7.5 8.0 8.6 9.0, and no PTX

    verdicts = {
        capability: has_code(matrix, row, Gpu(name="x", capability=capability), TARGET)  # type: ignore[arg-type]
        for capability in ("3.7", "6.1", "7.0", "7.2", "8.9", "9.0", "10.0", "12.0")
    }

    assert verdicts == {
        "3.7": NO,
        "6.1": YES,
        "7.0": YES,
        "7.2": YES,
        "8.9": YES,
        "9.0": YES,
        "10.0": NO,
        "12.0": NO,
    }


def test_ptx_needs_the_driver_of_the_toolkit_and_not_just_of_its_major(matrix: Matrix) -> None:
    silent = next(row for row in matrix.builds["torch"] if row.id == "torch-2.9.1-cu130-index")
    row = silent._replace(ptx=("12.0",))
    gpu = Gpu(name="a GPU of tomorrow", capability="13.0")
    floor, paired = Target(driver="580.60.00"), Target(driver="580.65.06")

    assert "driver must compile PTX" in has_code(matrix, row, gpu, floor).why
    assert has_code(matrix, row, gpu, paired) == YES


def test_the_document_of_a_plan_is_plain_json(matrix: Matrix) -> None:
    stack = next(iter_stacks(matrix, StackRequest(cuda="11.8", frameworks={"torch": "2.1.0"}, worlds=PYPI), TARGET))

    document = json.loads(json.dumps(plan_document(stack)))

    assert document["version"] == 1
    assert document["stack"]["axes"]["cuda"] == "11.8"
    assert document["stack"]["builds"][0]["rows"][0]["id"] == "torch-2.1.0-cu118-index"
    assert {"axis", "text", "row", "source"} == set(document["reasons"][0])


def test_every_reason_with_a_row_names_one_that_exists(matrix: Matrix) -> None:
    for stack in islice(iter_stacks(matrix, StackRequest(frameworks={"torch": "", "jax": ""}), TARGET), 5):
        for reason in stack.reasons:
            assert not reason.row or matrix.row(reason.row) is not None


def test_there_is_no_cuda_on_a_mac(matrix: Matrix) -> None:
    with pytest.raises(ResolutionFailure, match="there is no CUDA on osx-arm64"):
        next(iter_stacks(matrix, StackRequest(cuda="12.1"), Target(platform="osx-arm64", arch="arm64")))


def test_a_platform_that_the_matrix_does_not_know_is_said(matrix: Matrix) -> None:
    target = Target(platform="linux-aarch64", arch="aarch64", glibc="2.36")

    stack = next(iter_stacks(matrix, StackRequest(frameworks={"torch": "2.5"}), target))

    assert stack.axes == {"platform": "linux-aarch64", "torch": "2.5"}
    assert "no rows for linux-aarch64" in stack.warnings[0]


def test_specifiers_are_said_in_words() -> None:
    assert words(">=8.6,<9") == "8.6 or later, before 9"
    assert words("!=3") == "!=3"


@pytest.mark.parametrize("request_", [{"cuda": "cu118"}, {"python": "three"}, {"frameworks": {"torch": "latest"}}])
def test_a_wish_that_is_no_version_is_refused_as_typed(matrix: Matrix, request_: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is neither a version nor a specifier") as failure:
        next(iter_stacks(matrix, StackRequest(**request_), TARGET))

    assert failure.value.code == "version-invalid"


def test_a_pre_release_may_be_asked_for(matrix: Matrix) -> None:
    with pytest.raises(StackFailure, match=r"no stack has torch 2\.6\.0rc1"):
        next(iter_stacks(matrix, StackRequest(frameworks={"torch": "2.6.0rc1"}), TARGET))
