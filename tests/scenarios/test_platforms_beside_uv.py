"""Real projects locked for three platforms at once: each part is that of a lock for it alone, and what uv chooses."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from dataloader.index.settings import DEFAULT_INDEX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.pypi, pytest.mark.slow]

_EVERY: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("platforms.toml").read_text(encoding="utf-8"))[
    "project"
]
PROJECTS = _EVERY if os.environ.get("PROJECTS") == "all" else _EVERY[:1]
"""One in each run; `nox -s platforms` has all of them."""
UV = {"linux-64": "x86_64-manylinux_2_28", "osx-arm64": "aarch64-apple-darwin", "win-64": "x86_64-pc-windows-msvc"}
"""What uv calls the machines that are taken for usual here."""


@pytest.fixture(scope="module", autouse=True)
def reachable() -> None:
    try:
        httpx.head(f"{DEFAULT_INDEX}/six/", timeout=10)
    except httpx.HTTPError as error:
        pytest.skip(f"no package index can be reached: {error}")


def _run(*words: str, here: Path, **environ: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, **environ}
    done = subprocess.run(words, capture_output=True, text=True, cwd=here, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _locked(ask: list[str], platforms: list[str], here: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Platform -> name -> version and URL."""
    named = [word for each in platforms for word in ("--platform", each)]
    words = (sys.executable, "-m", "dataloader", "lock", "--json", *ask, *named)
    text = _run(*words, here=here, DATALOADER_CONDA="never", CONDA_OVERRIDE_GLIBC="2.28")
    document = json.loads(text)
    return {
        part["platform"]: {p["name"]: (p["version"], p["url"]) for p in part["packages"]}
        for part in (document, *document.get("others", ()))
    }


def _by_uv(ask: list[str], machine: str, here: Path) -> dict[str, str]:
    (here / "requirements.in").write_text("\n".join(ask))
    words = ("uv", "pip", "compile", "-q", "--no-build", "--no-header", "--no-annotate", "--python-platform", machine)
    text = _run(*words, "--python-version", platform.python_version(), "requirements.in", here=here)
    pairs = (line.partition(" ")[0].split("==") for line in text.splitlines() if "==" in line)
    return {name.partition("[")[0]: version for name, version in pairs}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: "-".join(project["ask"]))
def test_each_part_is_what_a_lock_for_it_alone_and_uv_have(project: dict[str, Any], tmp_path: Path) -> None:
    together = _locked(project["ask"], list(UV), tmp_path)

    assert set(together) == set(UV)
    for each, machine in UV.items():
        (tmp_path / "dataloader.lock").unlink()
        assert _locked(project["ask"], [each], tmp_path)[each] == together[each]
        ours = {name: version for name, (version, _) in together[each].items()}
        theirs = _by_uv(project["ask"], machine, tmp_path)
        otherwise = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
        assert otherwise == set(project.get("differs", ())), (
            each,
            [(n, ours.get(n), theirs.get(n)) for n in otherwise],
        )
