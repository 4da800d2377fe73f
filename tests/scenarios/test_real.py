"""Requests as people make them (real.toml), against the real index, with uv beside as a judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.specifiers import SpecifierSet

from dataloader.index.settings import DEFAULT_INDEX
from tests.helpers.command import run_command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.pypi, pytest.mark.slow]

REQUESTS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("real.toml").read_text(encoding="utf-8"))[
    "request"
]


@pytest.fixture(scope="module", autouse=True)
def reachable() -> None:
    try:
        httpx.head(f"{DEFAULT_INDEX}/six/", timeout=10)
    except httpx.HTTPError as error:
        pytest.skip(f"no package index can be reached: {error}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def _title(request: dict[str, Any]) -> str:
    more = (
        *request.get("options", ()),
        *request.get("gpus", ()),
        *([f"driver-{request['driver']}"] if "driver" in request else ()),
    )
    return "-".join((*request["ask"], *more))


@pytest.mark.parametrize("request_", REQUESTS, ids=_title)
def test_request(request_: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    done = _lock(request_, cache, tmp_path)
    document = json.loads(done.stdout)
    if "refused" in request_:
        told = json.dumps(document["error"])
        assert done.returncode == 1, done.stdout + done.stderr
        assert request_["refused"] in told
        if "uv" in request_:
            assert _uv(request_, tmp_path) == (request_["uv"] == "solves")
            assert request_["uv"] == "refuses" or len(request_["loads"]) > 20
        return
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    versions = {package["name"]: package["version"] for package in document["packages"]}
    for name, wanted in request_.get("has", {}).items():
        assert SpecifierSet(wanted).contains(versions[name], prereleases=True), (name, versions[name])
    assert not set(request_.get("lacks", ())) & versions.keys()
    if "cuda" in request_:
        assert f"{document['stack']['cuda']}.".startswith(f"{request_['cuda']}."), document["stack"]
    assert request_.get("warns", "") in done.stderr


def _lock(request: dict[str, Any], cache: Path, here: Path) -> subprocess.CompletedProcess[str]:
    lines = ['glibc = "2.36"', *([f'driver = "{request["driver"]}"'] if "driver" in request else [])]
    lines += [f"gpus = {json.dumps(request['gpus'])}"] if "gpus" in request else []
    (here / "target.toml").write_text("\n".join(lines))
    words = ["lock", "--json", "--conda=never", "--target=target.toml"]
    words += [f"--python={request.get('python', '3.11')}", *request.get("options", ()), *request["ask"]]
    if not any(option.startswith("--exclude-newer") for option in request.get("options", ())):
        words.append("--exclude-newer=2026-11-20")
    env = {**os.environ, "DATALOADER_CACHE_DIR": str(cache)}
    return run_command(*words, cwd=here, env=env)


def _uv(request: dict[str, Any], here: Path) -> bool:
    """Say whether uv finds a solution of the same requirements."""
    (here / "requirements.in").write_text("\n".join(request["ask"]) + "\n")
    command = ["uv", "pip", "compile", "-q", "--python-version", request.get("python", "3.11"), "--no-build"]
    command += ["--exclude-newer=2026-11-20", "requirements.in"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=here, env={**os.environ, "PATH": path}, check=False
    )
    return done.returncode == 0


def test_there_are_enough_on_both_sides() -> None:
    assert len(REQUESTS) >= 40
    assert sum("refused" in request for request in REQUESTS) >= 8
