"""The host prober. Drivers are real shared libraries, compiled here, that answer as NVIDIA's do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dataloader.base.errors import UsageError
from dataloader.machine import detect
from dataloader.machine.detect import (
    detect_archspec,
    detect_gcc,
    detect_glibc,
    detect_libstdcxx,
    detect_nvidia,
    detect_target,
    with_system_requirements,
)
from dataloader.machine.target import Gpu, SystemRequirements, Target

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not there to compile a driver library")
no_driver = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a real driver")

LIBCUDA = """
int cuDriverGetVersion(int *v) { *v = 12020; return STATUS; }
int cuInit(unsigned f) { return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { __builtin_strcpy(s, "NVIDIA A10G"); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : 6; return 0; }
"""
NVML = """
int nvmlInit_v2(void) { return 0; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { __builtin_strcpy(s, "535.104.05"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12020; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) { __builtin_strcpy(s, "NVIDIA A100-SXM4-80GB"); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *d, int *a, int *b) { *a = 8; *b = 0; return 0; }
"""


def compile_library(directory: Path, name: str, source: str, *flags: str) -> None:
    command = ["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(directory / name), *flags]
    subprocess.run(command, input=source, text=True, check=True)


def environ_with(directory: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(directory), "PATH": str(directory)}


@needs_gcc
@no_driver
def test_driver_and_gpus_come_from_the_drivers_libraries(tmp_path: Path) -> None:
    compile_library(tmp_path, "libcuda.so.1", LIBCUDA, "-DSTATUS=0")
    compile_library(tmp_path, "libnvidia-ml.so.1", NVML)

    a100 = Gpu(name="NVIDIA A100-SXM4-80GB", capability="8.0")
    assert detect_nvidia(environ_with(tmp_path)) == ("535.104.05", "12.2", (a100, a100))


@needs_gcc
@no_driver
def test_without_nvml_libcuda_tells_the_gpus(tmp_path: Path) -> None:
    compile_library(tmp_path, "libcuda.so.1", LIBCUDA, "-DSTATUS=0")

    assert detect_nvidia(environ_with(tmp_path)) == (None, "12.2", (Gpu(name="NVIDIA A10G", capability="8.6"),))


@needs_gcc
@no_driver
def test_a_toolkits_stub_is_no_driver(tmp_path: Path) -> None:
    compile_library(tmp_path, "libcuda.so.1", LIBCUDA, "-DSTATUS=34")

    assert detect_nvidia(environ_with(tmp_path)) == (None, None, ())


@needs_gcc
@no_driver
@pytest.mark.parametrize("body", ["for (;;);", "__builtin_trap();"])
def test_a_driver_library_that_hangs_or_crashes_is_no_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(detect, "_PROBE_SECONDS", 1.0)
    compile_library(tmp_path, "libcuda.so.1", f"__attribute__((constructor)) void start(void) {{ {body} }}")

    began = time.monotonic()
    assert detect_nvidia(environ_with(tmp_path)) == (None, None, ())
    assert time.monotonic() - began < 5


@no_driver
def test_nvidia_smi_is_the_last_resort(tmp_path: Path) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n"
        'if [ $# = 0 ]; then echo "| NVIDIA-SMI 525.60.13  Driver Version: 525.60.13  CUDA Version: 12.0 |"\n'
        'else echo "Tesla T4, 7.5"; fi\n'
    )
    script.chmod(0o755)

    assert detect_nvidia(environ_with(tmp_path)) == ("525.60.13", "12.0", (Gpu(name="Tesla T4", capability="7.5"),))


@no_driver
def test_no_hint_of_a_driver_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))

    assert detect_nvidia({"PATH": str(tmp_path)}) == (None, None, ())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
        ("something else\n", None),
    ],
)
def test_the_kernel_module_tells_the_drivers_version(tmp_path: Path, text: str, version: str | None) -> None:
    path = tmp_path / "version"
    path.write_text(text)

    assert detect._kernel_module_version(path) == version


V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("sse2", "x86_64"),
        (V2, "x86_64_v2"),
        (V3, "x86_64_v3"),
        (V4, "x86_64_v4"),
        (V4.replace("fma", ""), "x86_64_v2"),
    ],
)
def test_the_cpu_level_is_the_highest_whose_flags_are_all_there(tmp_path: Path, flags: str, level: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: fpu {flags}\nbugs : x\n")

    assert detect_archspec("x86_64", cpuinfo) == level


def test_glibc_is_what_ldd_says() -> None:
    if detect_glibc() is None:
        pytest.skip("this machine has no glibc")
    said = subprocess.run(["ldd", "--version"], capture_output=True, text=True, check=True).stdout

    assert said.splitlines()[0].endswith(str(detect_glibc()))


@needs_gcc
def test_gcc_and_libstdcxx_are_what_the_compiler_says() -> None:
    said = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    library = detect_libstdcxx(os.uname().machine)

    assert detect_gcc(os.environ) == said
    assert library is None or library.startswith("3.4.")


def test_without_a_compiler_there_is_no_gcc(tmp_path: Path) -> None:
    assert detect_gcc({"PATH": str(tmp_path)}) is None


def test_overrides_replace_and_an_empty_one_removes() -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "CONDA_OVERRIDE_CUDA": "12.4",
        "CONDA_OVERRIDE_GLIBC": "2.17",
        "CONDA_OVERRIDE_ARCHSPEC": "x86-64-v3",
        "CONDA_OVERRIDE_LINUX": "4.18",
    }

    target = detect_target(environ=environ)
    bare = detect_target(environ=dict.fromkeys(environ, ""))

    assert (target.driver_cuda, target.glibc, target.archspec, target.kernel) == ("12.4", "2.17", "x86_64_v3", "4.18")
    assert (target.driver, {n: v for n, v, _ in target.virtual_packages()}["__cuda"]) == (None, "12.4")
    assert (bare.driver_cuda, bare.glibc, bare.archspec, bare.gpus) == (None, None, None, ())


def test_an_override_that_is_no_version_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        detect_target(environ={"CONDA_OVERRIDE_CUDA": "latest"})

    assert caught.value.code == "override-invalid"


def test_another_platform_is_assumed_not_detected() -> None:
    other = "linux-aarch64" if os.uname().machine == "x86_64" else "linux-64"

    target = detect_target(other, environ={})

    assert (target.platform, target.driver, target.gcc) == (other, None, None)
    assert target.assumed == ("glibc", "kernel")


def test_an_unknown_platform_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="there is no platform amiga") as caught:
        detect_target("amiga")

    assert "linux-64" in caught.value.causes[0]


def test_system_requirements_describe_the_target() -> None:
    host = Target(glibc="2.36", driver="535.1", driver_cuda="12.2")
    system = SystemRequirements(cuda="12.4", libc="2.28", archspec="x86-64-v3")

    target = with_system_requirements(host, system)

    assert (target.driver_cuda, target.driver, target.glibc, target.archspec) == ("12.4", None, "2.28", "x86_64_v3")
    assert target.assumed == ("archspec", "driver_cuda", "glibc")


def test_system_requirements_that_agree_change_nothing() -> None:
    host = Target(glibc="2.36", driver="535.1", driver_cuda="12.2")

    assert with_system_requirements(host, SystemRequirements(cuda="12.2", libc="2.36")) == host


@no_driver
def test_detection_is_fast() -> None:
    detect_target()

    times = []
    for _ in range(5):
        began = time.perf_counter()
        detect_target()
        times.append(time.perf_counter() - began)

    assert min(times) < 0.2  # 15 ms on an idle machine
