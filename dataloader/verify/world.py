"""The edge between the loader's model and the disk: what paths hold, which machine lies below, which Python runs."""

from __future__ import annotations

import os

from dataloader.loader.disk import Disk
from dataloader.loader.model import LIB_TOKEN, Environment, Memory, hwcaps_of, levels_of
from dataloader.loader.system import DescribedSystem, LoaderSystem, host_system, version_tuple
from dataloader.machine.target import Target
from dataloader.verify.tables import load_tables

_EXEC_STACK_REFUSED = (2, 41)
"""glibc 2.41 release notes: dlopen no longer makes the stack executable."""
_ISA_CHECKED = (2, 33)
"""glibc 2.33 release notes: levels of x86-64 that a file needs are checked."""


def is_this_machine(target: Target) -> bool:
    """Whether ``target`` can be looked at here: no file described it and the C library is this one's."""
    try:
        here = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        here = ""
    if target.name is not None or os.uname().machine != target.arch:
        return False
    return target.glibc is not None and here == f"glibc {target.glibc}"


def system_of(target: Target, *, described: bool) -> LoaderSystem:
    """The machine below the environment."""
    if not described:
        return host_system(target.arch)
    known = load_tables().system
    here = host_system(target.arch) if os.uname().machine == target.arch else None
    if target.is_musl:
        core = known["musl"] | {f"libc.musl-{target.arch}.so.1"}
        libc = f"/lib/ld-musl-{target.arch}.so.1"
        return DescribedSystem(
            target=target,
            core=core,
            libc_stems=known["musl-reserved"],
            musl_libc=libc if os.access(libc, os.R_OK) else None,
        )
    return DescribedSystem(
        target=target,
        core=known["always"],
        usual=known["usual"] if target.libraries is None else frozenset(target.libraries),
        here=here,
    )


def build_environment(
    files: Disk,
    target: Target,
    *,
    described: bool,
    library_path: tuple[str, ...],
    preload: tuple[str, ...] = (),
    memory: Memory | None = None,
) -> Environment:
    """Everything that stays the same for all loads in one prefix on one target."""
    driver = frozenset(soname for soname, provider in load_tables().providers.items() if provider.driver)
    glibc = version_tuple(target.glibc or "") or ()
    return Environment(
        files=files,
        system=system_of(target, described=described),
        machine=target.arch,
        bits=32 if target.arch in ("i386", "i686", "arm") else 64,
        library_path=library_path,
        preload=preload,
        hwcaps=hwcaps_of(target.archspec, target.arch),
        platform=target.arch,
        lib=LIB_TOKEN.get(target.arch, "lib64"),
        assumed=driver.__contains__,
        musl=target.is_musl,
        exec_stack_allowed=glibc < _EXEC_STACK_REFUSED,
        isa=levels_of(target.archspec) if glibc >= _ISA_CHECKED else -1,
        memory=memory or Memory({}, {}),
    )
