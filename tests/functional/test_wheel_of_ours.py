"""The wheel of this project works when installed in an empty virtual environment."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]


def run(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(list(map(str, command)), cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive, as a publisher would."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=ROOT)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_carries_the_matrix_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert any(name.startswith("dataloader/_compat_matrix/") for name in names)
    assert not [name for name in names if name.startswith("tests")]


def test_the_installed_wheel_plans_and_writes_a_manifest(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    assert run(binaries / "dataloader", "--version", cwd=tmp_path).startswith("dataloader ")
    assert run(binaries / "dataloader", "init", "project", cwd=tmp_path) == "project/dataloader.toml\n"
    assert "cuda" in run(binaries / "dataloader", "plan", "--cuda=11.8", "--torch=2.1.0", cwd=tmp_path).lower()
