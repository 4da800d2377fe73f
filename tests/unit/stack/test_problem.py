"""What the matrix, the machines and the options say to the packages, before anything is solved."""

from __future__ import annotations

import pytest

from dataloader.compat.axes import CUDA, NEVER, TORCH_ABI, TORCH_CUDA, TORCH_PLACE, cpu_of
from dataloader.compat.companions import torch_places
from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.model import Bound, Rule, StackNeeds, Variant
from dataloader.compat.rules import beside_cuda, parse_bound
from dataloader.machine.target import Gpu, Target
from dataloader.stack import StackRequest
from dataloader.stack.problem import needs_of

PYPI = frozenset({"pypi"})
TARGET = Target(glibc="2.36")


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def _needs(matrix: Matrix, request: StackRequest, *targets: Target) -> StackNeeds:
    return needs_of(matrix, request, targets or (TARGET,))


def _rule(needs: StackNeeds, identifier: str) -> Rule:
    return next(rule for rule in needs.rules if rule.id == identifier)


def _variant(needs: StackNeeds, identifier: str) -> Variant:
    return next(v for variants in needs.variants.values() for v in variants if v.id == identifier)


def _then(variant: Variant) -> dict[str, str]:
    return {bound.package: bound.specifier for rule in variant.rules for bound in rule.then}


def test_a_build_depends_on_the_axes_that_its_row_speaks_of(matrix: Matrix) -> None:
    then = _then(_variant(_needs(matrix, StackRequest()), "torch-2.5.1-cu124-pypi"))

    assert then == {CUDA: "==12.4", TORCH_CUDA: "==12.4", TORCH_ABI: "==0", TORCH_PLACE: then[TORCH_PLACE]}
    assert then[TORCH_PLACE] == f"=={torch_places(matrix)['pypi']}"


def test_a_build_for_the_cpu_is_told_from_one_without_a_row(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest())

    assert cpu_of("torch") in _then(_variant(needs, "torch-2.5.1-cpu-index"))
    assert [bound.package for rule in needs.unknown["torch"] for bound in rule.then] == [
        "axis:unknown.torch",
        "axis:mute.torch",
    ]


def test_one_wheel_may_be_taken_for_two_builds(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest())
    of_it = [v for v in needs.variants["tensorflow"] if v.specifier == "==2.20.0" and not v.local]

    assert sorted(CUDA in _then(v) for v in of_it) == [False, True]
    assert [v.preferred for v in of_it if CUDA in _then(v)] == [True]


def test_a_machine_rules_out_what_its_driver_does_not_run(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(), Target(glibc="2.36", driver="470.82.01"))

    rule = _rule(needs, "cuda-13.2-unfit")
    assert (rule.when, rule.then, rule.requires) == (
        Bound(package=CUDA, specifier="==13.2"),
        (Bound(package=NEVER),),
        True,
    )
    assert rule.why == "CUDA 13 needs driver 580.65.06 or later; the target has driver 470.82.01"
    assert not any(rule.id == "cuda-11.7-unfit" for rule in needs.rules)


def test_a_machine_that_nothing_is_known_of_rules_out_nothing(matrix: Matrix) -> None:
    assert not any(rule.id.endswith("-unfit") for rule in _needs(matrix, StackRequest()).rules)


def test_a_target_that_names_a_cuda_before_11_admits_no_later_minor(matrix: Matrix) -> None:
    """Minor-version compatibility came with CUDA 11."""
    needs = _needs(matrix, StackRequest(), Target(glibc="2.36", driver_cuda="10.1"))

    unfit = {rule.id for rule in needs.rules if rule.id.endswith("-unfit")}
    assert {"cuda-10.2-unfit", "cuda-11.0-unfit"} <= unfit
    assert not unfit & {"cuda-10.0-unfit", "cuda-10.1-unfit"}


def test_the_option_binds_the_axis_and_so_whatever_brings_cuda_in(matrix: Matrix) -> None:
    asked = _rule(_needs(matrix, StackRequest(cuda="11.8")), "option-cuda")
    without = _rule(_needs(matrix, StackRequest(cuda="none")), "option-cuda")
    some = _rule(_needs(matrix, StackRequest(cuda=">=12")), "option-cuda")

    assert (asked.when, asked.then, asked.requires) == (None, (Bound(package=CUDA, specifier="==11.8.*"),), True)
    assert (without.then, without.requires) == ((Bound(package=CUDA, specifier="<0"),), False)
    assert (some.then, some.requires) == ((Bound(package=CUDA, specifier=">=12"),), False)


def test_cpu_builds_and_unknown_ones_come_last(matrix: Matrix) -> None:
    ladder = _needs(matrix, StackRequest(frameworks={"torch": ""})).ladder
    forbidden = [{bound.package for bound in rung} for rung in ladder]

    assert {"axis:aside", "axis:cpu.torch", "axis:unknown.torch"} <= forbidden[0]
    assert forbidden[-1] == set()
    assert all("axis:unknown.torch" in rung for rung in forbidden if "axis:cpu.torch" not in rung and rung)


@pytest.mark.parametrize("cuda", ["12.4", "", ">=11"])
def test_where_cuda_was_asked_for_no_rung_admits_cpu_builds(matrix: Matrix, cuda: str) -> None:
    ladder = _needs(matrix, StackRequest(cuda=cuda, frameworks={"torch": ""})).ladder

    assert all("axis:cpu.torch" in {bound.package for bound in rung} for rung in ladder)


def test_a_build_of_a_further_index_stands_aside_where_pypis_own_will_do(matrix: Matrix) -> None:
    free = _needs(matrix, StackRequest(frameworks={"torch": ""}))
    bound = _needs(matrix, StackRequest(frameworks={"torch": ""}), Target(glibc="2.36", driver="535.104.05"))

    assert "axis:aside" in _then(_variant(free, "torch-2.14.1-cu126-index"))
    assert "axis:aside" not in _then(_variant(bound, "torch-2.14.1-cu126-index"))


def test_a_further_index_is_known_by_the_matrix_alone(matrix: Matrix) -> None:
    announced = _needs(matrix, StackRequest(cuda="11.8")).announced

    torch = next(one for one in announced["torch"] if one.version == "2.1.0+cu118")
    vision = next(one for one in announced["torchvision"] if one.version == "0.16.0+cu118")
    assert torch.index == vision.index == "https://download.pytorch.org/whl/cu118"
    assert Bound(package="torch", specifier="==2.1.0") in vision.rules[0].then


def test_cudnn_is_bound_by_the_oldest_gpu(matrix: Matrix) -> None:
    volta = Target(glibc="2.36", driver="580.82.07", gpus=(Gpu(name="V100", capability="7.0"),))
    hopper = Target(glibc="2.36", driver="580.82.07", gpus=(Gpu(name="H100", capability="9.0"),))

    old = _rule(_needs(matrix, StackRequest(), volta), "cudnn-9.11.0.98")

    assert Bound(package="nvidia-cudnn-cu12", specifier="<9.11.0.98") in old.then
    assert not any(rule.id.startswith("cudnn-") for rule in _needs(matrix, StackRequest(), hopper).rules)


def test_a_build_without_code_for_a_gpu_of_any_machine_cannot_be(matrix: Matrix) -> None:
    volta = Target(glibc="2.36", gpus=(Gpu(name="V100", capability="7.0"),))

    assert NEVER in _then(_variant(_needs(matrix, StackRequest(), TARGET, volta), "torch-2.14.1-cu130-pypi"))
    assert NEVER not in _then(_variant(_needs(matrix, StackRequest(), volta), "torch-2.14.1-cu126-index"))


@pytest.mark.parametrize(
    ("project", "version", "package", "specifier"),
    [
        ("torchvision", "0.20.1", TORCH_CUDA, "==12.*"),
        ("torchvision", "0.20.1+cu118", TORCH_CUDA, "==11.8"),
        ("flash-attn", "2.8.3+cu12torch2.4cxx11abifalse", "torch", "==2.4.*"),
        ("flash-attn", "2.8.3+cu12torch2.4cxx11abifalse", TORCH_ABI, "==0"),
        ("torch-scatter", "2.1.2+pt21cu121", TORCH_CUDA, "==12.*"),
        ("torch-scatter", "2.1.2+pt21cpu", TORCH_CUDA, "==0"),
        ("nvidia-cuda-runtime-cu12", "12.4.127", CUDA, "==12.4"),
        ("nvidia-cuda-nvcc-cu12", "12.9.86", CUDA, "==12.*"),
        ("nvidia-cuda-runtime", "13.99.1", CUDA, "==13.*"),
        ("conda:cuda-version", "11.8", CUDA, "==11.8"),
        ("jax-cuda12-plugin", "0.4.35", CUDA, ">=12,<13"),
    ],
)
def test_what_versions_and_labels_say(matrix: Matrix, project: str, version: str, package: str, specifier: str) -> None:
    readings = [one for one in _needs(matrix, StackRequest()).readings if one.package == project]

    said = {bound for one in readings for rule in one.rules(version) for bound in rule.then}

    assert Bound(package=package, specifier=specifier) in said


@pytest.mark.parametrize(
    ("project", "version"),
    [("flash-attn", "2.8.3"), ("flash-attn", "2.8.3+ours"), ("torchvision", "0.20.1+local"), ("nvidia-cublas", "x")],
)
def test_what_says_nothing_binds_nothing(matrix: Matrix, project: str, version: str) -> None:
    readings = [one for one in _needs(matrix, StackRequest()).readings if one.package == project]

    assert readings
    assert not any(one.rules(version) for one in readings if project != "torchvision" or "+" in version)


def test_companions_of_a_channel_stay_with_its_torch(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest())
    places = torch_places(matrix)

    rule = _rule(needs, "torchvision-of-conda-forge")

    assert rule.when == Bound(package="torchvision", world="conda", channel="conda-forge")
    (bound,) = rule.then
    assert bound.package == TORCH_PLACE
    assert set(bound.specifier.split(",")) == {f"!={v}" for p, v in places.items() if p != "conda:conda-forge"}


def test_a_rule_beside_some_cuda_has_a_switch() -> None:
    rule = Rule(id="x", when=Bound(package="a"), then=(Bound(package="b", specifier="<2"),))

    first, second, third = beside_cuda(rule, ">=12")

    assert (first.when, [b.package for b in first.then], first.requires) == (rule.when, ["axis:rule.x"], True)
    assert (second.when, second.then[0].specifier) == (Bound(package=CUDA, specifier=">=12"), "==0")
    assert (third.when, third.then) == (Bound(package="axis:rule.x", specifier="==0"), rule.then)


def test_every_rule_says_why_and_which_row(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="11.8", frameworks={"torch": "2.1.0", "cupy": ""}))

    for rule in (*needs.rules, *(r for v in needs.variants["torch"] for r in v.rules)):
        assert rule.id
        assert rule.why


def test_a_platform_without_rows_keeps_the_requirement(matrix: Matrix) -> None:
    target = Target(platform="linux-aarch64", arch="aarch64", glibc="2.36")

    needs = _needs(matrix, StackRequest(frameworks={"torch": "2.5"}), target)

    assert needs.requirements == (Bound(package="torch", specifier="==2.5.*"),)
    assert not needs.axes


def test_a_project_whose_wheels_have_other_names_has_stand_ins(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest(cuda="12.4", frameworks={"cupy": "13.6.0"}, worlds=PYPI))

    assert needs.requirements == (Bound(package="cupy", specifier="==13.6.0"),)
    assert "cupy-cuda12x" in needs.stand_ins["cupy"]


def test_requirements_of_rows_are_bounds(matrix: Matrix) -> None:
    needs = _needs(matrix, StackRequest())
    rule = next(r for r in _variant(needs, "tensorflow-2.20.0-cu125-pypi").rules if r.id.endswith("-libraries"))

    assert parse_bound("nvidia-cudnn-cu12<10.0,>=9.3.0.75") in rule.then


@pytest.mark.parametrize(
    ("names", "has_to_do_with_cuda"),
    [
        *(({name}, True) for name in ("pytorch", "pytorch-gpu", "torchvision", "torchaudio", "tensorflow-base")),
        *(({name}, True) for name in ("tensorflow", "jaxlib", "cupy", "cuda-version", "cudatoolkit", "pytorch-cuda")),
        *(({name}, False) for name in ("numpy", "python", "scipy", "onnxruntime", "transformers", "no-such-package")),
        ({"numpy", "pytorch"}, True),
    ],
)
def test_a_framework_that_is_asked_of_conda_has_to_do_with_cuda_too(
    matrix: Matrix, names: set[str], has_to_do_with_cuda: bool
) -> None:
    """Where no driver was seen, one that suffices is assumed then: as for a framework of PyPI."""
    needs = needs_of(matrix, StackRequest(), (TARGET,), conda=names)

    assert bool(needs.newest_cuda) == has_to_do_with_cuda
    assert needs_of(matrix, StackRequest(cuda="none"), (TARGET,), conda=names).newest_cuda == ""
