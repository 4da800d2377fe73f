"""What the loader's model works on: images, the objects of a process (glibc's link map), failures. Values only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from dataloader.elf.definitions import Definitions
from dataloader.elf.facts import ElfFacts
from dataloader.loader.system import LoaderSystem

FileId = tuple[int, int]


class FileImage(NamedTuple):
    """What a path holds."""

    file_id: FileId
    facts: ElfFacts | None
    problem: str | None = None
    """Why it is no ELF file, in the loader's words."""
    key: str = ""
    """Stands for the content: equal keys, equal bytes."""


class Files(Protocol):
    """The file system as the loader sees it."""

    def image(self, path: str) -> FileImage | None:
        """What is at ``path``, links followed; ``None`` when nothing is (a dangling link too)."""

    def is_folder(self, path: str) -> bool:
        """Whether a folder is at ``path``, links followed."""

    def undefined(self, image: FileImage) -> frozenset[bytes]:
        """``name`` or ``name@version`` of the undefined symbols of an image that has facts; weak ones left out."""

    def definitions(self, image: FileImage) -> Definitions:
        """What an image that has facts defines, of all names in what :meth:`undefined` gave so far."""

    def relocated(self, path: str, *, at_once: bool = False) -> frozenset[bytes]:
        """Names of symbols that relocations of the file refer to; ``at_once``: those not put off to the first call."""


FailureKind: TypeAlias = Literal[
    "missing-library",
    "version-not-provided",
    "undefined-symbol",
    "malformed-elf",
    "wrong-machine",
    "not-a-library",
    "executable-stack",
    "static-tls",
    "processor-too-old",
]


class Failure(NamedTuple):
    """One reason for which a file does not load."""

    kind: FailureKind
    path: str
    """The file at fault."""
    name: str
    """The soname, version or symbol in question."""
    provider: str | None = None
    """The library that should have it, where one is loaded."""
    searched: tuple[str, ...] = ()
    """Where it was looked for, in order."""


class Loaded:
    """One object in a process (glibc's link map)."""

    __slots__ = ("directories", "image", "loader", "names", "needed", "path", "why")

    def __init__(self, path: str, image: FileImage | None, loader: Loaded | None, names: set[str], why: str) -> None:
        self.path = path
        self.image = image
        """``None``: provided by a machine that is only described, or by the driver."""
        self.loader = loader
        self.names = names
        self.why = why
        """What led the loader to it: ``RUNPATH``, ``ld.so.cache``, ..."""
        self.needed: list[Loaded] = []
        self.directories: list[tuple[str, str]] | None = None
        """Where its own needs are searched for, and why there, once that was asked: what brought it never changes."""

    @property
    def facts(self) -> ElfFacts | None:
        return self.image.facts if self.image else None

    @property
    def origin(self) -> str:
        return self.path.rpartition("/")[0]

    def rpath(self) -> str | None:
        """DT_RPATH in effect: none where there is a DT_RUNPATH."""
        facts = self.facts
        return facts.rpath if facts and facts.runpath is None else None


class Memory(NamedTuple):
    """What symbol lookups came to, by content: an image's key stands for its bytes. Lookups add to it."""

    sufficed: dict[str, list[tuple[str, ...]]]
    """Image -> sets of images that together had all it needs."""
    missing: dict[str, frozenset[bytes]]
    """Image and its whole scope -> names not found."""


class Environment(NamedTuple):
    """What stays the same for all loads of one verification."""

    files: Files
    system: LoaderSystem
    memory: Memory
    machine: str = "x86_64"
    bits: int = 64
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH of the process."""
    preload: tuple[str, ...] = ()
    """LD_PRELOAD of the process: paths and names."""
    hwcaps: tuple[str, ...] = ()
    """Subdirectories tried first in each directory (``glibc-hwcaps/x86-64-v3``), best first."""
    platform: str = "x86_64"
    """$PLATFORM."""
    lib: str = "lib64"
    """$LIB."""
    assumed: Callable[[str], bool] = lambda _: False
    """Sonames that come with the driver or the process and count as present."""
    exec_stack_allowed: bool = True
    isa: int = -1
    """Levels of x86-64 that the processor has, as ElfFacts.isa_needed has them; all where that is not known, or the
    loader does not ask (glibc before 2.33, musl)."""
    musl: bool = False
    """The loader is musl's (ldso/dynlink.c): one search path for RPATH and RUNPATH, inherited; no symbol versions."""


STATIC_TLS_SURPLUS: Final = 1664
"""Bytes; glibc's default (elf/dl-tls.c: 4 namespaces, and rtld.optional_static_tls = 512)."""


class Result(NamedTuple):
    """What one dlopen came to."""

    root: Loaded | None
    failures: list[Failure]
    scope: list[Loaded]
    """Breadth-first, the root first: the objects whose symbols it can use."""

    @property
    def loads(self) -> bool:
        return not self.failures


def hwcaps_of(archspec: str | None, machine: str) -> tuple[str, ...]:
    """glibc-hwcaps subdirectories for a CPU level in archspec's terms (glibc 2.33 and later), best first.

    >>> hwcaps_of("x86_64_v3", "x86_64")
    ('glibc-hwcaps/x86-64-v3', 'glibc-hwcaps/x86-64-v2')
    """
    if machine != "x86_64" or not archspec or not archspec.startswith("x86_64_v"):
        return ()
    level = archspec.removeprefix("x86_64_v")
    return tuple(f"glibc-hwcaps/x86-64-v{n}" for n in range(int(level), 1, -1)) if level.isdigit() else ()


def levels_of(archspec: str | None) -> int:
    """The levels of x86-64, a bit each, of a CPU level in archspec's terms; all where they are not known.

    >>> levels_of("x86_64_v3"), levels_of("zen4")
    (7, -1)
    """
    found = re.fullmatch(r"x86_64(?:_v([1-9]))?", archspec or "")
    return (1 << int(found[1] or 1)) - 1 if found else -1


LIB_TOKEN: Final[Mapping[str, str]] = {"x86_64": "lib/x86_64-linux-gnu", "aarch64": "lib/aarch64-linux-gnu"}
"""$LIB as Debian and Ubuntu build ld.so."""
