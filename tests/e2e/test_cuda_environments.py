"""The main job with real wheels: gigabytes from the package index, installed, verified, run. ``nox -s e2e``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]


class Desk:
    """A directory and a cache that the steps of one story share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {**os.environ, "DATALOADER_CACHE_DIR": str(root / "cache"), "PIP_CONFIG_FILE": os.devnull}

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dataloader", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.root, env=self.env, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.run(*arguments, "--json"))  # type: ignore[no-any-return]

    def python(self, program: str) -> str:
        return self.run("run", "-p", "env", "--", "python", "-c", program).strip()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    shutil.rmtree(tmp_path)


def versions(document: dict[str, Any]) -> dict[str, str]:
    return {p["name"]: p["version"] for p in document["packages"]}


def test_torch_for_cuda_12_1_with_transformers(desk: Desk) -> None:
    wanted = ("--cuda=12.1", "--torch=2.1.0", "transformers==4.36.0", "accelerate==0.25.0")
    document = desk.json("install", *wanted, "-p", "env", "--conda=never")

    assert versions(document)["numpy"].startswith("1.")
    said = desk.python("import torch, transformers, accelerate; print(torch.version.cuda, torch.ones(2).numpy().sum())")
    assert said == "12.1 2.0"
    report = desk.json("verify", "-p", "env")
    assert [f for f in report["findings"] if f["severity"] == "error"] == []
    assert desk.json("sync", "-p", "env")["changed"] is False

    shutil.rmtree(desk.root / "env")
    assert desk.json("sync", "-p", "env", "--offline")["changed"] is True
    assert desk.python("import torch; print(torch.ones(2).numpy())") == "[1. 1.]"


def test_tensorflow_for_cuda_11_8(desk: Desk) -> None:
    document = desk.json("install", "--cuda=11.8", "--tensorflow=2.14.0", "-p", "env", "--conda=never")

    chosen = versions(document)
    assert chosen["nvidia-cudnn-cu11"].startswith("8.")
    assert chosen["numpy"].startswith("1.")
    assert "tensorrt" not in chosen
    libraries = [name for name in chosen if name.startswith("nvidia-")]
    assert libraries
    assert all(name.endswith("-cu11") for name in libraries)
    opened = desk.python(
        "import ctypes\n"
        "for name in ('cudart.so.11.0', 'cublas.so.11', 'cublasLt.so.11', 'cufft.so.10', 'curand.so.10',"
        " 'cusolver.so.11', 'cusparse.so.11', 'cudnn.so.8'):\n"
        "    ctypes.CDLL('lib' + name)\n"
        "import tensorflow; print(tensorflow.constant([1.0, 2.0]).numpy().sum())"
    )
    assert opened.splitlines()[-1] == "3.0"
    report = desk.json("verify", "-p", "env")
    assert [f for f in report["findings"] if f["severity"] == "error"] == []
