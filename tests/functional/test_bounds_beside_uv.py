"""``add --bounds``: what is written of a version is what uv writes of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from dataloader.cli.edits.bounds import Bounds, bounds_of
from tests.helpers.wheels import make_wheel

VERSIONS = ["1.2.3", "0.1.2", "0.0.3", "2024.1", "4", "1.0.post1", "1.2.3rc1", "0.0", "0", "0.0.0.5", "10.20.30.40"]
VERSIONS += ["1.0a1", "0.5rc1", "1.9.dev3", "0.0.1.post2", "0.0.0", "0.12"]


@pytest.mark.parametrize("bounds", ["lower", "major", "minor", "exact"])
def test_bounds_are_those_of_uv(bounds: Bounds, tmp_path: Path) -> None:
    for number, version in enumerate(VERSIONS):
        make_wheel(tmp_path / "shelf", f"part{number}", version)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\nrequires-python = ">=3.8"\n')
    command = [sys.executable, "-m", "uv", "add", "-q", "--no-index", "--find-links", "shelf", "--no-sync", "--offline"]
    command += ["--no-config", "--no-python-downloads", "--bounds", bounds, "--prerelease", "allow"]
    done = subprocess.run(
        [*command, *(f"part{number}" for number in range(len(VERSIONS)))],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = dict(re.findall(r'"part(\d+)([^"]+)"', (tmp_path / "pyproject.toml").read_text()))

    assert written == {str(number): bounds_of(version, bounds) for number, version in enumerate(VERSIONS)}


@pytest.mark.parametrize("bounds", ["lower", "major", "minor", "exact"])
@pytest.mark.parametrize("version", [*VERSIONS, "1!2.0", "1!0.3.1"])
def test_the_version_that_was_chosen_is_within(bounds: Bounds, version: str) -> None:
    assert SpecifierSet(bounds_of(version, bounds)).contains(version, prereleases=True)


def test_versions_that_conda_alone_has_get_bounds_too() -> None:
    assert bounds_of("9e", "major") == ">=9e,<10"
    assert bounds_of("1.1.1w", "minor") == ">=1.1.1w,<1.2.0"
    assert bounds_of("master", "major") == ">=master"
