from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.model import Bound, Rule, StackNeeds
from dataloader.compat.rows import variant
from dataloader.compat.rules import needs_of, parse_bound
from dataloader.machine.target import Gpu, Target
from dataloader.stack import Stack, StackRequest, iter_stacks

BOTH = frozenset({"conda", "pypi"})
PYPI = frozenset({"pypi"})
TARGET = Target(glibc="2.36")


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def _stack(matrix: Matrix, request: StackRequest, target: Target = TARGET, number: int = 0) -> Stack:
    return next(islice(iter_stacks(matrix, request, target), number, None))


def _needs(matrix: Matrix, request: StackRequest, target: Target = TARGET) -> StackNeeds:
    return needs_of(matrix, _stack(matrix, request, target), target, request.worlds)


def _rule(needs: StackNeeds, identifier: str) -> Rule:
    return next(rule for rule in needs.rules if rule.id == identifier)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("numpy<2", Bound(package="numpy", specifier="<2")),
        ("nvidia-nccl-cu12", Bound(package="nvidia-nccl-cu12")),
        ("conda:mkl <2024.1", Bound(package="conda:mkl", specifier="<2024.1", world="conda")),
        ("conda:libtorch * cuda118*", Bound(package="conda:libtorch", build="cuda118*", world="conda")),
    ],
)
def test_requirements_of_rows_are_read_as_bounds(text: str, bound: Bound) -> None:
    assert parse_bound(text) == bound


def test_every_requirement_in_the_matrix_is_readable(matrix: Matrix) -> None:
    for row in matrix.rules:
        assert [parse_bound(text) for text in row.then]
    for rows in matrix.builds.values():
        for build in rows:
            assert all(parse_bound(need).package for need in build.needs)


def test_variants_are_spelt_as_indexes_do() -> None:
    assert (variant("11.8"), variant("13.0"), variant(None)) == ("cu118", "cu130", "cpu")


def test_the_wheel_of_pypi_is_not_one_of_the_other_variants(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="12.1", frameworks={"torch": "2.1.0"}, worlds=PYPI))

    rule = _rule(needs, "torch-2.1.0-cu121-pypi-wheel")
    assert needs.requirements == (Bound(package="torch", specifier="==2.1.0", world="pypi"),)
    assert rule.when == Bound(package="torch", world="pypi")
    assert rule.then == (Bound(package="torch", specifier="==2.1.0,!=2.1.0+cpu,!=2.1.0+cu118"),)
    assert needs.indexes == ()


def test_a_wheel_that_only_the_index_has_is_told_by_its_local_version(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="11.8", frameworks={"torch": "2.1.0"}, worlds=PYPI))

    rule = _rule(needs, "torch-2.1.0-cu118-index-wheel")
    assert rule.then == (Bound(package="torch", specifier="==2.1.0+cu118"),)
    assert needs.indexes == ("https://download.pytorch.org/whl/cu118",)
    assert {"torch", "torchvision", "torchaudio"} <= set(needs.index_only)


def test_where_conda_serves_the_build_no_index_is_added(matrix: Matrix) -> None:
    request = StackRequest(cuda="11.8", frameworks={"torch": "2.1.0"}, channels=("https://conda.example/pytorch",))

    needs = _needs(matrix, request)

    assert needs.indexes == ()
    assert needs.requirements[0].world == "conda"


def test_the_places_of_one_build_follow_each_other_as_stacks(matrix: Matrix) -> None:
    request = StackRequest(cuda="11.8", frameworks={"torch": "2.1.0"}, channels=("pytorch", "conda-forge"))

    stacks = list(islice(iter_stacks(matrix, request, TARGET), 3))

    assert [stack.builds[0].rows[0].channel for stack in stacks] == [
        "conda:pytorch",
        "conda:conda-forge",
        "pytorch-index",
    ]
    assert needs_of(matrix, stacks[2], TARGET, BOTH).indexes == ("https://download.pytorch.org/whl/cu118",)


def test_both_worlds_may_provide_a_build_and_each_is_bound(matrix: Matrix) -> None:
    request = StackRequest(cuda="12.1", frameworks={"torch": "2.1.0"}, channels=("pytorch",))

    needs = _needs(matrix, request)

    assert needs.requirements == (Bound(package="torch", specifier="==2.1.0"),)
    assert _rule(needs, "torch-2.1.0-cu121-conda-pytorch-record").then[0].build == "py3*_cuda12.1_cudnn*"
    assert _rule(needs, "torch-2.1.0-cu121-pypi-wheel").when == Bound(package="torch", world="pypi")


def test_the_user_may_insist_on_a_world(matrix: Matrix) -> None:
    request = StackRequest(cuda="12.1", frameworks={"torch": "2.1.0"}, channels=("pytorch",))
    stack = _stack(matrix, request)

    assert needs_of(matrix, stack, TARGET, BOTH, {"torch": "pypi"}).requirements[0].world == "pypi"
    assert needs_of(matrix, stack, TARGET, BOTH, {"torch": "conda"}).requirements[0].world == "conda"


def test_libraries_follow_the_cuda_that_the_stack_settled_on(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="12.8", frameworks={"tensorflow": "2.20"}, worlds=PYPI))

    rule = next(rule for rule in needs.rules if rule.requires)
    wheels = {bound.package: bound.specifier for bound in rule.then}
    assert wheels["nvidia-cuda-runtime-cu12"] == "==12.8.57"
    assert wheels["nvidia-cudnn-cu12"] == "<10.0,>=9.3.0.75"


def test_cudnn_is_bound_by_the_oldest_gpu(matrix: Matrix) -> None:
    volta = Target(glibc="2.36", driver="580.82.07", gpus=(Gpu(name="V100", capability="7.0"),))
    hopper = Target(glibc="2.36", driver="580.82.07", gpus=(Gpu(name="H100", capability="9.0"),))
    request = StackRequest(cuda="12.8")

    old = _rule(_needs(matrix, request, volta), "cudnn-9.11.0.98")
    new = _needs(matrix, request, hopper)

    assert Bound(package="nvidia-cudnn-cu12", specifier="<9.11.0.98") in old.then
    assert not any(rule.id.startswith("cudnn-") for rule in new.rules)


def test_a_framework_that_comes_along_must_run_on_the_driver(matrix: Matrix) -> None:
    old = Target(glibc="2.36", driver="470.82.01")

    rule = _rule(_needs(matrix, StackRequest(), old), "torch-2.15.0-cu132-pypi-unfit")

    excluded = rule.then[0].specifier.split(",")
    assert "!=2.1.0" in excluded  # CUDA 12.1
    assert "!=2.0.1" not in excluded  # CUDA 11.7
    assert rule.why == "CUDA 13 needs driver 580.65.06 or later; the target has driver 470.82.01"


def test_a_framework_that_comes_along_is_free_where_nothing_is_known(matrix: Matrix) -> None:
    assert not any(rule.id.endswith("-unfit") for rule in _needs(matrix, StackRequest()).rules)


def test_wheels_beside_a_torch_of_another_abi_come_from_its_channel(matrix: Matrix) -> None:
    request = StackRequest(cuda="12.0", frameworks={"torch": "2.3.1"}, channels=("conda-forge",))

    rule = _rule(_needs(matrix, request), "torchvision-abi-of-torch-2.3.1-cu120-conda-forge")

    assert rule.when == Bound(package="torch", world="conda")
    assert rule.then == (Bound(package="torchvision", world="conda"),)


def test_a_channel_with_pypis_abi_leaves_its_companions_free(matrix: Matrix) -> None:
    request = StackRequest(cuda="12.1", frameworks={"torch": "2.1.0"}, channels=("pytorch",))

    assert not any("-abi-of-" in rule.id for rule in _needs(matrix, request).rules)


def test_companions_compiled_for_another_cuda_are_left_out(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="13.0", frameworks={"torch": "2.9.1"}, worlds=PYPI))

    rule = next(rule for rule in needs.rules if rule.when and rule.when.package == "vllm")
    assert "!=0.16.0" in rule.then[0].specifier


def test_every_rule_says_why_and_which_row(matrix: Matrix) -> None:
    request = StackRequest(cuda="11.8", frameworks={"torch": "2.1.0", "cupy": ""}, channels=("pytorch", "conda-forge"))

    for rule in _needs(matrix, request).rules:
        assert rule.id
        assert rule.why


def test_a_platform_without_rows_keeps_the_requirement(matrix: Matrix) -> None:
    target = Target(platform="linux-aarch64", arch="aarch64", glibc="2.36")

    needs = _needs(matrix, StackRequest(frameworks={"torch": "2.5"}), target)

    assert needs.requirements == (Bound(package="torch", specifier="==2.5.*"),)


def test_a_project_whose_wheels_have_another_name_is_replaced(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="12.4", frameworks={"cupy": "13.6.0"}, worlds=PYPI))

    assert needs.requirements == (Bound(package="cupy-cuda12x", specifier="==13.6.0", world="pypi"),)
    assert needs.replaced == ("cupy",)


def test_the_rows_in_the_documentation_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "matrix.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.lstrip().startswith('{"id": "torch-2.16')]
    toml = text.split("```toml")[1].split("```")[0]
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"table": "build", **json.loads(row)}) + "\n" for row in rows)
    )
    (tmp_path / "ours.toml").write_text(toml)

    matrix = load_matrix(tmp_path / "rows.jsonl", tmp_path / "ours.toml")

    assert len(rows) == 2
    assert matrix.builds["torch"][-1].version == "2.16.0"
    assert matrix.drivers["12"].driver == "535.54.03"
