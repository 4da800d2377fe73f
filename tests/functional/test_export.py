"""What `export` writes is read by who it is for: pip, uv, rattler, CycloneDX's and SPDX's own validators."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rattler
import tomli
import yaml

from dataloader.cli.app import main
from dataloader.export import FORMATS
from dataloader.lockfile.model import Lockfile
from dataloader.lockfile.yaml import read_lock
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.elf import make_library
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

HERE_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Desk:
    """A directory with a lock in it."""

    def __init__(self, here: Path, index: IndexServer) -> None:
        self.here, self.index = here, index
        here.mkdir(exist_ok=True)

    def run(self, *words: str | Path, code: int = 0, fresh: bool = False) -> str:
        environ = {**os.environ, "DATALOADER_INDEX_URL": self.index.index_url, "PIP_CONFIG_FILE": "/dev/null"}
        done = run_command(*map(str, words), cwd=self.here, env=environ, fresh=fresh)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    def tool(self, *words: str | Path) -> str:
        environ = {**os.environ, "PIP_CONFIG_FILE": "/dev/null", "UV_CACHE_DIR": f"{self.here}/uv"}
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.here, env=environ, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def lock(self) -> Lockfile:
        return read_lock(self.here / "dataloader.lock")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_wheel(folder, "app", "1.0", requires=["lib[fast]>=1", "odd ; sys_platform == 'win32'"])
    make_wheel(folder, "lib", "1.5", requires=["speed ; extra == 'fast'"], extras=["fast"])
    make_wheel(folder, "lib", "1.0")
    make_wheel(folder, "speed", "2.0+cu118")
    make_wheel(folder, "fast-thing", "3.0rc1")
    return folder


@pytest.fixture(scope="module")
def locked(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project of wheels alone, and its lock."""
    folder = tmp_path_factory.mktemp("wheels")
    with IndexServer(shelf) as index:
        made = Desk(folder / "here", index)
        made.run("lock", "--conda", "never", "app", "fast-thing==3.0rc1")
        yield made


@pytest.fixture(scope="module")
def locked_mixed(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project of conda packages and wheels, and its lock."""
    folder = tmp_path_factory.mktemp("mixed")
    channel = folder / "channel"
    make_python_package(channel)
    make_conda_package(channel, "alpha", "1.0", depends=["beta >=1"], index={"license": "MIT"})
    make_conda_package(channel, "beta", "1.2", noarch="generic", format="tar.bz2", index={"license": "Odd Licence"})
    make_conda_package(channel, "pip", "26.0", noarch="generic")
    index_channel(channel)
    with IndexServer(shelf) as index:
        made = Desk(folder / "here", index)
        made.run("lock", "--conda", "always", "-c", channel.as_uri(), "conda:alpha", "app")
        yield made


@pytest.fixture
def desk(locked: Desk, tmp_path: Path) -> Desk:
    """A copy of the project of wheels."""
    shutil.copytree(locked.here, tmp_path / "here")
    return Desk(tmp_path / "here", locked.index)


@pytest.fixture
def mixed(locked_mixed: Desk, tmp_path: Path) -> Desk:
    """A copy of the mixed project."""
    shutil.copytree(locked_mixed.here, tmp_path / "here")
    return Desk(tmp_path / "here", locked_mixed.index)


def versions(lock: Lockfile) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def installed_by(report: Path) -> dict[str, str]:
    """What pip would install (its own report)."""
    entries = json.loads(report.read_text())["install"]
    return {each["metadata"]["name"]: each["metadata"]["version"] for each in entries}


@pytest.mark.parametrize("form", ["requirements.txt", "pylock.toml"])
def test_pip_installs_the_same_wheels(desk: Desk, form: str) -> None:
    desk.run("export", form, "-o", form)
    hashes = ["--require-hashes"] if form == "requirements.txt" else []
    report = desk.here / "report.json"
    python = [sys.executable, "-m", "pip", "install", "--quiet", "--ignore-installed", "--dry-run"]

    desk.tool(*python, *hashes, "--report", report, "-r", form)

    assert installed_by(report) == versions(desk.lock)


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
@pytest.mark.parametrize("form", ["requirements.txt", "pylock.toml"])
def test_uv_installs_the_same_wheels(desk: Desk, form: str) -> None:
    desk.run("export", form, "-o", form)

    desk.tool("uv", "venv", "-q", "--python", sys.executable, "env")
    desk.tool("uv", "pip", "sync", "-q", "--python", "env", form)

    found = json.loads(desk.tool("uv", "pip", "list", "-q", "--python", "env", "--format=json"))
    assert {each["name"]: each["version"] for each in found} == versions(desk.lock)


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_uv_locks_the_exported_project_to_the_same_versions(desk: Desk) -> None:
    desk.run("export", "pyproject.toml", "-o", "project/pyproject.toml")

    desk.tool("uv", "lock", "-q", "--project", "project", "--python", sys.executable)

    found = tomli.loads((desk.here / "project/uv.lock").read_text())["package"]
    assert {p["name"]: p["version"] for p in found if "virtual" not in p["source"]} == versions(desk.lock)


@pytest.mark.parametrize("form", ["pixi.lock", "pixi.lock-6"])
def test_rattler_reads_the_same_packages(mixed: Desk, form: str) -> None:
    mixed.run("export", form, "-o", "pixi.lock")

    environment = rattler.LockFile.from_path(mixed.here / "pixi.lock").default_environment()
    assert environment is not None
    platform = next(each for each in environment.platforms() if str(each.name) == "linux-64")
    packages = environment.packages(platform)
    assert packages is not None
    assert {p.location for p in packages} == {p.url.removeprefix("file://") for p in mixed.lock.packages}

    text = yaml.safe_load((mixed.here / "pixi.lock").read_text())
    assert text["version"] == (6 if form.endswith("6") else 7)
    assert "dataloader" not in text


def test_environment_yml_is_read_back_to_the_same_packages(mixed: Desk, tmp_path: Path) -> None:
    mixed.run("export", "environment.yml", "-o", "environment.yml")
    before = versions(mixed.lock)

    again = Desk(tmp_path / "again", mixed.index)
    again.run("lock", "--conda", "always", "-f", mixed.here / "environment.yml")

    assert versions(again.lock).items() >= before.items() - {("pip", "")}


def test_no_builds_leaves_build_strings_out(mixed: Desk) -> None:
    with_builds, without = mixed.run("export", "environment.yml"), mixed.run("export", "environment.yml", "--no-builds")

    conda = {package.name: package for package in mixed.lock.conda()}
    assert f"- alpha=1.0={conda['alpha'].build}\n" in with_builds
    assert "- alpha=1.0\n" in without


def test_an_explicit_file_lists_each_package_after_what_it_needs(mixed: Desk) -> None:
    lines = mixed.run("export", "explicit", "--partial").splitlines()

    urls = [line.partition("#")[0] for line in lines[lines.index("@EXPLICIT") + 1 :]]
    assert set(urls) == {package.url for package in mixed.lock.conda()}
    names = [url.rsplit("/", 1)[-1].split("-")[0] for url in urls]
    assert names.index("beta") < names.index("alpha")


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if len(form.worlds) == 1])
def test_what_a_format_cannot_hold_is_refused_by_name(mixed: Desk, form: str) -> None:
    said = mixed.run("export", form, "-o", "out", code=2)

    lost = FORMATS[form].left_out(mixed.lock)
    assert lost
    assert all(f"{package.name} {package.version}" in said for package in lost)
    assert not (mixed.here / "out").exists()
    mixed.run("export", form, "--partial", "-o", "out")
    assert (mixed.here / "out").stat().st_size


def test_an_unknown_format_is_named(desk: Desk) -> None:
    said = desk.run("export", "pylok.toml", code=2)

    assert "export-format-unknown" in said
    assert "dataloader export pylock.toml" in said


def test_cyclonedx_is_valid(mixed: Desk) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = mixed.run("export", "cyclonedx")

    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    document = json.loads(text)
    assert {c["name"]: c["version"] for c in document["components"]} == versions(mixed.lock)
    known = {c["bom-ref"] for c in document["components"]}
    assert all(set(each["dependsOn"]) <= known for each in document["dependencies"])


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no C compiler")
def test_a_bill_of_an_environment_has_what_is_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = make_library(tmp_path / "libz.so", soname="libz-0a1b2c3d.so.1.2").read_bytes()
    bill = {
        "bomFormat": "CycloneDX",
        "components": [{"name": "zlib", "version": "1.2-3", "purl": "pkg:deb/debian/zlib@1.2-3"}],
    }
    inside: dict[str, str | bytes] = {
        "app.libs/libz-0a1b2c3d.so.1.2": library,
        "app-1.0.dist-info/sboms/auditwheel.cdx.json": json.dumps(bill),
    }
    make_wheel(tmp_path / "shelf", "app", "1.0", tag="py3-none-manylinux_2_17_x86_64", files=inside)
    (tmp_path / "v.json").write_text(
        json.dumps(
            {"statements": [{"vulnerability": "C", "status": "fixed", "products": ["pkg:pypi/app", "pkg:pypi/b"]}]}
        )
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATALOADER_CONDA", "never")
    with IndexServer(tmp_path / "shelf") as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        assert main(["install", "app", "-p", "env", "-q"]) == 0
    assert main(["export", "cyclonedx", "-p", "env", "--vex", "v.json", "-o", "bom.json"]) == 0
    assert "v.json: C is of b, which the lock lacks" in capsys.readouterr().err
    assert main(["export", "html", "--vex", "v.json"]) == 2

    document = json.loads(Path("bom.json").read_text())
    (app,) = document["components"]
    found = [(c["name"], c["version"], c.get("purl")) for c in app["components"]]
    assert found == [("libz", "1.2", None), ("zlib", "1.2-3", "pkg:deb/debian/zlib@1.2-3")]
    assert app["components"][0]["hashes"][0]["content"] == hashlib.sha256(library).hexdigest()
    assert document["vulnerabilities"][0]["affects"] == [{"ref": app["bom-ref"]}]


def test_package_urls_are_canonical(mixed: Desk) -> None:
    from packageurl import PackageURL

    for component in json.loads(mixed.run("export", "cyclonedx"))["components"]:
        parsed = PackageURL.from_string(component["purl"])
        assert (parsed.name, parsed.version) == (component["name"], component["version"])
        assert parsed.to_string() == component["purl"]


def test_spdx_is_valid(mixed: Desk) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    # Its pattern of a URL wants a host with a name.
    text = mixed.run("export", "spdx").replace(mixed.index.url, "https://index.test")
    (mixed.here / "bom.spdx.json").write_text(text)

    document = parse_file(str(mixed.here / "bom.spdx.json"))
    assert [message.validation_message for message in validate_full_spdx_document(document)] == []
    assert {package.name: package.version for package in document.packages} == versions(mixed.lock)


@pytest.mark.skipif(not shutil.which("conda-lock"), reason="conda-lock is not installed: nox -s judges")
def test_conda_lock_renders_what_it_reads(mixed: Desk) -> None:
    mixed.run("export", "conda-lock.yml", "-o", "conda-lock.yml")

    mixed.tool("conda-lock", "render", "--kind", "explicit", "-p", "linux-64", "conda-lock.yml")

    lines = (mixed.here / "conda-linux-64.lock").read_text().splitlines()
    urls = {line.partition("#")[0] for line in lines[lines.index("@EXPLICIT") + 1 :] if not line.startswith("#")}
    assert urls >= {package.url for package in mixed.lock.conda()}


@pytest.mark.skipif(not shutil.which("poetry"), reason="poetry is not installed: nox -s judges")
def test_poetry_checks_the_exported_project(desk: Desk) -> None:
    desk.run("export", "pyproject.toml", "-o", "project/pyproject.toml")

    assert "All set!" in desk.tool("poetry", "check", "-C", "project")


def test_conda_lock_reads_back_every_package(mixed: Desk) -> None:
    document: Any = yaml.safe_load(mixed.run("export", "conda-lock.yml"))

    assert {p["name"]: (p["manager"], p["url"]) for p in document["package"]} == {
        p.name: ("conda" if p in mixed.lock.conda() else "pip", p.url) for p in mixed.lock.packages
    }


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_report_names_every_package_and_needs_nothing_from_elsewhere(mixed: Desk, form: str) -> None:
    text = mixed.run("export", form)

    assert all(package.name in text and package.version in text for package in mixed.lock.packages)
    assert "<script" not in text
    assert "src=" not in text


def test_the_same_lock_gives_the_same_bytes(mixed: Desk) -> None:
    for form in FORMATS:
        first = mixed.run("export", form, "--partial")
        assert mixed.run("export", form, "--partial", fresh=True) == first  # sets have another order there


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.worlds == {"pypi"}])
def test_what_holds_wheels_takes_a_python_for_granted(form: str, shelf: Path, tmp_path: Path) -> None:
    """With what it brings alone: not what is asked for by name, or what a wheel needs of it."""
    channel = tmp_path / "channel"
    make_python_package(channel, depends=["ssl", "zip >=1"])
    for name, needs in (("ssl", ["certs"]), ("certs", []), ("zip", [])):
        make_conda_package(channel, name, "1.0", noarch="generic", depends=needs)
    index_channel(channel)
    with IndexServer(shelf) as index:
        desk = Desk(tmp_path / "here", index)
        desk.run("lock", "-c", channel.as_uri(), "conda:python", "app", "pypi:lib")
        assert {"python", "ssl", "certs", "zip"} <= versions(desk.lock).keys()

        assert "lib" in desk.run("export", form)

        desk.run("lock", "-c", channel.as_uri(), "conda:python", "conda:zip", "app")
        said = desk.run("export", form, code=2)
        assert "zip 1.0" in said
        assert "ssl" not in said
