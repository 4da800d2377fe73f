"""What this machine is described from, raw and quickly read: whether anything changed, is known from this alone.

Imports next to nothing. What is made of it is the business of :mod:`dataloader.machine.detect`.
"""

# ruff: noqa: PTH110, PTH113, PTH118, PTH208
# As dataloader.prefix.locate: importing pathlib would take longer than all this.

from __future__ import annotations

import os

from dataloader.base.state import state_at

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OVERRIDE = "CONDA_OVERRIDE_"
"""Variables of this name replace what is detected."""

_CPUINFO = "/proc/cpuinfo"
_FIRST_CPU = 1 << 14
"""Bytes in which the first processor's flags stand; the file has as many such parts as there are processors."""


def machine_evidence(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Equal evidence makes :func:`dataloader.machine.detect.detect_target` say the same, but for a compiler.

    ``None`` where that cannot be told without asking a program: of a driver, or of a C library that is not glibc.
    """
    if has_nvidia(environ):
        return None
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None
    uname = os.uname()
    overrides = sorted(f"{name}={value}" for name, value in environ.items() if name.startswith(OVERRIDE))
    libraries = (f"{path} {state_at(path)}" for path in libstdcxx_paths(uname.machine))
    return uname.sysname, uname.release, uname.machine, libc or "", cpu_flags(), *libraries, *overrides


def machine_key() -> str:
    """Stands for what of this machine decides whether packages load: looked up in a millisecond, without probing."""
    machine = os.uname().machine
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    libraries = sorted({os.path.realpath(path) for path in libstdcxx_paths(machine) if os.path.exists(path)})
    return "\n".join([machine, libc or "", cpu_flags(), *libraries, *_gpu_models()])


def _gpu_models(folder: str = "/proc/driver/nvidia/gpus") -> Iterator[str]:
    try:
        cards = sorted(os.listdir(folder))
    except OSError:
        return
    for card in cards:
        try:
            with open(os.path.join(folder, card, "information"), encoding="utf-8", errors="replace") as file:
                yield next((line.strip() for line in file if line.startswith("Model:")), "")
        except OSError:
            yield ""


def available_processors() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_flags(path: str | os.PathLike[str] = _CPUINFO) -> str:
    """What the first processor can do, as Linux names it; ``""`` where it does not say."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(_FIRST_CPU).decode(errors="replace")
    except OSError:
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "flags"), "")


def libstdcxx_paths(machine: str) -> Iterator[str]:
    """Where the system's libstdc++ may be; the first one counts."""
    triplet = f"{machine}-linux-gnu"
    for directory in (f"/usr/lib/{triplet}", f"/lib/{triplet}", "/usr/lib64", "/lib64", "/usr/lib", "/lib"):
        yield f"{directory}/libstdc++.so.6"


def has_nvidia(environ: Mapping[str, str]) -> bool:
    """Whether anything hints at a driver; without a hint no process is started."""
    devices = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl", "/dev/nvgpu")
    machine = os.uname().machine
    directories = [f"/usr/lib/{machine}-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/nvidia/lib64"]
    directories += [part for part in environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    libraries = (os.path.join(directory, "libcuda.so.1") for directory in directories)
    return any(map(os.path.exists, (*devices, *libraries))) or which("nvidia-smi", environ) is not None


def which(program: str, environ: Mapping[str, str]) -> str | None:
    """The path of a program, as shutil.which finds it: importing that takes longer than everything here."""
    candidates = (os.path.join(directory, program) for directory in os.get_exec_path(environ))
    return next((path for path in candidates if os.path.isfile(path) and os.access(path, os.X_OK)), None)
