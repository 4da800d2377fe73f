"""What verify knows beforehand, from compat-matrix/: providers of sonames, run-time openings, what systems have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from dataloader.base.errors import ManifestError
from dataloader.compat.openings import Opening, load_openings, table_rows
from dataloader.elf.gpucode import parse_capability


class Provider(NamedTuple):
    """Packages that hold a library of one soname."""

    soname: str
    library: str
    cuda_majors: tuple[str, ...]
    pypi: tuple[tuple[str, str | None], ...]
    """(project, CUDA major)."""
    conda: tuple[tuple[str, str], ...]
    """(channel, package)."""
    driver: bool
    """Comes with the NVIDIA driver, never from a package."""


class Tables(NamedTuple):
    """The tables, checked."""

    providers: Mapping[str, Provider]
    openings: tuple[Opening, ...]
    system: Mapping[str, frozenset[str]]
    """``always``, ``usual`` and ``musl``: sonames of a described machine."""
    openmp: frozenset[str] = frozenset()
    """OpenMP runtimes, by library name (``libgomp``)."""
    openmp_alone: frozenset[str] = frozenset()
    """Those of which a process may begin one only."""
    families: frozenset[str] = frozenset()
    """What the names of libraries begin with that are parts of one: ``libcudnn``."""
    singles: frozenset[str] = frozenset()
    """Libraries of which one search list may have one version only."""
    system_packages: Mapping[str, str] = MappingProxyType({})
    """soname -> the command that installs it on Debian, whose packages were looked into."""
    without: Mapping[str, tuple[frozenset[str], str]] = MappingProxyType({})
    """Distribution -> libraries of the system that it needs, and its sibling that does without."""


@cache
def load_tables() -> Tables:
    """The tables of compat-matrix/ that verify reads.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    rows = table_rows("soname-providers.jsonl")
    providers = {
        row["soname"]: Provider(
            soname=row["soname"],
            library=row["library"],
            cuda_majors=tuple(row["cuda_majors"]),
            pypi=tuple((project["project"], project["cuda_major"]) for project in row["pypi"]),
            conda=tuple((package["channel"], package["package"]) for package in row["conda"]),
            driver=row["driver"],
        )
        for row in rows
        if row["kind"] == "provider"
    }
    system = {row["presence"]: frozenset(row["sonames"]) for row in rows if row["kind"] == "system"}
    openmp = [row for row in rows if row["kind"] == "openmp"]
    return Tables(
        providers=providers,
        openings=load_openings(),
        system=system,
        openmp=frozenset(name for row in openmp for name in row["libraries"]),
        openmp_alone=frozenset(name for row in openmp for name in row["alone"]),
        families=frozenset(name for row in rows if row["kind"] == "family" for name in row["libraries"]),
        singles=frozenset(name for row in rows if row["kind"] == "single" for name in row["libraries"]),
        system_packages={
            row["soname"]: f"apt-get install {row['apt']}" for row in rows if row["kind"] == "system-package"
        },
        without={
            row["project"]: (frozenset(row["without"]), row["sibling"]) for row in rows if row["kind"] == "sibling"
        },
    )


def family_of(name: str, families: Iterable[str]) -> str | None:
    """Which of the families a library is a part of, by its file name.

    >>> family_of("libcudnn_ops.so.9", ["libcudnn"]), family_of("libcudnnx.so.1", ["libcudnn"])
    ('libcudnn', None)
    """
    stem = name.partition(".so")[0]
    return next((family for family in families if stem == family or re.match(rf"{family}(?:[-_]|Lt)", stem)), None)


class Together(NamedTuple):
    """Packages that work in one version with another one, compared as far as it is numbers with dots."""

    id: str
    of: str
    packages: tuple[str, ...]
    why: str
    source: str


@cache
def load_together() -> tuple[Together, ...]:
    """Which packages must have the version of another one.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    return tuple(
        Together(row["id"], row["of"], tuple(row["packages"]), row["why"], row["source"])
        for row in table_rows("together.jsonl")
    )


@cache
def ptx_of_cuda() -> Mapping[tuple[int, int], tuple[int, int]]:
    """CUDA version -> the version of the PTX ISA that it writes, and that drivers of it compile.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    found = {}
    for row in table_rows("toolkit.jsonl"):
        if row.get("ptx_isa"):
            cuda, isa = parse_capability(str(row.get("cuda"))), parse_capability(str(row["ptx_isa"]))
            if cuda is None or isa is None:
                why = f"toolkit.jsonl: cuda and ptx_isa of {row['id']} are no versions like 13.0"
                raise ManifestError("toolkit.jsonl is not valid", code="matrix-invalid", causes=(why,))
            found[cuda] = isa
    return found
