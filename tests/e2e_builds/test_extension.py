"""An extension against torch's headers: built once, used by a second machine as it is, built anew when it changes.

Torch is the one that the package index has, with its CUDA; nvcc compiles where CUDA_HOME names one of that CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]

_FILES = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools", "torch"]
build-backend = "setuptools.build_meta"
[project]
name = "addone"
version = "1.0"
dependencies = ["torch"]
""",
    "setup.py": """
from pathlib import Path
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension
kernels = [str(path) for path in Path().glob("*.cu")]
kind = CUDAExtension if kernels else CppExtension
extension = kind("addone._code", ["addone.cpp", *kernels], extra_compile_args=["-O0"])
build = BuildExtension.with_options(use_ninja=False)
setup(packages=["addone"], ext_modules=[extension], cmdclass={"build_ext": build})
""",
    "addone.cpp": """
#include <torch/library.h>
#include <ATen/ATen.h>
#include <Python.h>
static at::Tensor plus(const at::Tensor &t) { return t + 1; }
TORCH_LIBRARY(addone, m) { m.def("plus", plus); }
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "addone._code", 0, -1, 0};
PyMODINIT_FUNC PyInit__code(void) { return PyModule_Create(&module); }
""",
    "addone/__init__.py": "import torch\nfrom addone import _code\n",
}
_TARGET = """
platform = "linux-64"
glibc = "2.36"
libstdcxx = "3.4.30"
driver = "595.45"
cuda = "13.2"
gpus = ["9.0"]
"""
_KERNEL = """
#include <cuda_runtime.h>
__global__ void plus_one(float *values, int count) { if (threadIdx.x < count) values[threadIdx.x] += 1; }
extern "C" int add_on_gpu(float *values, int count) { plus_one<<<1, 32>>>(values, count); return cudaGetLastError(); }
"""
_COMPILER_OF_TOMORROW = """#!/bin/sh
case "$*" in *-dump*version*) echo 99.1.0;; *) exec g++ "$@";; esac
"""


def _nvcc() -> str | None:
    """Return the nvcc of the toolkit that CUDA_HOME names; torch guesses one from where another lies."""
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=f"{home}/bin") if home else None


class Machine:
    """A folder of work, and a cache."""

    def __init__(self, here: Path, cache: str, **environ: str) -> None:
        self.here = here
        own = {"DATALOADER_CONDA": "never", "DATALOADER_CACHE_DIR": str(here / cache)}
        self._environ = {**os.environ, **own, **environ}

    def run(self, *arguments: str, wants: int = 0) -> str:
        command = [sys.executable, "-m", "dataloader", *arguments]
        done = subprocess.run(
            command, cwd=self.here, env=self._environ, capture_output=True, text=True, check=False, timeout=3000
        )
        assert done.returncode == wants, done.stderr
        return done.stderr

    def added(self, env: str) -> str:
        code = "import torch, addone; print(torch.ops.addone.plus(torch.ones(2)).tolist())"
        python = str(self.here / env / "bin" / "python")
        return subprocess.check_output([python, "-W", "ignore", "-c", code], text=True)

    def key(self) -> str:
        packages = yaml.safe_load((self.here / "dataloader.lock").read_text())["packages"]
        return str(next(entry["build"]["key"] for entry in packages if entry["name"] == "addone"))


@pytest.mark.parametrize("compiler", ["c++", "nvcc"])
def test_it_is_built_once_and_anew_when_it_changes(compiler: str, tmp_path: Path) -> None:
    if compiler == "nvcc" and _nvcc() is None:
        pytest.skip("CUDA_HOME names no toolkit with nvcc")
    tree = tmp_path / "addone"
    (tree / "addone").mkdir(parents=True)
    for name, text in _FILES.items():
        (tree / name).write_text(text)
    if compiler == "nvcc":
        (tree / "kernel.cu").write_text(_KERNEL)
    (tmp_path / "target.toml").write_text(_TARGET)
    target = ("--target", "target.toml") if compiler == "nvcc" else ()
    first, second = Machine(tmp_path, "first"), Machine(tmp_path, "second")

    assert "is built: 1 libraries" in first.run(
        "install", "./addone", "torch", "--build", "addone", "-p", "env", *target
    )
    assert first.added("env") == "[2.0, 2.0]\n"
    assert "is built" not in first.run("sync", "-p", "again", "--lockfile", "dataloader.lock")
    first.run("verify", "-p", "env")

    layer = ("--lockfile", "dataloader.lock", "--cache-layer", str(tmp_path / "first"))
    assert "is built" not in second.run("sync", "-p", "other", *layer)
    assert second.added("other") == "[2.0, 2.0]\n"

    (tree / "addone.cpp").write_text(_FILES["addone.cpp"].replace("t + 1", "t + 2"))
    if compiler == "nvcc":
        tomorrow = tmp_path / "g++-99"
        tomorrow.write_text(_COMPILER_OF_TOMORROW)
        tomorrow.chmod(0o755)
        said = Machine(tmp_path, "first", NVCC_CCBIN=str(tomorrow)).run("sync", "-p", "env", wants=1)
        assert "compiler-unfit" in said
        assert "GCC 99.1.0" in said
        assert first.added("env") == "[2.0, 2.0]\n"
    assert "is built" in first.run("sync", "-p", "env")
    assert first.added("env") == "[3.0, 3.0]\n"

    before = first.key()
    manifest = tmp_path / "dataloader.toml"
    manifest.write_text(
        '[workspace]\nchannels = []\n[pypi-dependencies]\naddone = {path = "addone"}\n'
        '[build]\nallow = ["addone"]\n[build.requires]\naddone = ["packaging"]\n'
    )
    assert "is built" in first.run("sync", "-p", "env")
    assert first.key() != before
