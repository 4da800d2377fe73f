"""What the driver says of programs that nvcc made for known architectures, against our verdict. Needs a GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.elf.facts import read_elf
from dataloader.elf.gpucode import GpuCode
from dataloader.machine.detect import detect_target
from dataloader.verify.checks.gpu import Device, describe, devices_of
from tests.helpers.gpu_programs import CODE, HOW, compile_program, gencode
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register

pytestmark = pytest.mark.gpu
_RUNS = ("cudaSuccess 42",)
_NO_CODE = (
    "cudaErrorNoKernelImageForDevice 0",
    "cudaErrorInvalidDeviceFunction 0",
    "cudaErrorSymbolNotFound 0",  # of code that was linked for others
)
_PTX_TOO_NEW = ("cudaErrorUnsupportedPtxVersion 0",)
_MADE_ELSEWHERE = sorted(Path(os.environ.get("GPU_PROGRAMS") or "/nonexistent").glob("*"))


@pytest.fixture
def device() -> Device:
    found = next(devices_of(detect_target()), None)
    if found is None:
        pytest.skip("needs a GPU and its driver")
    assert found.driver_cuda is not None
    return found


def architectures(name: str, device: Device) -> list[str]:
    """The options of nvcc for a case."""
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    options = gencode(CODE[name], device.capability, "nvcc")
    if options is None:
        pytest.skip(f"this nvcc compiles nothing that is {name} to compute capability {device.number}")
    return options


def expected(device: Device, code: tuple[GpuCode, ...]) -> tuple[str, ...]:
    """What a program with this code may print."""
    if any(device.runs(each) for each in code):
        return _RUNS
    return _PTX_TOO_NEW if any(device.refuses(each) for each in code) else _NO_CODE


def check(program: Path, device: Device) -> None:
    code = read_elf(program)[0].gpu
    said = subprocess.run([program], capture_output=True, text=True, check=True, timeout=120).stdout.strip()

    assert said in expected(device, code), describe(code)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", CODE)
def test_the_driver_agrees_with_the_verdict(name: str, how: str, device: Device, tmp_path: Path) -> None:
    options = architectures(name, device)
    try:
        compile_program(tmp_path / "answer", [*options, *HOW[how]])
    except subprocess.CalledProcessError as error:
        if "nvlink fatal   : specified arch exceeds buffer length" not in error.stderr:
            raise
        pytest.skip("nvlink 13.0 does not link PTX alone of an architecture with three digits; 13.5's does")

    check(tmp_path / "answer", device)


@pytest.mark.skipif(
    not _MADE_ELSEWHERE, reason="GPU_PROGRAMS names no folder of programs: tests/helpers/gpu_programs.py"
)
@pytest.mark.parametrize("program", _MADE_ELSEWHERE, ids=lambda path: path.name)
def test_the_driver_agrees_on_programs_of_another_toolkit(program: Path, device: Device) -> None:
    check(program, device)


@pytest.mark.parametrize("name", ["own", "older major", "newer", "PTX of older major", "PTX of newer"])
def test_verify_fails_where_an_extension_finds_no_code(
    name: str, device: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = make_prefix(tmp_path / "prefix")
    path = f"pkg/_ext{EXTENSION}"
    (prefix / SITE / "pkg").mkdir()
    compile_program(prefix / SITE / path, architectures(name, device), extension=True)
    register(prefix, "pkg", "1.0", paths=[path], files={"pkg/__init__.py": ""})

    code = main(["verify", f"--prefix={prefix}", "--format=json"])
    kinds = {each["kind"] for each in json.loads(capsys.readouterr().out)["findings"] if each["severity"] == "error"}

    asked = f"import ctypes; f = ctypes.CDLL({str(prefix / SITE / path)!r}).driver_says; f.restype = ctypes.c_char_p"
    command = [sys.executable, "-c", f"{asked}; print(f().decode())"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    assert (code, kinds) == ((0, set()) if said == "cudaSuccess" else (1, {"no-gpu-code"})), said
