"""Each key of each input format is used, or named: the lists of keys are the formats' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError, ManifestError
from dataloader.request.manifests.manifest import Manifest, parse_manifest
from dataloader.request.readers.environment_yml import read_environment
from dataloader.request.readers.requirements_txt import read_requirements

PIXI = """
[workspace]
name = "n"
version = "1"
description = "d"
authors = ["a"]
channels = ["conda-forge"]
channel-priority = "strict"
exclude-newer = "2024-01-31"
platforms = ["linux-64", {platform = "linux-aarch64", name = "arm"}]
license = "MIT"
license-file = "L"
readme = "R"
homepage = "https://h"
repository = "https://r"
documentation = "https://d"
conda-pypi-map = {conda-forge = "map.json"}
pypi-options = {index-url = "https://w"}
s3-options = {b = {endpoint-url = "https://s"}}
preview = ["pixi-build"]
build-variants = {python = ["3.11"]}
requires-pixi = ">=0.40"
solve-strategy = "lowest"
[dependencies]
a = {version = "1", build = "b", build-number = ">1", file-name = "f", channel = "c", subdir = "noarch", license = "L"}
[host-dependencies]
h = "*"
[build-dependencies]
b = "*"
[constraints]
openssl = "<3"
[pypi-dependencies]
p = {version = "==1", extras = ["x"], index = "https://i", env-markers = "python_version > '3'", when = "later"}
[pypi-options]
index-url = "https://i"
extra-index-urls = ["https://e"]
find-links = [{path = "./l"}]
no-build-isolation = ["n"]
index-strategy = "first-index"
no-build = true
dependency-overrides = {numpy = ">=1"}
no-binary = ["o"]
prerelease-mode = "explicit"
[tasks]
t = "echo"
[system-requirements]
linux = "4"
cuda = "12"
libc = {family = "glibc", version = "2.28"}
archspec = "x86_64"
macos = "13"
unix = true
[activation]
scripts = ["s.sh"]
env = {A = "1"}
[target.linux-64.dependencies]
l = "*"
[target.linux-64.activation]
scripts = ["t.sh"]
[target.linux-64.tasks]
u = "echo"
[feature.f]
channels = ["nvidia"]
channel-priority = "disabled"
platforms = ["linux-64"]
[feature.f.dependencies]
d = "*"
[feature.f.tasks]
v = "echo"
[environments]
e = {features = ["f"], solve-group = "g", no-default-feature = true}
[package]
name = "x"
[dev]
y = {path = "."}
"""
ABOUT = {
    "version", "description", "authors", "license", "license-file", "readme", "homepage", "repository",
    "documentation", "preview", "requires-pixi",
}  # fmt: skip
"""Keys that describe the project to people and to pixi: neither used nor named."""

MATTER = {
    "workspace.conda-pypi-map", "workspace.solve-strategy", "host-dependencies", "build-dependencies",
    "pypi-options.index-strategy", "pypi-options.prerelease-mode",
    "feature.f.channel-priority", "dependencies.a.file-name", "dependencies.a.license", "pypi-dependencies.p.when",
}  # fmt: skip
NAMED = {
    "workspace.s3-options", "workspace.build-variants",
    "system-requirements.unix", "activation.scripts", "target.linux-64.activation",
    "package", "dev",
}  # fmt: skip


def keys(told: tuple[str, ...]) -> set[str]:
    return {line[1:].partition("]")[0] for line in told}


def at(prefix: str, text: str) -> str:
    """The same tables below another."""
    return "\n".join(
        line.replace("[", f"[{prefix}.", 1) if line.startswith("[") else line for line in text.splitlines()
    )


def test_each_key_of_pixi_is_used_or_named() -> None:
    manifest = parse_manifest(PIXI, Path("/p/pixi.toml"))
    inside = parse_manifest(
        at("tool.pixi", PIXI) + '\n[project]\nname = "x"\nversion = "1"\ndependencies = []\n', Path("/p/pyproject.toml")
    )

    for one in (manifest, inside):
        assert keys(one.notes) == MATTER
        assert keys(one.unused) == NAMED


def test_what_is_used_of_pixi_is_used() -> None:
    manifest = parse_manifest(PIXI, Path("/p/pixi.toml"))
    environment = manifest.environment()

    assert environment.platforms == ("linux-64", "linux-aarch64")
    assert environment.pypi.index_url == "https://i"
    assert environment.variables == {"A": "1"}
    assert [r.match_spec for r in environment.limits] == ["openssl[version='<3']"]
    assert manifest.resolution.exclude_newer == "2024-01-31"


@pytest.mark.parametrize(("mode", "allowed"), [("allow", True), ("if-necessary", False), ("disallow", False)])
def test_modes_of_pre_releases_are_heeded_or_named(mode: str, allowed: bool) -> None:
    manifest = parse_manifest(f'[pypi-options]\nprerelease-mode = "{mode}"\n', Path("/p/pixi.toml"))
    assert manifest.environment().pypi.prerelease is allowed
    assert bool(manifest.notes) is (mode == "disallow")


PYPROJECT = """
[project]
name = "ours"
requires-python = ">=3.10,<3.11"
dependencies = ["numpy"]
[project.optional-dependencies]
cpu = ["scipy"]
all = ["ours[cpu]", "pandas"]
[dependency-groups]
test = ["pytest", {include-group = "lint"}]
lint = ["ruff"]
[tool.uv]
index-url = "https://u"
[tool.ruff]
line-length = 1
[tool.pixi.workspace]
channels = []
[tool.pixi.environments]
test = ["test"]
everything = ["all"]
"""


def names(manifest: Manifest, environment: str) -> set[str]:
    return {str(r) for r in manifest.environment(environment).requirements}


def test_each_table_of_a_pyproject_is_used_or_named() -> None:
    manifest = parse_manifest(PYPROJECT, Path("/p/pyproject.toml"))

    assert names(manifest, "default") == {"numpy", "python<3.11,>=3.10"}
    assert names(manifest, "test") == {"numpy", "python<3.11,>=3.10", "pytest", "ruff"}
    assert names(manifest, "everything") == {"numpy", "python<3.11,>=3.10", "scipy", "pandas"}
    assert keys(manifest.notes) == {"tool.uv"}
    assert manifest.unused == ()


def test_groups_that_include_themselves_are_a_mistake() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(
            '[dependency-groups]\na = [{include-group = "b"}]\nb = [{include-group = "a"}]\n[tool.dataloader]\n',
            Path("/p/pyproject.toml"),
        )
    assert any("Cyclic dependency group include" in cause for cause in caught.value.causes)


PIP_OPTIONS = {
    "-i https://i": "index_url", "--index-url https://i": "index_url",
    "--extra-index-url https://e": "extra_index_urls",
    "--no-index": "no_index", "-c limits.txt": "constraints", "-r more.txt": "requirements",
    "-e ./x": "requirements", "-f https://l": "find_links", "--find-links https://l": "find_links",
    "--no-binary a": "no_binary",
    "--only-binary a": "only_binary", "--prefer-binary": "notes", "--require-hashes": "require_hashes",
    "--pre": "prerelease", "--trusted-host h": "trusted_hosts", "--use-feature f": "notes",
}  # fmt: skip
"""The options that pip's "Requirements File Format" supports -> what they set here."""


@pytest.mark.parametrize("line", PIP_OPTIONS)
def test_each_option_of_a_requirements_file_is_used_or_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "limits.txt").write_text("x<2\n")
    (tmp_path / "more.txt").write_text("y\n")
    file = tmp_path / "requirements.txt"
    file.write_text(f"{line}\n")
    assert getattr(read_requirements(file, environ={}), PIP_OPTIONS[line])


def test_each_key_of_an_environment_file_is_used_or_named(tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(
        "name: n\nprefix: /p\nchannels: [c]\ndependencies: [a]\nvariables: {A: 1}\nplatforms: [linux-64]\ncategory: m\n"
    )
    read = read_environment(file)

    assert (read.name, read.channels, dict(read.variables)) == ("n", ("c",), {"A": "1"})
    assert [note.partition(": ")[2].split()[0] for note in read.notes] == ["category", "platforms", "prefix"]


@pytest.mark.parametrize(
    "name", ["pylock.toml", "pylock.dev.toml", "uv.lock", "poetry.lock", "pyproject.toml", "Pipfile", "environment.yml"]
)
def test_a_file_of_another_format_is_refused_as_a_whole(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text('[[packages]]\nname = "a"\nversion = "1"\n')
    with pytest.raises(DataloaderError) as caught:
        read_requirements(file, environ={})
    assert caught.value.causes == ()
    assert caught.value.suggestions


@pytest.mark.parametrize("text", ["version: 1\nmetadata: {}\npackage: []\n", "foo: 1\n", "- a\n"])
def test_what_is_no_environment_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "conda-lock.yml"
    file.write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_environment(file)
    assert caught.value.code == "environment-invalid"


def test_what_a_requirement_says_beside_known_keys_is_a_warning(tmp_path: Path) -> None:
    text = '[pypi-dependencies]\na = {versio = "<2"}\n[feature.f.dependencies]\nb = {buil = "x*"}\n'
    notes = " ".join(parse_manifest(text, tmp_path / "dataloader.toml").notes)
    assert "[pypi-dependencies.a.versio] (dataloader.toml:2) is not heeded" in notes
    assert "[feature.f.dependencies.b.buil] (dataloader.toml:4) is not heeded" in notes
