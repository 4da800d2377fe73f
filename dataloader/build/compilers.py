"""Compilers of this machine, held against the matrix before a build runs into what is known of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.errors import BuildFailure
from dataloader.compat.labels import cuda_of_label
from dataloader.machine.host import which
from dataloader.stack.answers import accepts_gcc

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix

_CUDA_SOURCES = (".cu", ".cuh")
_SECONDS = 30


class Compilers(NamedTuple):
    """What would compile a project's CUDA code."""

    nvcc: str
    """Its path."""
    cuda: str
    """Its release: ``"13.0"``."""
    gcc: str | None
    """Version of the host compiler that it would call; ``None`` where that is no GCC, or cannot be told."""
    host: str
    """How that is called."""


def compilers_of(tree: Path, environ: Mapping[str, str]) -> Compilers | None:
    """Return what would compile the CUDA code of a tree; ``None`` where it has none, or there is no nvcc."""
    if not any(path.suffix in _CUDA_SOURCES for path in tree.rglob("*")):
        return None
    home = next((environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)), None)
    nvcc = str(Path(home, "bin", "nvcc")) if home else which("nvcc", environ) or "/usr/local/cuda/bin/nvcc"
    release = re.search(r"release (\d+\.\d+)", _said([nvcc, "--version"], environ))
    if release is None:
        return None
    program, gcc = _host(environ, "NVCC_CCBIN", "CUDAHOSTCXX")
    return Compilers(nvcc, release[1], gcc, program)


def check_compilers(title: str, found: Compilers, matrix: Matrix, against: Mapping[str, str]) -> None:
    """Refuse a host compiler that nvcc would refuse, and an nvcc of another CUDA than the framework's.

    Beside a framework for processors alone, a project leaves its CUDA code out.

    Raises:
        BuildFailure: ``compiler-unfit``.
    """
    if any(version.endswith("+cpu") for version in against.values()):
        return
    toolkit = matrix.toolkits.get(found.cuda)
    if found.gcc and accepts_gcc(matrix, found.cuda, found.gcc).refused:
        newest = toolkit.gcc_max if toolkit and toolkit.gcc_max else "an older one"
        raise BuildFailure(
            f"{title} has CUDA code, and nvcc of CUDA {found.cuda} does not accept {found.host}, GCC {found.gcc}",
            code="compiler-unfit",
            causes=(f"{found.nvcc} accepts GCC up to {newest} as host compiler (the matrix, {toolkit.id})",)
            if toolkit
            else (),
            suggestions=(
                f"install GCC {newest} and name it: NVCC_CCBIN=g++-{newest} CC=gcc-{newest} CXX=g++-{newest}",
                "or name a newer CUDA toolkit in CUDA_HOME",
            ),
        )
    cuda = _cuda_of(against)
    if cuda and cuda.partition(".")[0] != found.cuda.partition(".")[0]:
        raise BuildFailure(
            f"{title} has CUDA code, and nvcc is of CUDA {found.cuda}, the environment's torch of CUDA {cuda}",
            code="compiler-unfit",
            causes=(f"{found.nvcc} is what would be used", "what two majors of CUDA compile does not go together"),
            suggestions=(f"name a toolkit of CUDA {cuda} in CUDA_HOME",),
        )


def check_gcc(title: str, wanted: str, environ: Mapping[str, str]) -> None:
    """Refuse a compiler of C++ that is not the GCC that was locked (``"12"``).

    Raises:
        BuildFailure: ``compiler-unfit``.
    """
    program, found = _host(environ)
    major = wanted.partition(".")[0]
    if found is not None and found.partition(".")[0] == major:
        return
    raise BuildFailure(
        f"{title} is locked for GCC {wanted}, and {program} is {f'GCC {found}' if found else 'none that is known'}",
        code="compiler-unfit",
        suggestions=(f"install GCC {major} and name it: CC=gcc-{major} CXX=g++-{major}", "or lock without --gcc"),
    )


def _host(environ: Mapping[str, str], *names: str) -> tuple[str, str | None]:
    """Return what compiles C++, and its version where it is GCC; variables of ``names`` come first."""
    said = next((environ[name] for name in (*names, "CXX", "CC") if environ.get(name)), "gcc")
    program = next((word for word in said.split() if Path(word).name != "ccache"), said)
    gcc = re.match(r"\d+(\.\d+)*", _said([program, "-dumpfullversion", "-dumpversion"], environ).strip())
    is_clang = "clang" in _said([program, "--version"], environ).lower()
    return program, gcc[0] if gcc and not is_clang else None


def _cuda_of(against: Mapping[str, str]) -> str | None:
    """Return the CUDA in a framework's local version: ``"12.1"`` of ``2.1.0+cu121``."""
    for version in against.values():
        if found := re.search(r"\+(cu\d+)$", version):
            return cuda_of_label(found[1])
    return None


def _said(command: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, check=False, timeout=_SECONDS, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
