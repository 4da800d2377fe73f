"""Why a release is no candidate whatever else is chosen: what it is of, and who excludes that."""

from __future__ import annotations

import pytest

from dataloader.compat.matrix import load_matrix
from dataloader.machine.target import Target
from dataloader.resolve.words.ruled_out import RuledOut
from dataloader.resolve.words.rules import RuleBook
from dataloader.resolve.words.versions import VersionSpace
from dataloader.stack.model import StackRequest
from dataloader.stack.problem import needs_of

RUNTIME = "nvidia-cuda-runtime-cu12"


@pytest.mark.parametrize(
    ("asked", "target", "why"),
    [
        (StackRequest(cuda="12.4"), Target(), "CUDA 12.4 was asked for"),
        (StackRequest(cuda="none"), Target(), "CPU builds were asked for"),
        (StackRequest(gcc="14"), Target(), "nvcc of CUDA 12.1 accepts GCC up to 12 as host compiler"),
        (StackRequest(), Target(driver="470.82.01"), "CUDA 12 needs driver 525.60.13 or later"),
    ],
)
def test_who_excludes_a_release_is_named(asked: StackRequest, target: Target, why: str) -> None:
    needs = needs_of(load_matrix(), asked, (target,))
    ruled_out = RuledOut(RuleBook(needs), lambda axis: VersionSpace(needs.axes[axis]))

    assert ruled_out.is_out(RUNTIME, "12.1.105")
    assert f"{RUNTIME} 12.1.105 is of CUDA 12.1; " in ruled_out.why(RUNTIME, "12.1.105")
    assert why in ruled_out.why(RUNTIME, "12.1.105")


def test_nobody_excludes_what_nothing_is_asked_of() -> None:
    needs = needs_of(load_matrix(), StackRequest(), (Target(),))
    ruled_out = RuledOut(RuleBook(needs), lambda axis: VersionSpace(needs.axes[axis]))

    assert not ruled_out.is_out(RUNTIME, "12.1.105")
    assert ruled_out.why(RUNTIME, "12.1.105") == ""
