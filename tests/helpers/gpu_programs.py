"""Programs with GPU code for chosen architectures, each of which prints what the driver says of it.

    python -m tests.helpers.gpu_programs FOLDER 9.0 [NVCC]

builds all of them, by the names that tests give them, for a GPU of compute capability 9.0. A machine that has the GPU
and another nvcc, or none, runs them: ``GPU_PROGRAMS=FOLDER pytest tests/functional/test_verify_gpu_device.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

Capability = tuple[int, int]

_KERNEL = """
#include <cstdio>
__global__ void answer(int *x) { *x = 42; }
static cudaError_t ask(int *found) {
  int *x = nullptr;
  cudaError_t error = cudaMalloc(&x, sizeof(int));
  if (error == cudaSuccess) { answer<<<1, 1>>>(x); error = cudaGetLastError(); }
  if (error == cudaSuccess) error = cudaMemcpy(found, x, sizeof(int), cudaMemcpyDeviceToHost);
  return error;
}
"""
_MAIN = """
int main() {
  int found = 0;
  cudaError_t error = ask(&found);
  printf("%s %d\\n", cudaGetErrorName(error), found);
  return 0;
}
"""
_EXTENSION = """
extern "C" void *PyInit__ext() { return nullptr; }
extern "C" const char *driver_says() {
  int found = 0;
  return cudaGetErrorName(ask(&found));
}
"""
CODE: Mapping[str, tuple[str, ...]] = {
    "older major": ("sm_OLDER",),
    "older minor": ("sm_EARLIER",),
    "own": ("sm_OWN",),
    "own alone": ("sm_OWNa",),
    "newer": ("sm_NEWER",),
    "PTX of own": ("compute_OWN",),
    "PTX of own alone": ("compute_OWNa",),
    "PTX of older major": ("compute_OLDER",),
    "PTX of newer": ("compute_NEWER",),
    "older with PTX": ("sm_OLDER", "compute_OLDER"),
    "older with PTX of newer": ("sm_OLDER", "compute_NEWER"),
    "newer with PTX of older": ("sm_NEWER", "compute_OLDER"),
    "older and newer": ("sm_OLDER", "sm_NEWER"),
    "own with PTX of newer": ("sm_OWN", "compute_NEWER"),
}
"""What a program holds, in terms of the GPU at hand."""
HOW: Mapping[str, tuple[str, ...]] = {"plain": ("--no-compress",), "compressed": (), "rdc": ("-rdc=true",)}


def nvcc_says(nvcc: str, *arguments: str) -> str:
    """What the compiler prints."""
    return subprocess.run([nvcc, *arguments], capture_output=True, text=True, check=True).stdout


def gencode(code: tuple[str, ...], own: Capability, nvcc: str) -> list[str] | None:
    """The options of nvcc for ``code`` of CODE; ``None`` where this nvcc knows no such architecture."""
    listed = re.findall(r"compute_(\d+)\s", nvcc_says(nvcc, "--list-gpu-arch") + "\n")
    known = sorted((int(number[:-1]), int(number[-1])) for number in listed)
    fitting = {
        "OWN": [each for each in known if each == own],
        "OLDER": [each for each in known if each[0] < own[0]],
        "EARLIER": [each for each in known if each[0] == own[0] and each[1] < own[1]],
        "NEWER": [each for each in reversed(known) if each > own],
    }
    options = []
    for each in code:
        kind, which, suffix = re.fullmatch(r"(sm|compute)_([A-Z]+)(a?)", each).groups()  # type: ignore[union-attr]
        if not fitting[which] or (suffix and own < (9, 0)):
            return None
        number = "{}{}".format(*fitting[which][-1]) + suffix
        options += ["-gencode", f"arch=compute_{number},code={kind}_{number}"]
    return options


def compile_program(path: Path, options: list[str], nvcc: str = "nvcc", *, extension: bool = False) -> None:
    """Write an executable, or an extension module with ``driver_says``, at ``path``.

    Raises:
        CalledProcessError: nvcc failed; ``stderr`` says why.
    """
    source = path.parent / f"{path.name.partition('.')[0]}.cu"
    source.write_text(_KERNEL + (_EXTENSION if extension else _MAIN))
    form = ["-shared", "-Xcompiler", "-fPIC"] if extension else []
    command = [nvcc, *options, *form, "-Wno-deprecated-gpu-targets", "-Xlinker", "-s", "-o", str(path), str(source)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    source.unlink()


def _build_all(folder: Path, own: Capability, nvcc: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in CODE.items():
        for how, options in HOW.items():
            if (architectures := gencode(code, own, nvcc)) is not None:
                compile_program(folder / f"{name} {how}".replace(" ", "-"), [*architectures, *options], nvcc)


if __name__ == "__main__":
    where, capability, *rest = sys.argv[1:]
    major, minor = capability.split(".")
    _build_all(Path(where), (int(major), int(minor)), *(rest or ["nvcc"]))
