"""Over generated worlds: what exists is found and nothing else, and what says nothing changes nothing."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from dataloader.base.errors import IndexUnavailable, ResolutionFailure
from dataloader.compat.companions import torch_rows
from dataloader.compat.matrix import load_matrix
from dataloader.compat.versions import admits, key
from dataloader.locking.lock import Locked
from dataloader.locking.stacks import stack_request, stacks
from dataloader.locking.targets import make_targets
from tests.helpers.solving import solve
from tests.helpers.worlds import (
    PYPI,
    RUNTIMES,
    File,
    World,
    examples,
    exists,
    worlds,
    worlds_of_machines,
    worlds_with_options,
)

EXAMPLES = examples(25)


def _packages(locked: Locked | None) -> list[str] | None:
    return None if locked is None else [f"{p.name} {p.version} {p.url}" for p in locked.lock.packages]


@EXAMPLES
@given(worlds())
def test_a_solution_is_found_if_and_only_if_there_is_one(world: World) -> None:
    found, there = solve(world), exists(world)

    assert (found is None) == (there is None), (world.asked, there)


@EXAMPLES
@given(worlds_with_options())
def test_options_of_every_kind_together_admit_what_there_is_and_nothing_else(world: World) -> None:
    found, there = solve(world), exists(world)

    assert (found is None) == (there is None), (world.asked, world.stack, there)


@EXAMPLES
@given(worlds_of_machines())
def test_options_and_machines_of_several_pools_admit_what_there_is_and_nothing_else(world: World) -> None:
    found, there = solve(world), exists(world)

    assert (found is None) == (there is None), (world.asked, world.stack, world.others, there)


@EXAMPLES
@given(worlds_of_machines())
def test_an_index_out_of_reach_decides_only_where_nothing_else_would_do(world: World) -> None:
    """What can be reached is found; refused is only what what cannot be reached would not solve either."""
    at_hand = replace(world, reached=False, files=tuple(file for file in world.files if file.place == PYPI))
    found, there = _solved_or_unreached(at_hand), exists(at_hand)

    if isinstance(found, IndexUnavailable):
        assert there is None, (world.asked, world.stack, there)
        assert "did not answer" in found.message
        assert len(found.causes) > 1
    else:
        assert (found is None) == (there is None), (world.asked, world.stack, there)
        assert found is not None or exists(world) is None, (world.asked, world.stack)


def _solved_or_unreached(world: World) -> Locked | IndexUnavailable | None:
    try:
        return solve(world)
    except IndexUnavailable as error:
        return error


@pytest.mark.parametrize(
    ("axis", "value", "told"),
    [
        ("cuda", "12", "CUDA 12 was asked for, and nothing here uses CUDA"),
        ("cuda", "", "CUDA was asked for, and nothing here uses CUDA"),
        ("cudnn", "9", "cuDNN 9 was asked for, and nothing here uses cuDNN"),
        ("cudnn", "55", "cuDNN 55 was asked for, and nothing here uses cuDNN"),
        ("nccl", ">=2.20", "NCCL >=2.20 was asked for, and nothing here uses NCCL"),
        ("gcc", "12", "GCC 12 was asked for, and nothing here is compiled with it"),
        ("cuda", "none", None),
    ],
)
def test_an_option_that_nothing_reads_is_said(axis: str, value: str, told: str | None) -> None:
    plain, torch = File("numpy", "2.2.0"), File("torch", "2.5.1", (RUNTIMES["12.4"], "nvidia-cudnn-cu12==9.1.0.70"))
    runtime, cudnn = File("nvidia-cuda-runtime-cu12", "12.4.127"), File("nvidia-cudnn-cu12", "9.1.0.70")
    world = World(files=(plain, torch, runtime, cudnn), asked=("numpy",), cuda=None, driver=None)
    world = replace(world, options=((axis, value),))

    alone = solve(world)
    beside = solve(world.asking("numpy", "torch")) if value not in ("none", "55") else None

    assert alone is not None
    assert [w for w in alone.stack.warnings if "nothing here" in w] == ([told] if told else [])
    assert beside is None or not [w for w in beside.stack.warnings if "nothing here" in w]
    assert beside is not None or value in ("none", "55")


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ({"cuda": "none", "cudnn": "8"}, "cuDNN 8 was asked for, which goes with CUDA alone"),
        ({"cuda": "13", "cudnn": "8"}, "CUDA 13 was asked for"),
        ({"cuda": "99"}, "the matrix knows CUDA"),
        ({"cuda": "12.1", "gcc": "14"}, "GCC 14 was asked for"),
    ],
)
def test_options_that_contradict_each_other_are_refused_whatever_is_asked_for(stack: dict[str, str], told: str) -> None:
    world = World(
        files=(File("numpy", "2.2.0"),), asked=("numpy",), cuda=None, driver=None, options=tuple(stack.items())
    )

    with pytest.raises(ResolutionFailure) as caught:
        solve(world, refuse=True)

    assert caught.value.code == "no-stack"
    assert told in "\n".join(caught.value.causes)


@pytest.mark.parametrize("driver", [None, "470.82.01", "580.82.07"])
def test_options_contradict_each_other_whatever_the_machines_exclude_besides(driver: str | None) -> None:
    """A cuDNN that no driver of the 470 branch can have is not one that the matrix does not know."""
    world = World(files=(File("numpy", "2.2.0"),), asked=("numpy",), cuda="11.8", driver=driver)

    assert solve(replace(world, options=(("cudnn", "9.26.0.51"),))) is None
    assert solve(replace(world, options=(("cudnn", "8.9"),))) is not None


def test_what_a_further_index_alone_has_is_found() -> None:
    only = File("torch", "1.13.1+cpu", (), "https://download.pytorch.org/whl/cpu")

    found = solve(World(files=(only,), asked=("torch",), cuda=None, driver=None))

    assert found is not None
    assert [f"{p.name} {p.version}" for p in found.lock.packages] == ["torch 1.13.1+cpu"]


@EXAMPLES
@given(worlds())
def test_a_bare_name_that_the_solution_holds_changes_nothing(world: World) -> None:
    first = solve(world)
    if first is None:
        return
    asked = set(world.asked)
    for name in [p.name for p in first.lock.packages if p.name in ("torch", "torchvision", "app-b", "numpy")]:
        if name not in asked:
            assert _packages(solve(world.asking(*world.asked, name))) == _packages(first), name


@EXAMPLES
@given(worlds())
def test_the_order_of_requirements_changes_nothing(world: World) -> None:
    other = list(world.asked)
    random.Random(1).shuffle(other)

    assert _packages(solve(world.asking(*other))) == _packages(solve(world))


@pytest.mark.parametrize("cuda", [None, "none", "11.8", "12", "12.6", "13", ">=12,<12.9"])
@pytest.mark.parametrize("asked", ["torch", "torch>=2.3,<2.9"])
@pytest.mark.parametrize(("driver", "gpu"), [(None, None), ("470.82.01", None), ("535.104.05", "V100"), (None, "B200")])
def test_plan_and_lock_agree_where_all_is_there(
    asked: str, cuda: str | None, driver: str | None, gpu: str | None
) -> None:
    """The world of all that the matrix says there is of torch on indexes."""
    world = World(files=tuple(_every_torch()), asked=(asked,), cuda=cuda, driver=driver, gpu=gpu)
    locked = solve(world)
    stack = None
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ResolutionFailure):
        request = world.request(Path(folder))
        wanted = stack_request(load_matrix(), request, frozenset({"pypi"}), ())
        stack = next(stacks(load_matrix(), wanted, make_targets(request, load_matrix(), {})))

    assert (locked is None) == (stack is None)
    if locked is not None and stack is not None:
        assert [row.id for build in locked.stack.builds for row in build.rows] == [
            build.rows[0].id for build in stack.builds
        ]
        assert [doubt.text for doubt in locked.stack.doubts] == [doubt.text for doubt in stack.doubts]


@pytest.mark.parametrize("project", ["vllm", "flash-attn"])
def test_vendors_indexes_serve_in_their_real_form(project: str) -> None:
    """Their URLs and labels are those of the matrix; PyPI has the engine for CUDA 13 alone, in a newer release."""
    matrix = load_matrix()
    rows = [row for row in matrix.further if row.project == project and row.cuda == "12.8"]
    newest = max(rows, key=lambda row: key(row.version))
    index = matrix.indexes[newest.place]
    line = newest.torch.removeprefix("==").removesuffix(".*")
    label = index.local_of("12.8", line)
    torch = next(r for r in torch_rows(matrix) if admits(newest.torch, r.version) and r.channel == "pytorch-index")
    place = matrix.indexes["pytorch-index"].url_of("12.8")
    world = World(
        files=(
            File("torch", "2.14.1"),
            File("torch", f"{torch.version}+cu128", (), place),
            File(project, "99.0", ("torch==2.14.1",)),
            File(project, f"{newest.version}+{label}", ("torch",), index.url_of("12.8", newest.version)),
        ),
        asked=(project,),
        cuda="12.8",
        driver=None,
    )

    found = solve(world)

    assert found is not None
    versions = {p.name: p.version for p in found.lock.packages}
    assert versions == {project: f"{newest.version}+{label}", "torch": f"{torch.version}+cu128"}


def _every_torch() -> Iterator[File]:
    matrix = load_matrix()
    for row in torch_rows(matrix):
        if (index := matrix.indexes.get(row.channel)) is not None:
            yield File("torch", f"{row.version}+{index.local_of(row.cuda)}", (), index.url_of(row.cuda))
        elif row.channel == "pypi":
            yield File("torch", row.version)


@EXAMPLES
@given(worlds())
def test_options_bind_whatever_is_brought_in(world: World) -> None:
    found = solve(world)
    if found is None:
        return
    cuda = found.lock.stack.get("cuda", "none")
    if world.cuda == "none":
        assert not any(p.name.startswith("nvidia-") for p in found.lock.packages)
    elif world.cuda and cuda != "none":
        assert admits(world.cuda if world.cuda[0] in "<>=" else f"=={world.cuda}", cuda)
    if world.driver and cuda not in ("", "none"):
        assert int(cuda.split(".")[0]) <= {"470": 11, "535": 12, "580": 13}[world.driver[:3]]


def test_a_refusal_says_in_words_that_no_build_for_the_cpu_is_taken() -> None:
    """What a wheel opens without requiring it is nowhere: it could be taken for the CPU, which --cuda forbids."""
    world = World(files=(File("tensorflow", "2.18.0"),), asked=("tensorflow",), cuda="12.5", driver=None, gpu=None)

    assert solve(world) is None
