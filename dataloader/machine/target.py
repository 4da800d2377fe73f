"""Target: the machine an environment is solved and verified for. Values only; ``detect`` probes the host."""

from __future__ import annotations

from typing import NamedTuple

from dataloader.base.values import dataclass


class Gpu(NamedTuple):
    """One GPU model of a target."""

    name: str
    capability: str
    """Compute capability, ``"8.0"``."""


class Target(NamedTuple):
    """What is known of a machine; ``None`` means unknown or absent, as the field says."""

    platform: str = "linux-64"
    """conda subdir."""
    arch: str = "x86_64"
    """``platform.machine()`` of the target."""
    glibc: str | None = None
    """glibc version; ``None`` on a machine without glibc (musl)."""
    musl: str | None = None
    macos: str | None = None
    """Version of macOS (``"13.0"``), where it is one."""
    libstdcxx: str | None = None
    """Highest GLIBCXX version of the system's libstdc++ (``"3.4.30"``); ``None`` when not known."""
    kernel: str | None = None
    archspec: str | None = None
    """CPU level or microarchitecture in archspec's terms (``x86_64_v3``, ``zen4``)."""
    driver: str | None = None
    """NVIDIA driver version (``"535.104.05"``); ``None`` when none was seen."""
    driver_cuda: str | None = None
    """Highest CUDA version of the driver (``"12.2"``): what conda calls ``__cuda``."""
    gpus: tuple[Gpu, ...] = ()
    gcc: str | None = None
    """Version of the host's gcc, for those who compile."""
    assumed: tuple[str, ...] = ()
    """Names of fields that were assumed (not detected), to be said to the user."""
    variables: tuple[tuple[str, str], ...] | None = None
    """Variables of the processes that run there; ``None`` when nothing is said of them."""
    libraries: tuple[str, ...] | None = None
    """Sonames that the system has beside the C and C++ runtimes; ``None`` when nothing is said of them."""
    name: str | None = None
    """Name of the node pool this target describes, if it came from a file."""

    @property
    def is_musl(self) -> bool:
        """Whether the C library is known to be musl; where none is said, it is taken to be glibc."""
        return self.glibc is None and self.musl is not None

    def virtual_packages(self) -> tuple[tuple[str, str, str], ...]:
        """``(name, version, build)`` of each conda virtual package, sorted by name."""
        system = self.platform.partition("-")[0]
        packages = [("__win", "0", "0")] if system == "win" else [("__unix", "0", "0")]
        if system == "osx":
            packages.append(("__osx", self.macos or "0", "0"))
        elif system == "linux":
            packages.append(("__linux", self.kernel or "0", "0"))
            if self.glibc:
                packages.append(("__glibc", self.glibc, "0"))
        if self.driver_cuda and system != "osx":
            packages.append(("__cuda", self.driver_cuda, "0"))
        if self.archspec:
            packages.append(("__archspec", "1", self.archspec))
        return tuple(sorted(packages))


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemRequirements:
    """What the target must have at least; versions."""

    cuda: str | None = None
    libc: str | None = None
    """glibc, or musl when ``libc_family`` says so."""
    libc_family: str = "glibc"
    linux: str | None = None
    macos: str | None = None
    archspec: str | None = None
