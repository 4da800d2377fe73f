"""``dataloader abi`` against the truth: companions of torch from the index, each opened beside several torches.

Each torch is installed with the libraries of CUDA that its own libraries are linked with, imported, and then every
library of each companion's wheel is opened by dlopen (RTLD_NOW) in a process of its own. 5 GB at once.

Last seen, with the 14 wheels beside each of four torches: 56 pairs, and both say the same of each: 12 load, 40 do
not (with all of the 72 symbols that dlopen named among those that abi names for the same file), and 4, torchaudio
beside its own torch, that neither can tell, since the machine lacks SoX and FFmpeg.

| torch | loads | does not | neither can tell | differ |
| 2.1.2 | 2 | 11 | 1 | 0 |
| 2.2.2 | 3 | 10 | 1 | 0 |
| 2.3.1 | 5 | 8 | 1 | 0 |
| 2.4.1 | 2 | 11 | 1 | 0 |
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
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
import ctypes, json, os, sys, torch

def opened(path, own):
    # A library of its own wheel lies beside no RUNPATH: its package opens it first, so it is opened first here.
    while True:
        try:
            ctypes.CDLL(path)
            return ""
        except OSError as error:
            first = str(error).partition(":")[0]
            if "cannot open shared object file" not in str(error) or first not in own:
                return str(error)
            if why := opened(own.pop(first), own):
                return why

own = {os.path.basename(path): path for path in sys.argv[1:]}
said = {}
for path in sys.argv[1:]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, opened(path, dict(own)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        said[path] = told.read()
    assert os.waitpid(child, 0)[1] == 0, path
print(json.dumps(said))
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


@pytest.mark.parametrize("torch", TORCHES)
def test_each_pair_is_what_dlopen_says(
    torch: str,
    uv: str,
    wheels: dict[str, tuple[Path, Path]],
    verdicts: dict[str, dict[str, dict[str, Any]]],
    tmp_path: Path,
) -> None:
    prefix = tmp_path / "env"
    python = str(prefix / "bin/python")
    try:
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, prefix], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, f"torch=={torch}", "numpy<2"], check=True)
        judged = {label: opened(python, folder) for label, (_, folder) in wheels.items()}
    finally:
        shutil.rmtree(prefix, ignore_errors=True)
    pairs = {label: (loads(told.values()), verdicts[label][torch]["loads"]) for label, told in judged.items()}
    for label, (truth, said) in pairs.items():
        sys.stderr.write(f"{label} with torch {torch}: dlopen {truth}, abi {said}\n")
    assert {label: pair for label, pair in pairs.items() if pair[0] != pair[1]} == {}
    # The symbol that dlopen names is one that abi names for the same file: not the right answer for another reason.
    named = {
        (label, next(file for file in told if found[1].endswith(f"/{file}"))): found[2]
        for label, told in judged.items()
        for why in told.values()
        if (found := re.match(r"(\S+): undefined symbol: (\w+)", why or ""))
    }
    assert named
    missing = {(label, file): verdicts[label][torch]["missing"].get(file, ()) for label, file in named}
    assert {key: symbol for key, symbol in named.items() if symbol not in missing[key]} == {}


def opened(python: str, folder: Path) -> dict[str, str | None]:
    """What dlopen says of each library after the import of torch, each in a process of its own.

    Empty where it loads; ``None`` where the machine lacks a library that is neither torch's nor the wheel's (FFmpeg's,
    SoX's), since dlopen stops there and looks up no symbol.
    """
    files = [str(path) for path in sorted(folder.rglob("*.so*")) if ".libs/" not in str(path)]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "PYTHON"))}
    command = [python, "-I", "-c", _OPEN, *files]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    said: dict[str, str] = json.loads(done.stdout)
    return {str(Path(path).relative_to(folder)): None if of_another(why) else why for path, why in said.items()}


def loads(told: Iterable[str | None]) -> bool | None:
    """Whether a wheel loads of whose libraries this was told: one that fails settles it, one not known leaves it."""
    said = list(told)
    return False if any(said) else None if None in said else True


def of_another(why: str) -> bool:
    """Whether it fails for a library that is no torch's."""
    missing = re.match(r"(\S+): cannot open shared object file", why)
    return missing is not None and not re.match(r"lib(torch(_\w+)?|c10(_\w+)?|shm)\.so", missing[1])
