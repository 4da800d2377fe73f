"""Compilers that do not go together are told before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import BuildFailure
from dataloader.build.compilers import Compilers, check_compilers, compilers_of
from dataloader.compat.matrix import load_matrix


def _program(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_compilers_are_asked_only_where_there_is_cuda_code(tmp_path: Path) -> None:
    _program(tmp_path / "cuda" / "bin" / "nvcc", "Cuda compilation tools, release 12.1, V12.1.66")
    _program(tmp_path / "bin" / "g++", "14.2.0")
    environ = {"CUDA_HOME": str(tmp_path / "cuda"), "PATH": "/usr/bin:/bin", "CXX": str(tmp_path / "bin" / "g++")}
    tree = tmp_path / "tree"
    tree.mkdir()

    assert compilers_of(tree, environ) is None
    (tree / "kernel.cu").write_text("")
    found = compilers_of(tree, environ)
    assert found == Compilers(str(tmp_path / "cuda/bin/nvcc"), "12.1", "14.2.0", str(tmp_path / "bin/g++"))
    assert compilers_of(tree, {**environ, "CUDA_HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("cuda", "gcc", "against", "why"),
    [
        ("12.1", "12.2.0", {}, None),
        ("12.1", "14.2.0", {}, "does not accept"),
        ("12.1", "14.2.0", {"torch": "2.1.0+cpu"}, None),  # the CUDA code is left out
        ("12.1", "12.2.0", {"torch": "2.1.0+cu118"}, "of CUDA 11.8"),
        ("12.4", "12.2.0", {"torch": "2.1.0+cu121"}, None),
        ("12.1", None, {}, None),  # clang, or nobody knows
    ],
)
def test_a_compiler_that_nvcc_refuses_is_refused(
    cuda: str, gcc: str | None, against: dict[str, str], why: str | None
) -> None:
    found = Compilers("/cuda/bin/nvcc", cuda, gcc, "g++")
    if why is None:
        check_compilers("demo 1.0", found, load_matrix(), against)
        return
    with pytest.raises(BuildFailure, match=why) as caught:
        check_compilers("demo 1.0", found, load_matrix(), against)
    assert caught.value.code == "compiler-unfit"
