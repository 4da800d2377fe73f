"""``dataloader abi`` against the truth: companions of torch from the index, each opened beside several torches.

Each torch is installed with the libraries of CUDA that its own libraries are linked with, imported, and then every
library of each companion's wheel is opened by dlopen (RTLD_NOW) in a process of its own. 4 GB at once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]

TORCHES = ("2.1.2", "2.2.2", "2.3.1", "2.4.1")
COMPANIONS = {
    "torchvision": ("0.16.2", "0.17.2", "0.18.1", "0.19.1"),
    "torchaudio": ("2.1.2", "2.2.2", "2.3.1", "2.4.1"),
    "torchtext": ("0.16.2", "0.17.2", "0.18.0"),
    "fbgemm-gpu-cpu": ("0.6.0", "0.7.0", "0.8.0"),
}
"""Each release is for one torch."""
_WITH = "torch>=2.1.2,<=2.4.1," + ",".join(f"!={each}" for each in ("2.2.0", "2.2.1", "2.3.0", "2.4.0"))

_OPEN = """
import ctypes, sys, torch
try:
    ctypes.CDLL(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def uv() -> str:
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("needs uv to make environments")
    return found


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """``torchvision 0.16.2`` -> its wheel, and the folder with what is in it."""
    folder = tmp_path_factory.mktemp("companions")
    found: dict[str, tuple[Path, Path]] = {}
    for project, versions in COMPANIONS.items():
        for version in versions:
            there = folder / f"{project}-{version}"
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d"]
            subprocess.run([*command, str(there), f"{project}=={version}"], check=True)
            (wheel,) = there.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(there / "unpacked")
            found[f"{project} {version}"] = wheel, there / "unpacked"
    return found


@pytest.fixture(scope="module")
def verdicts(wheels: dict[str, tuple[Path, Path]]) -> dict[str, dict[str, dict[str, Any]]]:
    """What abi says: companion -> torch -> its row."""
    found = {}
    for label, (wheel, _) in wheels.items():
        command = [sys.executable, "-m", "dataloader", "abi", str(wheel), "--with", _WITH, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        found[label] = {row["version"]: row for row in json.loads(done.stdout)["releases"]}
    return found


@pytest.fixture(scope="module")
def judges() -> Iterator[dict[str, dict[str, bool]]]:
    """What dlopen says, told at the end: companion -> torch -> whether all of its libraries can be opened."""
    table: dict[str, dict[str, bool]] = {}
    yield table
    sys.stderr.write("\n| | " + " | ".join(TORCHES) + " |\n")
    for label, row in table.items():
        cells = ("loads" if row.get(each) else "no" for each in TORCHES)
        sys.stderr.write(f"| {label} | {' | '.join(cells)} |\n")


@pytest.mark.parametrize("torch", TORCHES)
def test_each_pair_is_what_dlopen_says(
    torch: str,
    uv: str,
    wheels: dict[str, tuple[Path, Path]],
    verdicts: dict[str, dict[str, dict[str, Any]]],
    judges: dict[str, dict[str, bool]],
    tmp_path: Path,
) -> None:
    prefix = tmp_path / "env"
    python = str(prefix / "bin/python")
    try:
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, prefix], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, f"torch=={torch}", "numpy<2"], check=True)
        differences = []
        for label, (_, folder) in wheels.items():
            files = [path for path in sorted(folder.rglob("*.so*")) if ".libs/" not in str(path)]
            said = {str(path.relative_to(folder)): opened(python, path) for path in files}
            judged = {file: why for file, why in said.items() if not of_another(why)}
            judges.setdefault(label, {})[torch] = not any(judged.values())
            row = verdicts[label][torch]
            for file, why in judged.items():
                if (file not in row["missing"]) != (why == "") and not (row["loads"] is False and not row["missing"]):
                    differences.append(f"{label}: {file} with torch {torch}: {why or 'loads'}, abi says {row}")
            if row["loads"] != (not any(judged.values())):
                differences.append(f"{label} with torch {torch}: {judged}, abi says {row['loads']} {row['why']}")
        assert differences == []
    finally:
        shutil.rmtree(prefix, ignore_errors=True)


def opened(python: str, path: Path) -> str:
    """What dlopen says of a library after the import of torch, in a process of its own; empty where it loads."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "PYTHON"))}
    command = [python, "-I", "-c", _OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    return done.stdout.strip()


def of_another(why: str) -> bool:
    """Whether it fails for a library that is no torch's: FFmpeg's, SoX's, or one that its own package opens before."""
    missing = re.match(r"(\S+): cannot open shared object file", why)
    return missing is not None and not re.match(r"lib(torch(_\w+)?|c10(_\w+)?|shm)\.so", missing[1])
