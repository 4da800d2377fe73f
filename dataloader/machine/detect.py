"""The only prober of the host: platform, C library, CPU level, NVIDIA driver and GPUs, compiler -> Target.

Everything is optional: no driver, no GPU, no glibc and no compiler are normal answers. Nothing here can hang.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError
from dataloader.base.platforms import check_known, detect_platform, machine_of
from dataloader.machine.host import OVERRIDE, cpu_flags, has_nvidia, libstdcxx_paths, which
from dataloader.machine.target import Gpu, Target

if TYPE_CHECKING:
    from dataloader.machine.target import SystemRequirements

# Flags of /proc/cpuinfo for each level of the x86-64 psABI, beyond the level before.
_X86_LEVELS = (
    ("x86_64_v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("x86_64_v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86_64_v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)

# For a platform that is not this machine's: what pixi assumes too.
_ASSUMED = {"linux": {"glibc": "2.28", "kernel": "4.18"}, "osx": {"macos": "13.0"}}
_PROBE_SECONDS = 10.0


EVERYTHING = frozenset({"libstdcxx", "gcc"})
"""What it takes time to find out: a megabyte to read, and a process to ask."""

FOR_VERDICTS = frozenset({"libstdcxx"})
"""What a verdict on files depends on. A stack depends on neither."""


def detect_target(
    platform: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    ask: Collection[str] = EVERYTHING,
) -> Target:
    """Describe this machine, or a usual machine of another ``platform`` (a conda subdir).

    ``CONDA_OVERRIDE_CUDA``, ``_GLIBC``, ``_ARCHSPEC``, ``_LINUX`` and ``_OSX`` replace what is detected; an empty value
    removes it. What of EVERYTHING is not to be asked for is ``None``.

    Raises:
        UsageError: ``platform-unknown``.
    """
    environ = os.environ if environ is None else environ
    here = detect_platform()
    if platform is None or platform == here:
        return _overridden(_detect_host(here, os.uname(), environ, ask), environ)
    check_known(platform)
    assumed = _ASSUMED.get(platform.partition("-")[0], {})
    target = Target(platform=platform, arch=machine_of(platform), assumed=tuple(sorted(assumed)))
    return _overridden(
        target._replace(glibc=assumed.get("glibc"), kernel=assumed.get("kernel"), macos=assumed.get("macos")), environ
    )


def with_system_requirements(target: Target, system: SystemRequirements) -> Target:
    """The target that a manifest's [system-requirements] describe: what they say, else what ``target`` has."""
    said: dict[str, str | None] = {
        "driver_cuda": system.cuda,
        "archspec": _archspec(system.archspec),
    }
    if target.platform.startswith("linux-"):
        said |= {"kernel": system.linux, "glibc" if system.libc_family == "glibc" else "musl": system.libc}
    elif target.platform.startswith("osx-"):
        said = {"macos": system.macos}
    changes: dict[str, str | None] = {
        name: value for name, value in said.items() if value is not None and value != getattr(target, name)
    }
    assumed = tuple(sorted({*target.assumed, *changes}))
    if "driver_cuda" in changes:
        changes["driver"] = None
    if "musl" in changes:
        changes["glibc"] = None
    return target._replace(**changes, assumed=assumed)  # type: ignore[arg-type]


def _detect_macos() -> str | None:
    import platform  # 1 ms

    return platform.mac_ver()[0] or None


def _detect_host(platform: str, uname: os.uname_result, environ: Mapping[str, str], ask: Collection[str]) -> Target:
    linux = uname.sysname == "Linux"
    release = re.match(r"\d+(\.\d+)*", uname.release)
    glibc = detect_glibc() if linux else None
    driver, driver_cuda, gpus = detect_nvidia(environ) if linux else (None, None, ())
    return Target(
        platform=platform,
        arch=uname.machine,
        glibc=glibc,
        musl=detect_musl(environ) if linux and glibc is None else None,
        macos=None if linux else _detect_macos(),
        libstdcxx=detect_libstdcxx(uname.machine) if linux and "libstdcxx" in ask else None,
        kernel=release[0] if release else None,
        archspec=detect_archspec(uname.machine),
        driver=driver,
        driver_cuda=driver_cuda,
        gpus=gpus,
        gcc=detect_gcc(environ) if "gcc" in ask else None,
    )


def detect_glibc() -> str | None:
    """glibc version of this process (confstr(3)); ``None`` on musl and elsewhere."""
    try:
        answer = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return None
    name, _, version = answer.partition(" ")
    return version if name == "glibc" else None


def detect_musl(environ: Mapping[str, str]) -> str | None:
    """musl version, from its loader, which prints it when run alone."""
    for loader in sorted(Path("/lib").glob("ld-musl-*.so.1")):
        text = _ask([str(loader)], environ, stderr=True)
        if match := re.search(r"Version (\S+)", text):
            return match[1]
    return None


def detect_archspec(machine: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """CPU level in archspec's terms: ``x86_64`` .. ``x86_64_v4``; other machines by their name."""
    if machine != "x86_64":
        return "m1" if machine == "arm64" else machine
    flags = set(cpu_flags(cpuinfo).split())
    level = machine
    for name, needed in _X86_LEVELS:
        if not needed <= flags:
            break
        level = name
    return level


_HEAD = 1 << 20
"""Bytes of a library in which its .dynstr is looked for first: it comes before the code."""


def detect_libstdcxx(machine: str) -> str | None:
    """Highest GLIBCXX version that the system's libstdc++ defines."""
    for library in libstdcxx_paths(machine):
        try:
            with open(library, "rb") as file:
                head = file.read(_HEAD)
                # The names of version definitions lie together in .dynstr; a full ELF reading would take longer than
                # all the rest, and so would a search of the code.
                versions = _glibcxx(head) if head.rfind(b"\0GLIBCXX_") < _HEAD // 2 else []
                versions = versions or _glibcxx(head + file.read())
        except OSError:
            continue
        return f"3.4.{max(versions)}" if versions else None
    return None


def _glibcxx(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"\0GLIBCXX_3\.4\.(\d+)(?=\0)", data)]


def detect_gcc(environ: Mapping[str, str]) -> str | None:
    """Version of the gcc on PATH."""
    path = which("gcc", environ)
    text = _ask([path, "-dumpfullversion", "-dumpversion"], environ) if path else ""
    match = re.match(r"\d+(\.\d+)*", text.strip())
    return match[0] if match else None


def detect_nvidia(environ: Mapping[str, str]) -> tuple[str | None, str | None, tuple[Gpu, ...]]:
    """``(driver version, highest CUDA version, GPUs)``; libcuda and NVML first, nvidia-smi as the last resort."""
    if not has_nvidia(environ):
        return None, None, ()
    answer = _probe(environ)
    driver = answer.get("driver") or _kernel_module_version()
    if "cuda" not in answer and driver is None and not (answer := _ask_nvidia_smi(environ)):
        return None, None, ()
    driver = driver or answer.get("driver")
    gpus = tuple(Gpu(name=name, capability=capability) for name, capability in answer.get("gpus", ()))
    return driver, answer.get("cuda"), gpus


def _probe(environ: Mapping[str, str]) -> dict[str, Any]:
    script = Path(__file__).with_name("nvidia_probe.py")
    text = _ask([sys.executable, "-I", "-S", str(script)], environ)
    # A driver library may write lines of its own; a crash leaves none of ours.
    lines = [line for line in text.splitlines() if line.startswith('{"') and line.endswith("}")]
    return json.loads(lines[-1]) if lines else {}


def _kernel_module_version(path: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    try:
        match = re.search(r"Kernel Module.*?\s(\d{3,}\.\d+(?:\.\d+)?)\s", path.read_text())
    except OSError:
        return None
    return match[1] if match else None


def _ask_nvidia_smi(environ: Mapping[str, str]) -> dict[str, Any]:
    if (path := which("nvidia-smi", environ)) is None:
        return {}
    answer: dict[str, Any] = {}
    banner = _ask([path], environ)
    if match := re.search(r"Driver Version: ([\d.]+)", banner):
        answer["driver"] = match[1]
    if match := re.search(r"CUDA Version: ([\d.]+)", banner):
        answer["cuda"] = match[1]
    rows = _ask([path, "--query-gpu=name,compute_cap", "--format=csv,noheader"], environ).splitlines()
    pairs = (row.rsplit(", ", 1) for row in rows)
    gpus = [pair for pair in pairs if len(pair) == 2 and re.fullmatch(r"\d+\.\d+", pair[1])]
    return answer | {"gpus": gpus} if answer else {}


def _ask(command: list[str], environ: Mapping[str, str], *, stderr: bool = False) -> str:
    """Output of a command; empty when it cannot run, fails to answer in time, or says nothing."""
    import subprocess  # for those who have something to ask

    try:
        done = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if stderr else subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


_OVERRIDES = {"linux": (("GLIBC", "glibc"), ("LINUX", "kernel")), "osx": (("OSX", "macos"),)}
"""What of a system ``CONDA_OVERRIDE_*`` says."""


def _overridden(target: Target, environ: Mapping[str, str]) -> Target:
    """Apply ``CONDA_OVERRIDE_*``; the driver and GPUs behind an overridden CUDA version are no longer known."""
    changes: dict[str, Any] = {}
    system = target.platform.partition("-")[0]
    if (
        (cuda := environ.get(f"{OVERRIDE}CUDA")) is not None
        and (cuda or None) != target.driver_cuda
        and system != "osx"
    ):
        changes |= {"driver_cuda": cuda.strip() or None, "driver": None}
        if not cuda.strip():
            changes["gpus"] = ()
    for variable, name in _OVERRIDES.get(system, ()):
        if (value := environ.get(f"{OVERRIDE}{variable}")) is not None:
            changes[name] = value.strip() or None
    if (archspec := environ.get(f"{OVERRIDE}ARCHSPEC")) is not None:
        changes["archspec"] = _archspec(archspec.strip() or None)
    for variable, name in (("CUDA", "driver_cuda"), *_OVERRIDES.get(system, ())):
        value = changes.get(name)
        if value is not None and not re.fullmatch(r"\d+(\.\d+)*", value):
            raise UsageError(
                f"CONDA_OVERRIDE_{variable}={value} is not a version",
                code="override-invalid",
                suggestions=("give a version such as 12.4, or an empty value for none",),
            )
    return target._replace(**changes)


def _archspec(name: str | None) -> str | None:
    """``x86-64-v3`` and ``x86_64_v3`` are one name."""
    return re.sub(r"[-.]", "_", name) if name and name.startswith(("x86-64", "x86_64")) else name
