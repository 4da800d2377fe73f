"""GPU code of objects that nvcc made for known architectures, and of hostile containers."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dataloader.verify.elf import read_elf
from dataloader.verify.gpucode import MAGIC, GpuCode, read_gpu_code, runs_on

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")

_KERNEL = """
__global__ void scale(float *x) { x[threadIdx.x] *= 2.f; }
extern "C" void run(float *x) { scale<<<1, 32>>>(x); }
"""
_LISTS = {
    "one cubin": (["arch=compute_80,code=sm_80"], {("cubin", "80")}),
    "cubins and PTX": (
        ["arch=compute_75,code=sm_75", "arch=compute_86,code=sm_86", "arch=compute_90,code=compute_90"],
        {("cubin", "75"), ("cubin", "86"), ("ptx", "90")},
    ),
    "PTX alone": (["arch=compute_80,code=compute_80"], {("ptx", "80")}),
    "architecture-specific": (
        ["arch=compute_90a,code=sm_90a", "arch=compute_90a,code=compute_90a"],
        {("cubin", "90a"), ("ptx", "90a")},
    ),
    "family-specific": (["arch=compute_100f,code=[sm_100f,compute_100f]"], {("cubin", "100f"), ("ptx", "100f")}),
    "both of one": (["arch=compute_80,code=[sm_80,compute_80]"], {("cubin", "80"), ("ptx", "80")}),
}


_OPTIONS = {"plain": ["--no-compress"], "compressed": ["--compress-mode=size"], "rdc": ["-rdc=true"]}
_QUICK = "cubins and PTX"


@needs_nvcc
@pytest.mark.parametrize("how", sorted(_OPTIONS))
@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each == _QUICK else pytest.mark.e2e) for each in sorted(_LISTS)]
)
def test_list_is_what_nvcc_was_asked_for(tmp_path: Path, name: str, how: str) -> None:
    gencode, expected = _LISTS[name]
    (tmp_path / "k.cu").write_text(_KERNEL)
    command = ["nvcc", "-Xcompiler", "-fPIC", "-shared", "--cudart=none", *_OPTIONS[how], "-o", "k.so", "k.cu"]
    command += [part for each in gencode for part in ("-gencode", each)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    facts, _ = read_elf(tmp_path / "k.so")

    assert {(code.kind, code.arch) for code in facts.gpu} == expected


@pytest.mark.parametrize(
    ("kind", "arch", "capability", "expected"),
    [
        ("cubin", "80", (8, 0), True),
        ("cubin", "80", (8, 6), True),
        ("cubin", "86", (8, 0), False),
        ("cubin", "80", (9, 0), False),
        ("ptx", "80", (9, 0), True),
        ("ptx", "90", (8, 0), False),
        ("cubin", "90a", (9, 0), True),
        ("ptx", "90a", (10, 0), False),
        ("cubin", "100f", (10, 3), True),
        ("ptx", "100f", (12, 0), False),
        ("cubin", "120", (12, 1), True),
    ],
)
def test_binary_compatibility_within_a_major_and_ptx_forward(
    kind: str, arch: str, capability: tuple[int, int], expected: bool
) -> None:
    assert runs_on(GpuCode(kind, arch), capability) is expected  # type: ignore[arg-type]


def entry(kind: int, arch: int, *, header: int = 64, size: int = 8, flags: int = 0) -> bytes:
    fixed = struct.pack("<HHIQIIHHIIIQ", kind, 0x101, header, size, 0, 0, 8, 1, arch, 0, 0, flags)
    return fixed.ljust(header, b"\0") + b"\0" * size


def container(*entries: bytes, size: int | None = None) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", MAGIC, 1, 16, len(body) if size is None else size) + body


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (container(entry(2, 80), entry(1, 90)), {("cubin", "80"), ("ptx", "90")}),
        (container(entry(2, 80)) + b"\0" * 24 + container(entry(2, 90)), {("cubin", "80"), ("cubin", "90")}),
        (container(entry(2, 80), entry(7, 90)), {("cubin", "80")}),
        (container(entry(2, 80), size=1 << 60), {("cubin", "80")}),
        (container(entry(2, 80, size=0)[:40]), set()),
        (container(entry(2, 80) + entry(2, 86, header=0)[:64].ljust(80, b"\0")), {("cubin", "80"), ("cubin", "86")}),
        (b"\0" * 100, set()),
        (struct.pack("<I", MAGIC), set()),
    ],
    ids=["two", "padded", "unknown-kind", "endless", "cut", "no-header-size", "nothing", "magic-only"],
)
def test_containers_that_lie_are_read_as_far_as_they_go(data: bytes, expected: set[tuple[str, str]]) -> None:
    found = read_gpu_code(data, {".nv_fatbin": (0, len(data))})

    assert {(code.kind, code.arch) for code in found} == expected
