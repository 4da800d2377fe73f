"""What verify knows beforehand, from compat-matrix/: providers of sonames, run-time openings, what systems have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from dataloader.base.errors import ManifestError
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


class Opening(NamedTuple):
    """Libraries that one library opens by name at run time, where no DT_NEEDED tells."""

    id: str
    by: str
    """Soname of the opening library."""
    opens: tuple[str, ...]
    pattern: str | None
    """Regular expression of names to be read from the opening file itself."""
    part: str
    """What does not work without them."""
    needs: str
    """``always``: the opening library is of no use without; ``stack``: only where the stack asks for CUDA;
    ``optional``: works without."""
    project: str | None
    specifier: str


class Tables(NamedTuple):
    """The tables, checked."""

    providers: Mapping[str, Provider]
    openings: tuple[Opening, ...]
    system: Mapping[str, frozenset[str]]
    """``always``, ``usual`` and ``musl``: sonames of a described machine."""
    openmp: frozenset[str] = frozenset()
    """OpenMP runtimes, by library name (``libgomp``)."""


def _rows(name: str) -> list[dict[str, Any]]:
    from dataloader.base.matrix_folder import matrix_dir

    path = matrix_dir() / name
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ManifestError(f"cannot read {path}", code="matrix-invalid", causes=(error.strerror or "",)) from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            missing = [key for key in ("id", "source", "date") if not row.get(key)]
        except (ValueError, AttributeError):
            missing = ["a JSON object"]
        if missing:
            problems.append(f"{name} line {number}: no {', '.join(missing)}")
        else:
            rows.append(row)
    counts = Counter(row["id"] for row in rows)
    problems += [f"{name}: {count} rows are called {identifier}" for identifier, count in counts.items() if count > 1]
    if problems:
        raise ManifestError(f"{name} is not valid", code="matrix-invalid", causes=tuple(problems))
    return rows


@cache
def load_tables() -> Tables:
    """The tables of compat-matrix/ that verify reads.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    rows = _rows("soname-providers.jsonl")
    providers = {
        row["soname"]: Provider(
            soname=row["soname"],
            library=row["library"],
            cuda_majors=tuple(row["cuda_majors"]),
            pypi=tuple((each["project"], each["cuda_major"]) for each in row["pypi"]),
            conda=tuple((each["channel"], each["package"]) for each in row["conda"]),
            driver=row["driver"],
        )
        for row in rows
        if row["kind"] == "provider"
    }
    openings = tuple(
        Opening(
            id=row["id"],
            by=row["by"],
            opens=tuple(row.get("opens", ())),
            pattern=row.get("pattern"),
            part=row["part"],
            needs=row["needs"],
            project=row.get("project"),
            specifier=row.get("specifier", ""),
        )
        for row in _rows("dlopen.jsonl")
    )
    system = {row["presence"]: frozenset(row["sonames"]) for row in rows if row["kind"] == "system"}
    openmp = frozenset(name for row in rows if row["kind"] == "openmp" for name in row["libraries"])
    return Tables(providers=providers, openings=openings, system=system, openmp=openmp)


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
        for row in _rows("together.jsonl")
    )


@cache
def ptx_of_cuda() -> Mapping[tuple[int, int], tuple[int, int]]:
    """CUDA version -> the version of the PTX ISA that it writes, and that drivers of it compile.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    found = {}
    for row in _rows("toolkit.jsonl"):
        if row.get("ptx_isa"):
            cuda, isa = parse_capability(str(row.get("cuda"))), parse_capability(str(row["ptx_isa"]))
            if cuda is None or isa is None:
                why = f"toolkit.jsonl: cuda and ptx_isa of {row['id']} are no versions like 13.0"
                raise ManifestError("toolkit.jsonl is not valid", code="matrix-invalid", causes=(why,))
            found[cuda] = isa
    return found


def install_command(soname: str, cuda_major: str | None, *, conda: bool) -> str | None:
    """The command that brings a library, chosen for the environment's CUDA major and world."""
    provider = load_tables().providers.get(soname)
    if provider is None or provider.driver:
        return None
    if conda and provider.conda:
        channel, package = provider.conda[0]
        return f"dataloader install conda:{channel}::{package}"
    fitting = [project for project, major in provider.pypi if cuda_major in (None, major) or major is None]
    if fitting or provider.pypi:
        return f"dataloader install {(fitting or [project for project, _ in provider.pypi])[-1]}"
    return f"dataloader install conda:{provider.conda[0][0]}::{provider.conda[0][1]}" if provider.conda else None
