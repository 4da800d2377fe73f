"""The kind of machine that wheels are wanted for, and which wheels are for others. Values only."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

_WINDOWS = ("win32.whl", "win_amd64.whl", "win_arm64.whl")
"""How the names of wheels for Windows end (PEP 425)."""
_MACHINES = ("x86_64", "aarch64", "i686", "armv6l", "armv7l", "ppc64", "ppc64le", "s390x", "riscv64", "loongarch64")
"""Machines that Linux wheels are built for (PEP 600, 656), as ``uname -m`` has them."""


class System(NamedTuple):
    """The kind of machine that wheels are wanted for."""

    machine: str
    """As ``uname -m`` has it."""
    libc: Literal["glibc", "musl"]

    @property
    def key(self) -> str:
        """A name for what a page was thinned for."""
        return f"{self.machine}-{self.libc}"

    def is_elsewhere(self, filename: str) -> bool:
        """Whether a wheel, of which the end of the name that says its platforms will do, is for other systems only."""
        end = filename[filename.rfind("-") :]
        foreign = "musllinux_" if self.libc == "glibc" else "manylinux"
        native = "manylinux" if self.libc == "glibc" else "musllinux_"
        if end.endswith(_other_machines(self.machine)) or (foreign in end and native not in end):
            return True
        return end.startswith("-macosx_") and "linux" not in end


@cache
def _other_machines(machine: str) -> tuple[str, ...]:
    return (*_WINDOWS, *(f"_{other}.whl" for other in _MACHINES if other != machine))
