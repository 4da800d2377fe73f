"""Whole projects of other tools locked here: uv's beside uv's own lock, Poetry's, a workspace of pixi's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow


def make_shelf(folder: Path, **versions: list[str]) -> Path:
    for name, several in versions.items():
        for version in several:
            make_wheel(folder, name, version, requires=["base"] if name == "torchy" else [])
    return folder


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[IndexServer, IndexServer]]:
    """A usual index, and one of other builds of one project."""
    folder = tmp_path_factory.mktemp("shelves")
    usual = make_shelf(
        folder / "usual",
        torchy=["1.0", "2.0"],
        base=["1.0", "1.5", "2.0"],
        tool=["1.0", "1.2.5", "1.9", "2.0"],
        late=["0.2.3", "0.2.9", "0.3"],
        check=["7.0", "8.1", "9.0"],
    )
    other = make_shelf(folder / "other", torchy=["2.0+cpu"])
    with IndexServer(usual) as one, IndexServer(other) as two:
        yield one, two


def locked(here: Path, index: IndexServer, *words: str) -> dict[str, str]:
    """Lock, and return the versions."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "DATALOADER_"))}
    environ |= {"PIP_CONFIG_FILE": "/dev/null", "DATALOADER_INDEX_URL": index.index_url, "DATALOADER_CONDA": "never"}
    done = run_command("lock", "--json", *words, cwd=here, env=environ)
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["version"] for each in json.loads(done.stdout)["packages"]}


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_a_uv_project_is_locked_to_the_versions_of_its_own_lock(
    indexes: tuple[IndexServer, IndexServer], tmp_path: Path
) -> None:
    usual, other = indexes
    (tmp_path / "pyproject.toml").write_text(
        f"""
[project]
name = "ours"
version = "0"
requires-python = ">=3.10"
dependencies = ["tool>=1,<2"]
[project.optional-dependencies]
cpu = ["torchy>=2"]
gpu = ["torchy==1.0"]
[dependency-groups]
dev = ["check"]
[tool.uv]
package = false
conflicts = [[{{extra = "cpu"}}, {{extra = "gpu"}}]]
constraint-dependencies = ["check<9"]
override-dependencies = ["base==1.5"]
environments = ["sys_platform == 'linux'"]
[tool.uv.sources]
torchy = {{index = "other", extra = "cpu"}}
[[tool.uv.index]]
name = "other"
url = "{other.index_url}"
explicit = true
[[tool.uv.index]]
url = "{usual.index_url}"
default = true
"""
    )
    environ = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")}
    uv = ["uv", "--quiet", "--project", str(tmp_path)]
    subprocess.run([*uv, "lock", "--python", sys.executable], check=True, env=environ)
    for words in (["--extra", "cpu"], ["--extra", "gpu"], []):
        export = [*uv, "export", "--frozen", "--no-hashes", "--no-header", "--no-annotate", *words]
        text = subprocess.check_output(export, text=True, env=environ)
        of_uv = dict(re.findall(r"^([a-z]+)==(\S+)", text, re.MULTILINE))

        assert locked(tmp_path, usual, *(words or ["--no-extras"])) == of_uv


POETRY_1 = """
[tool.poetry]
name = "ours"
version = "0"
description = ""
authors = []
[tool.poetry.dependencies]
python = "^3.10"
tool = "^1.2"
late = "~0.2.3"
torchy = {{version = "*", source = "other", optional = true}}
[tool.poetry.extras]
fast = ["torchy"]
[tool.poetry.group.test.dependencies]
check = "8.*"
[[tool.poetry.source]]
name = "other"
url = "{other}"
priority = "explicit"
"""

POETRY_2 = """
[project]
name = "ours"
version = "0"
requires-python = ">=3.10"
dependencies = ["tool (>=1.2,<2)", "late (>=0.2.3,<0.3)"]
[project.optional-dependencies]
fast = ["torchy"]
[tool.poetry.dependencies]
torchy = {{source = "other"}}
[tool.poetry.group.test.dependencies]
check = "8.*"
[[tool.poetry.source]]
name = "other"
url = "{other}"
priority = "explicit"
"""


@pytest.mark.parametrize("text", [POETRY_1, POETRY_2], ids=["1", "2"])
def test_a_poetry_project_is_locked(text: str, indexes: tuple[IndexServer, IndexServer], tmp_path: Path) -> None:
    usual, other = indexes
    (tmp_path / "pyproject.toml").write_text(text.format(other=other.index_url))
    always = {"tool": "1.9", "late": "0.2.9", "check": "8.1"}

    assert locked(tmp_path, usual) == always
    assert locked(tmp_path, usual, "--extra", "fast") == {**always, "torchy": "2.0+cpu", "base": "2.0"}
    # The lock remembers what was chosen.
    assert locked(tmp_path, usual) == {**always, "torchy": "2.0+cpu", "base": "2.0"}


def test_a_workspace_with_four_environments_is_locked(indexes: tuple[IndexServer, IndexServer], tmp_path: Path) -> None:
    usual, other = indexes
    (tmp_path / "pixi.toml").write_text(
        f"""
[workspace]
name = "w"
channels = []
platforms = ["linux-64"]
[pypi-options]
dependency-overrides = {{base = "==1.0"}}
[pypi-dependencies]
tool = "<2"
[feature.cpu.pypi-dependencies]
torchy = {{version = "==2.0+cpu", index = "{other.index_url}"}}
[feature.gpu.pypi-dependencies]
torchy = "==1.0"
[feature.test.pypi-dependencies]
check = "*"
[environments]
cpu = ["cpu"]
gpu = {{features = ["gpu", "test"], solve-group = "checks"}}
lint = {{features = ["test", "old"], no-default-feature = true, solve-group = "checks"}}
[feature.old.pypi-dependencies]
check = "<9"
"""
    )
    found = {name: locked(tmp_path, usual, "-e", name) for name in ("default", "cpu", "lint", "gpu")}

    assert found == {
        "default": {"tool": "1.9"},
        "cpu": {"tool": "1.9", "torchy": "2.0+cpu", "base": "1.0"},
        "gpu": {"tool": "1.9", "torchy": "1.0", "base": "1.0", "check": "8.1"},
        "lint": {"check": "8.1"},
    }
    assert [p.name for p in tmp_path.glob("*.lock")] == ["dataloader.lock"]
