"""Builds in a registry: pushed once under their keys, taken by machines that never built, checked like any other."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_builds import MODULE, Bench, desk, needs_compiler, shelf
from tests.helpers.builds import make_source
from tests.helpers.registry import needs_registry, running_registry

__all__ = ["desk", "shelf"]
pytestmark = [needs_registry, pytest.mark.slow]

OF_MANIFESTS = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path / "registry") as host:
        yield host


class Two:
    """Two machines with a cache each, and one project that names a registry."""

    def __init__(self, desk: Bench, registry: str, tmp_path: Path) -> None:
        self.desk, self.registry, self._second = desk, registry, tmp_path / "second"
        (desk.here / "dataloader.toml").write_text(
            f'[workspace]\nchannels = []\n[pypi-dependencies]\ndemo = "*"\n'
            f'[build]\nallow = ["demo"]\nregistry = "{registry}/team/builds"\n'
        )

    def second(self, *words: str, exit_code: int = 0) -> str:
        done = self.desk.run(*words, DATALOADER_CACHE_DIR=str(self._second))
        assert done.returncode == exit_code, done.stderr
        return done.stderr

    def key(self) -> str:
        build = self.desk.locked("demo")["build"]
        assert isinstance(build, dict)
        return str(build["key"])

    def manifest(self) -> dict[str, object]:
        url = f"http://{self.registry}/v2/team/builds/manifests/{self.key()}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": OF_MANIFESTS})) as answer:
            found = json.load(answer)
        assert isinstance(found, dict)
        return found

    def blob(self) -> bytes:
        layers = self.manifest()["layers"]
        assert isinstance(layers, list)
        (layer,) = layers
        with urllib.request.urlopen(f"http://{self.registry}/v2/team/builds/blobs/{layer['digest']}") as answer:
            return bytes(answer.read())


@pytest.fixture
def two(desk: Bench, registry: str, tmp_path: Path) -> Two:
    return Two(desk, registry, tmp_path)


def test_a_second_machine_takes_what_the_first_has_built(two: Two, shelf: Path) -> None:
    make_source(shelf, "demo", files={"demo.py": "V = 1\n", "demo-1.0.data/scripts/say": "#!python\nprint('said')\n"})
    desk = two.desk
    desk.ok("lock")
    error = desk.fails(1, "build-missing", "cache", "push")
    assert "demo 1.0" in error["message"]
    desk.ok("sync")  # the registry has nothing: it is built
    assert desk.ran() == ["built demo 1.0"]

    first, again = (desk.json("cache", "push") for _ in range(2))

    assert first["builds"][0]["key"] == two.key()
    assert first["sent_bytes"] > 0
    assert again["sent_bytes"] == 0
    assert again["builds"][0]["digest"] == first["builds"][0]["digest"]
    assert "has it" in two.second("sync", "--frozen", "-p", "other")
    assert desk.ran() == []
    assert desk.python("import demo; print(demo.V)", "other") == "1\n"
    assert (desk.here / "other" / "bin" / "say").read_text().startswith(f"#!{desk.here}/other/bin/python")


@needs_compiler
def test_what_a_compiled_wheel_needs_is_noted_beside_it_and_any_tool_can_install_it(
    two: Two, shelf: Path, tmp_path: Path
) -> None:
    tag = f"cp3{sys.version_info[1]}-abi3-linux_x86_64"
    make_source(shelf, "demo", c=MODULE.replace("PyInit_native", "PyInit_demo"), tag=tag)
    two.desk.ok("sync")
    two.desk.ok("cache", "push")

    manifest = two.manifest()

    annotations = manifest["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["dev.dataloader.name"] == "demo"
    assert annotations["dev.dataloader.needs.glibc"].startswith("2.")
    wheel = tmp_path / f"demo-1.0-{tag}.whl"
    wheel.write_bytes(two.blob())
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "pip"),
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    code = "import demo; print(demo.__name__)"
    said = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path / "pip", text=True)
    assert said.strip() == "native"  # as it calls itself


def test_what_is_there_and_does_not_fit_is_built_here(two: Two, shelf: Path, tmp_path: Path) -> None:
    make_source(shelf, "demo")
    two.desk.ok("sync")
    two.desk.ok("cache", "push")
    other = tmp_path / "stranger-1.0-py3-none-any.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("stranger-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    _replace(two, other)
    two.desk.ran()

    said = two.second("sync", "--frozen", "-p", "other")

    assert "is unfit" in said
    assert two.desk.ran() == ["built demo 1.0"]


def test_a_registry_that_does_not_answer_is_told_and_done_without(two: Two, shelf: Path) -> None:
    make_source(shelf, "demo")
    two.desk.ok("lock")

    done = two.desk.run("sync", "--frozen", "-p", "env", DATALOADER_BUILD_REGISTRY="127.0.0.1:9/team/builds")

    assert done.returncode == 0, done.stderr
    assert "demo is built here: 127.0.0.1 could not be reached" in done.stderr
    assert two.desk.ran() == ["built demo 1.0"]
    two.desk.ok("sync", "-p", "third", "--offline", "--frozen")


@pytest.mark.parametrize("named", ["ghcr.io/team/builds:1", "ghcr.io/Team/builds", "https://ghcr.io/team/builds"])
def test_a_registry_is_named_as_a_repository(desk: Bench, shelf: Path, named: str) -> None:
    make_source(shelf, "demo")
    words = ("install", "demo", "--build", "demo", "-p", "env")
    desk.fails(2, "image-name-invalid", *words, DATALOADER_BUILD_REGISTRY=named)


def test_nothing_is_pushed_where_no_registry_is_named(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo")
    desk.ok("lock", "demo", "--build", "demo")
    desk.fails(2, "build-registry-unnamed", "cache", "push")


def _replace(two: Two, wheel: Path) -> None:
    """Have the registry serve another wheel under the key."""
    import asyncio

    from dataloader.base.reporter import Reporter
    from dataloader.build.shared import WHEEL_TYPE
    from dataloader.index.settings import IndexSettings
    from dataloader.oci.artefact import give_artefact
    from dataloader.oci.reference import parse_reference
    from dataloader.oci.registry import Registry

    reference = parse_reference(f"{two.registry}/team/builds:{two.key()}")

    async def give() -> None:
        async with Registry(IndexSettings(), Reporter(), [(reference, "pull,push")]) as registry:
            await give_artefact(registry, reference, WHEEL_TYPE, wheel, {})

    asyncio.run(give())
