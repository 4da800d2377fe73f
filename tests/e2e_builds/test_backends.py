"""Real sources of PyPI, one of each kind of backend, built and imported; their files are those that uv builds.

``nox -s builds`` runs them: each compiles, or fetches a backend.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]

PROJECTS = {
    "setuptools": ("iniconfig", "2.0.0", "iniconfig"),
    "hatchling": ("pluggy", "1.6.0", "pluggy"),
    "poetry-core": ("tomlkit", "0.13.3", "tomlkit"),
    "flit": ("tomli-w", "1.2.0", "tomli_w"),
    "meson-python": ("contourpy", "1.3.2", "contourpy"),
    "scikit-build-core": ("pyclipper", "1.4.0", "pyclipper"),
    "maturin": ("rpds-py", "0.25.1", "rpds"),
    "pybind11": ("kiwisolver", "1.4.8", "kiwisolver"),
    "Cython": ("frozenlist", "1.6.0", "frozenlist"),
    "a setup.py": ("docopt", "0.6.2", "docopt"),
}
"""Backend, or what compiles it -> project, version and what to import."""
_HOMES = {"RUSTUP_HOME": Path.home() / ".rustup", "CARGO_HOME": Path.home() / ".cargo"}
RUST = {name: str(path) for name, path in _HOMES.items() if path.is_dir()}
"""Where rustup has its compilers: a test has another home."""
_COMPILED = (".so", ".pyc", ".cpp", "_build_config.py")
"""Ends of what says where it was compiled: Cython writes frozenlist's temporary folder, contourpy's build its own."""


@pytest.mark.parametrize("backend", PROJECTS)
def test_it_is_built_as_uv_builds_it(backend: str, tmp_path: Path) -> None:
    project, version, module = PROJECTS[backend]
    wanted, environ = f"{project}=={version}", {**RUST, **os.environ, "DATALOADER_CONDA": "never"}
    ours = [sys.executable, "-m", "dataloader", "install", wanted, "--build", project, "--no-binary", project]
    done = subprocess.run([*ours, "-p", "env"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    if backend == "maturin" and "cargo metadata" in done.stderr:
        pytest.skip("crates.io cannot be reached")
    assert done.returncode == 0, done.stderr
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-c", f"import {module}"], check=True)

    uv = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-binary", project, "--target", str(tmp_path / "uv"), "--python", str(python)]
    subprocess.run([*uv, *options, wanted], check=True, capture_output=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    theirs = {path.relative_to(tmp_path / "uv") for path in (tmp_path / "uv").rglob("*") if path.is_file()}
    theirs = {path for path in theirs if path.parts[0] not in {".lock", "bin"} and path.suffix != ".pyc"}
    differing = [
        str(path)
        for path in sorted(theirs)
        if ".dist-info" not in str(path)
        if not (site / path).is_file()
        or (not path.name.endswith(_COMPILED) and (site / path).read_bytes() != (tmp_path / "uv" / path).read_bytes())
    ]
    assert differing == []
    assert any(".dist-info" not in str(path) for path in theirs)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo")
def test_rust_without_crates_is_built_by_maturin(tmp_path: Path) -> None:
    """Where crates.io cannot be reached, too."""
    tree = tmp_path / "say"
    (tree / "src").mkdir(parents=True)
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["maturin>=1,<2"]\nbuild-backend = "maturin"\n'
        '[project]\nname = "say"\nversion = "1.0"\n[tool.maturin]\nbindings = "bin"\n'
    )
    (tree / "Cargo.toml").write_text('[package]\nname = "say"\nversion = "1.0.0"\nedition = "2021"\n')
    (tree / "src" / "main.rs").write_text('fn main() { println!("said in Rust"); }\n')
    environ = {**RUST, **os.environ, "DATALOADER_CONDA": "never"}
    ours = [sys.executable, "-m", "dataloader", "install", "./say", "--build", "say", "-p", "env"]
    done = subprocess.run(ours, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.check_output([tmp_path / "env" / "bin" / "say"], text=True) == "said in Rust\n"
