"""What the driver says of programs that nvcc made for one architecture each, against our verdict. Needs a GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dataloader.detect import detect_target
from dataloader.verify.elf import read_elf
from dataloader.verify.gpu import parse_capability
from dataloader.verify.gpucode import runs_on

_PROGRAM = """
#include <cstdio>
__global__ void answer(int *x) { *x = 42; }
int main() {
  int *x = nullptr, found = 0;
  cudaError_t error = cudaMalloc(&x, sizeof(int));
  if (error == cudaSuccess) { answer<<<1, 1>>>(x); error = cudaGetLastError(); }
  if (error == cudaSuccess) error = cudaMemcpy(&found, x, sizeof(int), cudaMemcpyDeviceToHost);
  printf("%s %d\\n", cudaGetErrorName(error), found);
  return 0;
}
"""
_RUNS = "cudaSuccess 42"
_REFUSED = ("cudaErrorNoKernelImageForDevice 0", "cudaErrorInvalidDeviceFunction 0")
_PTX_TOO_NEW = "cudaErrorUnsupportedPtxVersion 0"
_CASES = (
    "an older major",
    "an older minor",
    "its own",
    "PTX of its own",
    "PTX of an older major",
    "PTX of a newer one",
)


def capability_of(case: str, own: tuple[int, int], known: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The architecture to compile for; ``None`` where this nvcc knows none such."""
    if case in ("its own", "PTX of its own"):
        return own if own in known else None
    fitting = {
        "an older major": [each for each in known if each[0] < own[0]],
        "an older minor": [each for each in known if each[0] == own[0] and each[1] < own[1]],
        "PTX of an older major": [each for each in known if each[0] < own[0]],
        "PTX of a newer one": [each for each in known if each > own],
    }[case]
    return fitting[-1] if fitting else None


def compile_for(folder: Path, capability: tuple[int, int], *, ptx: bool) -> Path:
    """A program with code for one architecture alone."""
    (folder / "answer.cu").write_text(_PROGRAM)
    arch = f"{capability[0]}{capability[1]}"
    gencode = f"arch=compute_{arch},code={'compute' if ptx else 'sm'}_{arch}"
    command = ["nvcc", "-gencode", gencode, "-Wno-deprecated-gpu-targets", "-o", "answer", "answer.cu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "answer"


def nvcc_says(*arguments: str) -> str:
    return subprocess.run(["nvcc", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.gpu
@pytest.mark.parametrize("case", _CASES)
def test_the_driver_agrees_with_the_verdict(case: str, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    target = detect_target()
    if not target.gpus:
        pytest.skip("needs a GPU and its driver")
    own = parse_capability(target.gpus[0].capability)
    assert own is not None
    known = sorted(
        (int(n[:-1]), int(n[-1])) for n in re.findall(r"compute_(\d+)\s", nvcc_says("--list-gpu-arch") + "\n")
    )
    asked = capability_of(case, own, known)
    if asked is None:
        pytest.skip(f"this nvcc knows no architecture that is {case} of a GPU with {own}")
    program = compile_for(tmp_path, asked, ptx=case.startswith("PTX"))

    (code,) = read_elf(program)[0].gpu
    said = subprocess.run([program], capture_output=True, text=True, check=True, timeout=120).stdout.strip()

    if code.kind == "ptx" and said == _PTX_TOO_NEW:
        # Our note says so: the driver must be as new as the CUDA that made the PTX.
        toolkit = parse_capability(re.findall(r"release (\d+\.\d+)", nvcc_says("--version"))[0])
        assert (toolkit or ()) > (parse_capability(target.driver_cuda or "") or ())
    elif runs_on(code, own):
        assert said == _RUNS
    else:
        assert said in _REFUSED
