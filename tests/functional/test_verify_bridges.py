"""Modules that a package does without or chooses among, and libraries that others open first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.machine.detect import detect_target
from dataloader.verify import verify_prefix
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register

pytestmark = needs_gcc

_BRIDGE = "extern int aoti_torch_dtype_bool(void); int PyInit__bridge(void) { return aoti_torch_dtype_bool(); }"


def install_torch(prefix: Path, *, defines: str = "aoti_torch_dtype_bool") -> None:
    make_library(prefix / SITE / "torch/lib/libtorch_cpu.so", f"int {defines}(void) {{ return 1; }}")
    register(prefix, "torch", "2.11.0", paths=["torch/lib/libtorch_cpu.so"], files={"torch/__init__.py": ""})


def install_bridge(prefix: Path, *, source: str = "", requires: tuple[str, ...] = ()) -> None:
    path = f"core/_bridge{EXTENSION}"
    make_library(prefix / SITE / path, _BRIDGE)
    register(prefix, "core", "1.0", paths=[path], files={"core/__init__.py": source}, requires=requires)


def severities(prefix: Path, kind: str) -> list[str]:
    return [each.severity for each in verify_prefix(prefix, target=detect_target()).findings if each.kind == kind]


@pytest.mark.parametrize(
    ("source", "requires", "severity"),
    [("", (), "note"), ("", ("torch>=2",), "error"), ("import torch", (), "error"), ("", ("numpy",), "note")],
    ids=["does without", "requires it", "imports it", "requires another"],
)
def test_bridge_to_a_framework_that_the_package_does_without(
    tmp_path: Path, source: str, requires: tuple[str, ...], severity: str
) -> None:
    prefix = make_prefix(tmp_path / "env")
    install_torch(prefix)
    register(prefix, "numpy", "2.0")
    install_bridge(prefix, source=source, requires=requires)

    assert severities(prefix, "undefined-symbol") == [severity]


def test_bridge_to_another_version_of_a_framework_is_told_apart(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    install_torch(prefix, defines="aoti_torch_another")
    install_bridge(prefix)

    (finding,) = verify_prefix(prefix, target=detect_target()).findings

    assert finding.severity == "warning"
    assert "built for another torch than torch 2.11.0 here" in finding.evidence


def test_what_was_looked_up_before_does_not_change_what_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    install_torch(prefix)
    install_bridge(prefix)
    reports = []
    for turn in range(2):
        # Of another age, so that the last answer does not hold; what was looked up in libraries does.
        os.utime(prefix / SITE / "core/__init__.py", (turn, turn))
        assert main(["verify", f"--prefix={prefix}", "--format=json"]) == 0
        reports.append(json.loads(capsys.readouterr().out)["findings"])

    assert reports[0] == reports[1]
    assert [each["severity"] for each in reports[0]] == ["note"]


@pytest.mark.parametrize(
    ("there", "folder", "expected"),
    [
        (("one",), "mpi", ["warning"]),
        (("one", "two"), "mpi", []),
        ((), "mpi", ["error", "error"]),
        (("one",), "elsewhere", ["warning"]),
    ],
    ids=["one of them", "both", "none", "one of them, where its finder looks"],
)
def test_of_several_files_for_one_module_one_suffices(
    tmp_path: Path, there: tuple[str, ...], folder: str, expected: list[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    site = prefix / SITE
    paths = []
    for name in ("one", "two"):
        soname = f"lib{name}.so.1"
        backend = make_library(site / folder / soname, "int go(void) { return 1; }", soname=soname)
        paths.append(f"mpi/MPI.{name}{EXTENSION}")
        source = "extern int go(void); int PyInit_MPI(void) { return go(); }"
        make_library(site / paths[-1], source, needs=[backend], runpath="$ORIGIN")
        if name in there:
            paths.append(f"{folder}/{soname}")
        else:
            backend.unlink()
    register(prefix, "mpi", "1.0", paths=paths, files={"mpi/__init__.py": ""})

    assert severities(prefix, "missing-library") == expected


_PRELOADS = 'LIBS = ["libnvrtc.so.*[0-9]", "libnvrtc-builtins.so.*[0-9]"]'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"torch/__init__.py": _PRELOADS}, []),
        ({"torch/__init__.py": "", "torch/cuda.py": "NAME = 'libnvrtc-builtins'"}, []),
        ({"torch/__init__.py": "LIBS = ['libnvrtc.so.*[0-9]']"}, ["error"]),
        ({"torch/__init__.py": "", "torch/tests/cuda.py": _PRELOADS}, ["error"]),
    ],
    ids=["by a pattern", "by its name", "not named", "named in a test"],
)
def test_what_a_library_opens_may_have_been_opened_by_its_user(
    tmp_path: Path, files: Mapping[str, str], expected: list[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    folder = prefix / SITE / "nvidia/cu13/lib"
    # NVRTC of CUDA 13.0 has no RUNPATH: its builtins are found where they have been opened, or nowhere.
    make_library(folder / "libnvrtc.so.13", 'const char *opens = "libnvrtc-builtins.so.13.0";', soname="libnvrtc.so.13")
    make_library(folder / "libnvrtc-builtins.so.13.0", "int builtins;", soname="libnvrtc-builtins.so.13.0")
    paths = [f"nvidia/cu13/lib/{name}" for name in ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0")]
    register(prefix, "nvidia-cuda-nvrtc", "13.0.88", paths=paths)
    register(prefix, "cuda-toolkit", "13.0.2", requires=["nvidia-cuda-nvrtc==13.0.* ; extra == 'nvrtc'"])
    register(prefix, "torch", "2.11.0", files=files, requires=["cuda-toolkit[nvrtc]==13.0.2"])

    assert severities(prefix, "cannot-open") == expected
