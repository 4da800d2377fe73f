"""Timing of whole commands, and where they work."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class World:
    """One run of the benchmark: a directory, and how often each command is timed."""

    work: Path
    runs: int

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment of a timed command: the user's, without settings of ours or uv's.

        Bytecode may be written, as an installed program has it.
        """
        foreign = ("DATALOADER_", "UV_", "CONDA_", "PIP_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return {**kept, "PIP_CONFIG_FILE": os.devnull, "CI": "1", **more}

    def directory(self, name: str, *, empty: bool = True) -> Path:
        """Return a directory below the work directory, emptied unless told otherwise."""
        path = self.work / name
        if empty and path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        return path


def dataloader() -> str:
    """Return the console script beside this interpreter."""
    return str(Path(sys.executable).with_name("dataloader"))


def uv() -> str:
    """Return uv, from this environment or PATH."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        sys.exit("uv is needed for comparison: pip install uv")
    return found


def timed(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> float:
    """Run a command and return its seconds of wall time; a failure ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return seconds


def alternate(runs: int, *candidates: Callable[[], float]) -> list[float]:
    """Time the candidates in turn, so that both meet the same weather, and return their medians."""
    samples: list[list[float]] = [[] for _ in candidates]
    for _ in range(runs):
        for taken, candidate in zip(samples, candidates, strict=True):
            taken.append(candidate())
    return [statistics.median(taken) for taken in samples]


def calm() -> None:
    """Wait until what was written is on the disk: for gigabytes the kernel takes a processor for most of a minute."""
    os.sync()
    time.sleep(6)


def peak_memory(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run a command in a child of its own and return its peak resident memory in bytes."""
    program = (
        "import resource,subprocess,sys;"
        "done=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE,text=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
        "sys.stderr.write(done.stderr);sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=cwd, env=dict(env), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr}")
    return int(done.stdout) * 1024  # Linux counts ru_maxrss in KiB
