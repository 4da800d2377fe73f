"""Locks of other tools are installed as they are: ours exported, uv's own, Poetry's; conda's lists; pixi's formats."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.lockfile.yaml import read_lock
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_sdist, make_wheel

pytestmark = pytest.mark.slow


class Desk:
    """A directory, and what commands say in it."""

    def __init__(self, here: Path, index: IndexServer) -> None:
        self.here, self.index = here, index
        here.mkdir(exist_ok=True)

    def run(self, *words: str | Path, code: int = 0) -> str:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        environ |= {"DATALOADER_INDEX_URL": self.index.index_url, "PIP_CONFIG_FILE": "/dev/null"}
        environ |= {"DATALOADER_CACHE_DIR": f"{self.here}/cache"}
        done = run_command(*map(str, words), cwd=self.here, env=environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    def installed(self, prefix: str = "env") -> dict[str, tuple[str, str]]:
        """Name -> kind and version, of what is installed."""
        listed = json.loads(self.run("list", "-p", prefix, "--json"))["packages"]
        return {each["name"]: (each["kind"], each["version"]) for each in listed}

    def locked(self) -> dict[str, tuple[str, str]]:
        lock = read_lock(self.here / "dataloader.lock")
        return {p.name: ("conda" if p in lock.conda() else "pypi", p.version) for p in lock.packages}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    module = {"app.py": "import lib\n"}
    make_wheel(folder, "app", "1.0", requires=["lib[fast]>=1", "odd ; sys_platform == 'win32'"], files=module)
    make_wheel(folder, "lib", "1.5", requires=["speed ; extra == 'fast'"], extras=["fast"], files={"lib.py": ""})
    make_wheel(folder, "speed", "2.0", files={"speed.py": ""})
    make_wheel(folder, "odd", "1.0")
    make_wheel(folder, "tool", "1.0", files={"tool.py": ""})
    make_wheel(folder, "tool", "2.0", files={"tool.py": ""})
    make_sdist(folder, "raw", "1.0")
    return folder


@pytest.fixture
def desk(shelf: Path, tmp_path: Path) -> Iterator[Desk]:
    with IndexServer(shelf) as index:
        yield Desk(tmp_path / "here", index)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_python_package(folder)
    make_conda_package(folder, "alpha", "1.0", depends=["beta >=1"], index={"license": "MIT"}, files={"share/a": "a"})
    make_conda_package(folder, "beta", "1.2", noarch="generic", format="tar.bz2", files={"share/b": "b"})
    index_channel(folder)
    return folder


def test_an_exported_lock_of_wheels_syncs_to_the_same_packages(desk: Desk) -> None:
    desk.run("lock", "--conda", "never", "app", "tool==1.0")
    locked = desk.locked()
    forms = ["pylock.toml", "conda-lock.yml", "pixi.lock", "pixi.lock-6"]
    for form in forms:
        desk.run("export", form, "-o", f"out/{form}")
    (desk.here / "dataloader.lock").unlink()

    for form in forms:
        desk.run("sync", "--lockfile", f"out/{form}", "-p", form)
        assert desk.installed(form) == locked

    assert "matches the lock already" in desk.run("sync", "--lockfile", "out/pixi.lock", "-p", "pixi.lock")
    desk.run("verify", "-p", "pixi.lock")


def test_an_exported_lock_of_both_worlds_syncs_to_the_same_packages(desk: Desk, channel: Path) -> None:
    desk.run("lock", "--conda", "always", "-c", channel.as_uri(), "conda:alpha", "conda:python", "app")
    forms = ["conda-lock.yml", "pixi.lock", "pixi.lock-6", "explicit"]
    for form in forms:
        desk.run("export", form, "--partial", "-o", f"out/{form}")
    locked = desk.locked()
    desk.run("sync", "-p", "before")
    (desk.here / "dataloader.lock").unlink()
    keys = ("depends", "noarch", "license", "build_number", "url")

    def records(name: str) -> dict[str, dict[str, object]]:
        read = {p.name: json.loads(p.read_text()) for p in (desk.here / name / "conda-meta").glob("*.json")}
        return {name: {key: record.get(key) for key in keys} for name, record in read.items()}

    for form in forms:
        desk.run("sync", "--lockfile", f"out/{form}", "-p", form)
        conda_alone = {name: each for name, each in locked.items() if each[0] == "conda"}
        assert desk.installed(form) == (conda_alone if form == "explicit" else locked)
        assert records(form) == records("before")


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_uvs_own_lock_is_installed_as_uv_does(desk: Desk) -> None:
    (desk.here / "pyproject.toml").write_text(
        f"""
[project]
name = "ours"
version = "0"
requires-python = ">=3.10"
dependencies = ["app"]
[project.optional-dependencies]
one = ["tool==1.0"]
two = ["tool==2.0"]
[dependency-groups]
dev = ["odd"]
late = ["speed"]
[tool.uv]
package = false
conflicts = [[{{extra = "one"}}, {{extra = "two"}}]]
[[tool.uv.index]]
url = "{desk.index.index_url}"
default = true
"""
    )
    environ = {**os.environ, "UV_CACHE_DIR": f"{desk.here}/uv", "UV_NO_CONFIG": "0"}
    environ.pop("VIRTUAL_ENV", None)

    def uv(*words: str) -> str:
        command = ["uv", *words, "-q", "--python", sys.executable]
        done = subprocess.run(command, cwd=desk.here, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    uv("lock")
    for words in ([], ["--extra", "one"], ["--extra", "two", "--group", "dev"], ["--group", "late"]):
        uv("sync", *([*words, "--no-default-groups"] if "--group" in words else words))
        listed = json.loads(subprocess.check_output(["uv", "pip", "list", "--format=json", "-q"], cwd=desk.here))

        desk.run("sync", "--lockfile", "uv.lock", "-p", "env", *words)

        assert {n: v for n, (_, v) in desk.installed().items()} == {e["name"]: e["version"] for e in listed}, words
    said = desk.run("sync", "--lockfile", "uv.lock", "-p", "env", "--extra", "no", code=2)
    assert "has no extra no" in said
    assert "one, two" in said
    said = desk.run("sync", "--lockfile", "uv.lock", "-p", "env", "--all-extras", code=2)
    assert "two versions of tool" in said


def _files(shelf: Path, name: str) -> str:
    listed = [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in sorted(shelf.glob(f"{name}-*"))]
    return ", ".join(f'{{file = "{file}", hash = "sha256:{digest}"}}' for file, digest in listed)


def test_poetrys_lock_is_located_on_the_index(desk: Desk, shelf: Path) -> None:
    (desk.here / "poetry.lock").write_text(
        f"""
[[package]]
name = "app"
version = "1.0"
optional = false
python-versions = ">=3.8"
groups = ["main"]
files = [{_files(shelf, "app")}]
[package.dependencies]
lib = {{version = ">=1", extras = ["fast"]}}
[[package]]
name = "lib"
version = "1.5"
optional = false
python-versions = "*"
groups = ["main", "dev"]
files = [{_files(shelf, "lib")}]
[[package]]
name = "odd"
version = "1.0"
optional = false
python-versions = "*"
groups = ["main"]
markers = "sys_platform == 'win32'"
files = [{_files(shelf, "odd")}]
[[package]]
name = "speed"
version = "2.0"
optional = true
python-versions = "*"
groups = ["main"]
markers = "extra == 'quick'"
files = [{_files(shelf, "speed")}]
[[package]]
name = "raw"
version = "1.0"
optional = false
python-versions = "*"
groups = ["later"]
files = [{_files(shelf, "raw")}]
[extras]
quick = ["speed"]
[metadata]
lock-version = "2.1"
python-versions = ">=3.8"
content-hash = "0"
"""
    )
    optional = "[tool.poetry]\nname = 'ours'\n[tool.poetry.group.later]\noptional = true\n"
    (desk.here / "pyproject.toml").write_text(optional)
    desk.run("sync", "--lockfile", "poetry.lock", "-p", "env")
    assert set(desk.installed()) == {"app", "lib"}

    desk.run("sync", "--lockfile", "poetry.lock", "-p", "env", "--extra", "quick")
    assert set(desk.installed()) == {"app", "lib", "speed"}

    said = desk.run("sync", "--lockfile", "poetry.lock", "-p", "env", "--group", "later", code=2)
    assert "raw: it would have to be built" in said
    desk.run("sync", "--lockfile", "poetry.lock", "-p", "env", "--group", "later", "--skip-unbuildable", "-y")
    assert set(desk.installed()) == {"app", "lib"}


def test_another_tools_lock_is_written_as_a_third_ones(desk: Desk) -> None:
    desk.run("lock", "--conda", "never", "app", "tool==1.0")
    desk.run("export", "pylock.toml", "-o", "one.toml")
    before = desk.locked()
    (desk.here / "dataloader.lock").unlink()

    desk.run("export", "conda-lock.yml", "--lockfile", "one.toml", "-o", "two.yml")
    desk.run("sync", "--lockfile", "two.yml", "-p", "env")

    assert desk.installed() == before


def test_a_file_with_another_hash_is_not_taken(desk: Desk, shelf: Path) -> None:
    text = f"""
[[package]]
name = "tool"
version = "1.0"
optional = false
files = [{{file = "{next(shelf.glob("tool-1.0*")).name}", hash = "sha256:{"0" * 64}"}}]
[metadata]
lock-version = "2.0"
python-versions = "*"
content-hash = "0"
"""
    (desk.here / "poetry.lock").write_text(text)

    said = desk.run("sync", "--lockfile", "poetry.lock", "-p", "env", code=3)

    assert "locked-file-missing" in said
    assert not (desk.here / "env").exists()


GONE = """version = 1
[[package]]
name = "x"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "gone" }]
"""


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pylock.toml", 'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = "<3"\npackages = []\n', "Python <3"),
        ("uv.lock", 'version = 1\nrequires-python = "<3"\n', "Python <3"),
        ("uv.lock", "version = 7\npackage = []\n", "its version is 7"),
        ("conda-lock.yml", "version: 1\nmetadata: {}\npackage:\n- {platform: win-64}\n", "it is for win-64"),
        ("explicit.txt", "# platform: win-64\n@EXPLICIT\nhttps://c/win-64/a-1-0.conda#0\n", "it is for win-64"),
        ("explicit.txt", "@EXPLICIT\nhttps://c/noarch/a\n", "cannot be read as an explicit list of conda's: line 2"),
        ("uv.lock", GONE, "it needs gone, and has no such package"),
        ("pip.txt", "numpy\n", "is no lock but a requirements.txt"),
        ("Pipfile.lock", '{"_meta": {}, "default": {}}\n', "it is a Pipfile.lock"),
    ],
)
def test_a_lock_that_does_not_fit_is_told_in_a_line(desk: Desk, name: str, text: str, told: str) -> None:
    (desk.here / name).write_text(text)

    said = desk.run("sync", "--lockfile", name, "-p", "env", code=2)

    assert told in said
    assert len(said.splitlines()) < 6


def test_a_project_taken_over_with_its_lock_keeps_its_versions(desk: Desk) -> None:
    desk.run("lock", "--conda", "never", "tool==1.0", "app")
    desk.run("export", "pylock.toml", "-o", "old/pylock.toml")
    (desk.here / "dataloader.lock").unlink()
    (desk.here / "old/requirements.txt").write_text("tool\n")

    desk.run("init", "--from", "old/requirements.txt", "--from", "old/pylock.toml", "-c", "none", "new")
    desk.run("lock", "--conda", "never", "--manifest", "new/dataloader.toml")

    lock = read_lock(desk.here / "new/dataloader.lock")
    assert {p.name: p.version for p in lock.packages} == {"tool": "1.0"}


def test_a_lock_alone_is_taken_over_with_what_it_was_made_from(desk: Desk) -> None:
    desk.run("lock", "--conda", "never", "tool==1.0", "app")
    before = desk.locked()
    for form in ("pylock.toml", "conda-lock.yml", "pixi.lock"):
        desk.run("export", form, "-o", form)

        desk.run("init", "--from", form, f"new-{form}")
        desk.run("lock", "--conda", "never", "--manifest", f"new-{form}/dataloader.toml")

        lock = read_lock(desk.here / f"new-{form}/dataloader.lock")
        assert {p.name: ("pypi", p.version) for p in lock.packages} == before


def test_a_list_that_conda_exported_is_asked_for_exactly(desk: Desk, channel: Path) -> None:
    desk.run("lock", "--conda", "always", "-c", channel.as_uri(), "conda:alpha", "conda:python")
    lock = read_lock(desk.here / "dataloader.lock")
    lines = [f"{p.name}={p.version}={p.build}" for p in lock.conda()]
    (desk.here / "dataloader.lock").unlink()
    (desk.here / "list.txt").write_text("# platform: linux-64\n" + "\n".join([*lines, "tool=1.0=pypi_0"]) + "\n")

    desk.run("lock", "--conda", "always", "-c", channel.as_uri(), "-f", "list.txt")

    found = desk.locked()
    assert found == {p.name: ("conda", p.version) for p in lock.conda()} | {"tool": ("pypi", "1.0")}
    desk.run("sync", "--lockfile", "list.txt", "-c", channel.as_uri(), "-p", "env")
    assert desk.installed() == found
    urls = "".join(f"{p.url}\n" for p in lock.conda())  # `conda list --explicit` writes no hash unless told to
    (desk.here / "explicit.txt").write_text(f"# platform: linux-64\n@EXPLICIT\n{urls}")
    desk.run("sync", "--lockfile", "explicit.txt", "-p", "env")
    assert desk.installed() == {p.name: ("conda", p.version) for p in lock.conda()}
    desk.run("lock", "--conda", "always", "-f", "explicit.txt", "--lockfile", "again.lock")
    assert {p.url for p in read_lock(desk.here / "again.lock").packages} == {p.url for p in lock.conda()}
    (desk.here / "list.txt").write_text("# platform: linux-64\nalpha=1.0=no_1\n")
    said = desk.run("sync", "--lockfile", "list.txt", "-c", channel.as_uri(), "-p", "env", code=3)
    assert "no channel has alpha 1.0 no_1" in said


def test_a_lock_that_is_not_there_is_not_made_under_another_tools_name(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nlib = "*"\n')

    assert "there is no file uv.lock" in desk.run("sync", "--lockfile", "uv.lock", code=2)

    assert not (desk.here / "uv.lock").exists()
