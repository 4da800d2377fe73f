"""GPU code of objects that nvcc made for known architectures, and of hostile containers."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dataloader.elf.facts import read_elf
from dataloader.elf.gpucode import MAGIC, GpuCode, read_gpu_code, runs_on
from dataloader.machine.target import Gpu, Target
from dataloader.verify import Finding, verify_prefix
from dataloader.verify.tables import ptx_of_cuda
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fatbin import container, cubin, entry, fatbin_source, ptx
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register

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


@needs_nvcc
@pytest.mark.parametrize(
    ("gencode", "expected"),
    [
        (["arch=compute_80,code=sm_80", "arch=compute_90,code=compute_90"], {("cubin", "80"), ("ptx", "90")}),
        # The runtime for devices is linked in, with PTX of its own.
        (["arch=compute_80,code=compute_80"], {("ptx", "80"), ("ptx", "121")}),
    ],
    ids=["linked", "left to the driver"],
)
def test_of_relocatable_parts_only_their_ptx_counts_once_they_are_linked(
    tmp_path: Path, gencode: list[str], expected: set[tuple[str, str]]
) -> None:
    (tmp_path / "k.cu").write_text(_KERNEL + "int main() { run(nullptr); }")
    command = ["nvcc", "-rdc=true", "-o", "program", "k.cu", *(part for each in gencode for part in ("-gencode", each))]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    facts, _ = read_elf(tmp_path / "program")

    assert {(code.kind, code.arch) for code in facts.gpu} == expected


@needs_nvcc
def test_version_of_ptx_is_that_which_nvcc_wrote(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text(_KERNEL)
    subprocess.run(["nvcc", "-ptx", "-arch=compute_80", "k.cu"], cwd=tmp_path, check=True, capture_output=True)
    said = re.search(r"^\.version (\d+)\.(\d+)$", (tmp_path / "k.ptx").read_text(), re.MULTILINE)
    assert said
    options = ["-Xcompiler", "-fPIC", "-shared", "--cudart=none", "-gencode", "arch=compute_80,code=compute_80"]
    subprocess.run(["nvcc", *options, "-o", "k.so", "k.cu"], cwd=tmp_path, check=True, capture_output=True)
    listed = subprocess.run(["nvcc", "--version"], check=True, capture_output=True, text=True).stdout
    release = re.search(r"release (\d+)\.(\d+)", listed)
    assert release

    (code,) = read_elf(tmp_path / "k.so")[0].gpu

    assert code.isa == (int(said[1]), int(said[2])) == ptx_of_cuda()[int(release[1]), int(release[2])]


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


def install(prefix: Path, *entries: bytes, extension: bool = True) -> None:
    """A package whose one library carries these."""
    path = f"pkg/_ext{EXTENSION}" if extension else "pkg/libpkg.so"
    source = fatbin_source(*entries)
    make_library(prefix / SITE / path, f"{source} int PyInit__ext(void) {{ return fat[0]; }}")
    register(prefix, "pkg", "1.0", paths=[path], files={"pkg/__init__.py": ""})


def findings_on(prefix: Path, capability: str, cuda: str | None) -> list[Finding]:
    target = Target(glibc="2.39", driver_cuda=cuda, gpus=(Gpu(name="a GPU", capability=capability),))
    return [each for each in verify_prefix(prefix, target=target).findings if each.kind != "missing-library"]


@needs_gcc
@pytest.mark.parametrize(
    ("entries", "capability", "cuda", "expected"),
    [
        ([cubin(90)], "9.0", "13.0", []),
        ([cubin(80)], "9.0", "13.0", ["error no-gpu-code"]),
        ([cubin(80), ptx(80)], "9.0", "13.0", ["note ptx-only"]),
        ([cubin(80), ptx(80)], "8.6", "11.8", []),
        ([ptx(80)], "9.0", "12.9", ["error ptx-too-new"]),
        ([ptx(80)], "9.0", None, ["note ptx-only"]),
        ([ptx(100)], "9.0", "12.9", ["error no-gpu-code"]),
        ([ptx(80, (8, 5))], "9.0", "12.5", ["note ptx-only"]),
        ([ptx(80, (8, 5))], "9.0", "12.4", ["error ptx-too-new"]),
        # 12.7 has no toolkit of its own: what its driver compiles beyond 12.6 is not known, so nothing is said.
        ([ptx(80, (8, 7))], "9.0", "12.7", ["note ptx-only"]),
        ([ptx(80, (8, 8))], "9.0", "12.7", ["error ptx-too-new"]),
        ([ptx(80, (99, 0))], "9.0", "13.5", ["error ptx-too-new"]),
        ([ptx(80, (99, 0))], "9.0", "99.0", ["note ptx-only"]),
        ([ptx(80, (0, 0))], "9.0", "12.0", ["note ptx-only"]),
        ([ptx(80, (3, 2))], "9.0", "9.0", ["note ptx-only"]),
    ],
)
def test_code_and_ptx_against_gpu_and_driver(
    tmp_path: Path, entries: list[bytes], capability: str, cuda: str | None, expected: list[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, *entries)

    found = findings_on(prefix, capability, cuda)

    assert [f"{each.severity} {each.kind}" for each in found] == expected


@needs_gcc
def test_ptx_that_is_too_new_names_the_driver_that_it_takes(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, ptx(80, (8, 5)))

    (finding,) = findings_on(prefix, "9.0", "12.4")

    assert "a driver for CUDA 12.4 does not compile" in finding.message
    assert finding.evidence[0] == "it is PTX 8.5, which takes a driver for CUDA 12.5"


@needs_gcc
def test_library_without_extension_module_is_worth_a_warning(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, cubin(80), extension=False)

    assert [each.severity for each in findings_on(prefix, "9.0", "13.0")] == ["warning"]


@needs_gcc
@pytest.mark.parametrize(("arch", "expected"), [(90, []), (80, ["error"])])
def test_code_among_large_data_counts(tmp_path: Path, arch: int, expected: list[str]) -> None:
    # libcufft.so.12 loads its kernels itself, and has next to nothing where nvcc puts code.
    prefix = make_prefix(tmp_path / "env")
    path = f"pkg/_ext{EXTENSION}"
    large = fatbin_source(cubin(arch), section=".ldata").replace("fat[]", "large[]")
    source = fatbin_source(cubin(75)) + large + "int PyInit__ext(void) { return fat[0] + large[0]; }"
    make_library(prefix / SITE / path, source)
    register(prefix, "pkg", "1.0", paths=[path], files={"pkg/__init__.py": ""})

    assert [each.severity for each in findings_on(prefix, "9.0", "13.0")] == expected
