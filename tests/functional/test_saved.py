"""What a project is made of goes into its manifest, and manifest, lock and prefix change together or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.cli.line.options import CommonOptions, declared
from dataloader.cli.stages.saving import SAVED
from tests.functional.test_flow import Desk
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_wheel

ONE_RUN = {
    "prefix", "manifest", "lockfile", "environment", "extra", "group", "all_extras",
    "offline", "mirror", "limit_rate", "refresh", "platform", "target",
    "fix", "no_verify", "dry_run", "yes", "json", "events", "status_file", "metrics_file", "quiet", "verbose", "color",
}  # fmt: skip
"""Options that say how one command runs, or which environment it is about."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(shelf, "lib", version, files={"lib.py": f"V = '{version}'\n"})
    make_wheel(shelf, "app", "1.0", requires=["lib"], files={"app.py": "\n"})
    make_wheel(here / "wheels", "own", "1.0", files={"own.py": "\n"})
    with IndexServer(shelf) as index:
        (here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
        yield Desk(here, index)


def test_each_option_is_saved_or_for_one_run() -> None:
    assert set(SAVED) | ONE_RUN == {f.name for f in declared(CommonOptions)}
    assert not set(SAVED) & ONE_RUN


def colleague(desk: Desk, tmp_path: Path) -> Desk:
    """Somebody who has the project's files, and nothing that was typed."""
    there = tmp_path / "there"
    there.mkdir()
    for name in ("dataloader.toml", "dataloader.lock", "wheels"):
        source = desk.here / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, there / name)
    return Desk(there, desk.index)


def index_of(folder: Path) -> str:
    """A Simple API in folders, of the wheels of one."""
    for wheel in folder.glob("*.whl"):
        page = folder / "simple" / wheel.name.split("-")[0] / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<a href="{wheel.as_uri()}">{wheel.name}</a>')
    return (folder / "simple").as_uri()


CASES: dict[str, list[str]] = {
    "find-links": ["own", "--find-links", "wheels"],
    "extra-index-url": ["own", "--extra-index-url", "{index}"],
    "index-url": ["own", "--index-url", "{index}"],
    "requirements": ["-r", "lines.txt"],
    "requirements and a spec": ["-r", "lines.txt", "lib<3"],
    "environment.yml": ["-f", "environment.yml"],
    "no-binary and a prerelease": ["app", "--no-binary", "nothing", "--prerelease", "allow"],
    "a wheel by its path": ["wheels/own-1.0-py3-none-any.whl"],
    "markers": ["-r", "markers.txt"],
    "hashes": ["-r", "hashed.txt"],
}


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES.keys())
def test_a_colleague_gets_the_same(arguments: list[str], desk: Desk, tmp_path: Path) -> None:
    index = index_of(desk.here / "wheels")
    (desk.here / "limits.txt").write_text("lib<2\n")
    (desk.here / "lines.txt").write_text("app\n-c limits.txt\n--pre\n")
    (desk.here / "markers.txt").write_text("lib==1.0 ; python_version < '3'\nlib==2.0 ; python_version >= '3'\n")
    digest = json.loads(desk.ok("lock", "lib==1.0", "--json", "--manifest", str(_other(desk))))["packages"][0]["sha256"]
    (desk.here / "hashed.txt").write_text(f"--require-hashes\nlib==1.0 --hash=sha256:{digest}\n")
    (desk.here / "environment.yml").write_text(
        "channels: []\ndependencies:\n- pip:\n  - app\n  - lib<2\nvariables:\n  SAID: 'by us'\n"
    )

    of_machine = "--index-url" not in arguments  # else the machine has no index of its own
    done = desk.run("install", *(argument.format(index=index) for argument in arguments), index=of_machine)
    assert done.returncode == 0, done.stderr
    other = colleague(desk, tmp_path)
    if "wheels/own-1.0-py3-none-any.whl" in arguments:
        shutil.rmtree(desk.here / "wheels")
    done = other.run("sync", "--locked", index=of_machine)
    assert done.returncode == 0, done.stderr

    there, here = (
        [{**package, "size": None} for package in each.json("list")["packages"]] for each in (other, desk)
    )  # the size of direct_url.json depends on where the wheel lies
    assert there == here
    if "environment.yml" in arguments:
        said = other.ok("run", "--", "python", "-c", "import os; print(os.environ['SAID'])")
        assert said == "by us\n"


def _other(desk: Desk) -> Path:
    path = desk.here / "aside" / "dataloader.toml"
    path.parent.mkdir()
    path.write_text("[workspace]\nchannels = []\n")
    return path


def test_a_variable_belongs_to_the_machine_and_not_to_the_project(desk: Desk) -> None:
    desk.ok("install", "lib", DATALOADER_FIND_LINKS=str(desk.here / "wheels"))
    assert "wheels" not in (desk.here / "dataloader.toml").read_text()


def test_a_sync_does_not_solve_for_what_the_manifest_does_not_say(desk: Desk) -> None:
    desk.ok("install", "lib")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(manifest.read_text() + '\n[stack]\npython = "3"\n')
    error = desk.fails(2, "not-in-manifest", "sync", "--exclude-newer", "2024-01-01")
    assert "[resolution] exclude-newer" in error["causes"][0]


def test_a_manifest_that_cannot_say_it_is_left_alone(desk: Desk) -> None:
    manifest = desk.here / "dataloader.toml"
    manifest.unlink()
    manifest = desk.here / "pixi.toml"
    manifest.write_text("[workspace]\nchannels = []\n")
    (desk.here / "markers.txt").write_text("lib==1.0 ; python_version < '3'\nlib==2.0 ; python_version >= '3'\n")
    before = manifest.read_bytes()

    desk.fails(2, "requirement-unsupported", "install", "-r", "markers.txt")
    assert manifest.read_bytes() == before
    assert not desk.lock.exists()


def state(desk: Desk) -> tuple[object, ...]:
    files = [desk.here / "dataloader.toml", desk.lock]
    prefix = desk.here / ".dataloader" / "envs" / "default"
    listed = sorted(str(p.relative_to(prefix)) for p in prefix.rglob("*") if "__pycache__" not in p.parts)
    return (*(path.read_bytes() for path in files), listed)


def test_a_download_that_fails_changes_nothing(desk: Desk) -> None:
    desk.ok("install", "lib<2")
    before = state(desk)
    desk.index.fault("*/app-1.0-py3-none-any.whl", Fault("status", status=404))

    assert desk.run("install", "app", "lib>=2").returncode in {3, 4}
    assert state(desk) == before


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.2, 0.6, 1.0, 1.4, 2.0])
def test_an_interrupt_changes_all_or_nothing(delay: float, desk: Desk) -> None:
    desk.ok("install", "lib<2")
    before = state(desk)
    desk.index.fault("*/app-1.0-py3-none-any.whl", Fault("stall", times=1))
    env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    command = [sys.executable, "-m", "dataloader", "install", "app", "lib>=2"]
    process = subprocess.Popen(command, cwd=desk.here, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    after = state(desk)
    assert process.returncode != 0 or after != before
    assert after == before or all(old != new for old, new in zip(before, after, strict=True))
