"""An extension against torch's headers: built once, used by a second machine as it is, built anew when it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension
extension = CppExtension("addone", ["addone.cpp"], extra_compile_args=["-O0"])
setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension.with_options(use_ninja=False)})
""",
    "addone.cpp": """
#include <torch/library.h>
#include <ATen/ATen.h>
#include <Python.h>
static at::Tensor plus(const at::Tensor &t) { return t + 1; }
TORCH_LIBRARY(addone, m) { m.def("plus", plus); }
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "addone", 0, -1, 0};
PyMODINIT_FUNC PyInit_addone(void) { return PyModule_Create(&module); }
""",
}


def test_it_is_built_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    tree = tmp_path / "addone"
    tree.mkdir()
    for name, text in _FILES.items():
        (tree / name).write_text(text)

    def run(*arguments: str, cache: str = "first") -> str:
        environ = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_CACHE_DIR": str(tmp_path / cache)}
        command = [sys.executable, "-m", "dataloader", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def added(env: str) -> str:
        code = "import torch, addone; print(torch.ops.addone.plus(torch.ones(2)).tolist())"
        return subprocess.check_output([str(tmp_path / env / "bin" / "python"), "-W", "ignore", "-c", code], text=True)

    said = run("install", "./addone", "torch", "--cuda=none", "--build", "addone", "-p", "env")
    assert "is built: 1 libraries" in said
    assert added("env") == "[2.0, 2.0]\n"
    layer = ("--lockfile", "dataloader.lock", "--cache-layer", str(tmp_path / "first"))
    assert "is built" not in run("sync", "-p", "other", *layer, cache="second")
    assert added("other") == "[2.0, 2.0]\n"
    (tree / "addone.cpp").write_text(_FILES["addone.cpp"].replace("t + 1", "t + 2"))
    assert "is built" in run("sync", "-p", "env")
    assert added("env") == "[3.0, 3.0]\n"
