"""Manifests: pixi's tables and ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dataloader.base.errors import ManifestError, UsageError
from dataloader.prefix.locate import locate_manifest
from dataloader.request.manifests.manifest import Manifest, kind_of, load_manifest, parse_manifest
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path("/project")


def parse(text: str, name: str = "dataloader.toml") -> Manifest:
    return parse_manifest(text, HERE / name)


def mistakes(text: str, name: str = "dataloader.toml") -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        parse(text, name)
    assert caught.value.code == "manifest-invalid"
    return caught.value.causes


WHOLE = """
[workspace]
name = "training"
channels = ["pytorch", { channel = "nvidia", priority = 2 }, "conda-forge"]
platforms = ["linux-64"]
channel-priority = "disabled"

[dependencies]
python = "3.11.*"
pytorch = { version = "2.1.*", build = "*cuda*", channel = "pytorch" }
blas = "=1.2"
anything = "*"

[pypi-dependencies]
Transformers = "==4.36.0"
ray = { version = ">=2", extras = ["tune", "default"], env-markers = "python_version < '3.12'" }
mine = { version = "*", index = "https://example.org/simple" }

[system-requirements]
cuda = "12"
libc = { family = "glibc", version = "2.28" }

[pypi-options]
index-url = "https://example.org/simple"
extra-index-urls = ["https://two.example/simple"]
find-links = [{ path = "wheels" }, { url = "https://example.org/links" }]
no-build = true
no-binary = ["Some_Thing"]

[stack]
cuda = "12.1"
torch = "*"
gpus = ["A100", "8.6"]

[resolution]
conda = "auto"
prerelease = "if-necessary"
exclude-newer = 2024-01-31
pypi-only = ["Num_Py"]
"""


def test_every_table_is_read() -> None:
    manifest = parse(WHOLE)
    environment = manifest.environment()

    assert (manifest.name, manifest.channel_priority) == ("training", "disabled")
    assert environment.channels == ("nvidia", "pytorch", "conda-forge")
    assert [str(requirement) for requirement in environment.requirements] == [
        "conda:python[version='3.11.*']",
        "conda:pytorch::pytorch[version='2.1.*', build='*cuda*']",
        "conda:blas[version='1.2.*']",
        "conda:anything",
        "transformers==4.36.0",
        'ray[default,tune]>=2 ; python_version < "3.12"',
        "pypi:mine",
    ]
    assert (environment.system.cuda, environment.system.libc) == ("12", "2.28")
    assert environment.pypi.find_links == ("/project/wheels", "https://example.org/links")
    assert (environment.pypi.only_binary, environment.pypi.no_binary) == ((":all:",), ("some-thing",))
    assert environment.stack == {"cuda": "12.1", "torch": ""}
    assert environment.gpus == ("A100", "8.6")
    assert (manifest.resolution.exclude_newer, manifest.resolution.pypi_only) == ("2024-01-31", ("num-py",))


def test_each_requirement_knows_its_line() -> None:
    origins = [requirement.origin for requirement in parse(WHOLE).environment().requirements]

    assert origins[0] == "dataloader.toml:9"
    assert origins[4] == "dataloader.toml:15"


def test_project_is_the_older_name_of_workspace() -> None:
    assert parse('[project]\nname = "a"\nchannels = ["x"]\n').environment().channels == ("x",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pixi.toml", '[workspace]\nchannels = ["x"]\n[dependencies]\na = "1"\n[tool.dataloader.stack]\ncuda = "12"\n'),
        (
            "pyproject.toml",
            (
                '[project]\nname = "n"\ndependencies = []\n[tool.pixi.workspace]\nchannels = ["x"]\n'
                '[tool.pixi.dependencies]\na = "1"\n[tool.dataloader.stack]\ncuda = "12"\n'
            ),
        ),
    ],
)
def test_ours_sits_under_tool_dataloader_in_files_of_others(name: str, text: str) -> None:
    environment = parse(text, name).environment()

    assert environment.channels == ("x",)
    assert isinstance(environment.requirements[0], CondaRequirement)
    assert environment.stack == {"cuda": "12"}


def test_a_projects_own_dependencies_count() -> None:
    text = '[project]\nname = "n"\ndependencies = ["numpy>=1"]\n[tool.dataloader.stack]\ntorch = "2.1"\n'

    manifest = parse(text, "pyproject.toml")

    assert manifest.name == "n"
    assert [str(requirement) for requirement in manifest.environment().requirements] == ["numpy>=1"]


def test_all_mistakes_are_reported_in_the_order_of_the_file() -> None:
    causes = mistakes(
        """
[workspace]
channels = "x"
[dependancies]
[dependencies]
a = {git = "x"}
b = ">=>1"
[pypi-dependencies]
numpy = "1.2"
scipy = ">>1"
x = 3
y = {git = "x"}
[stack]
cuda = 11.8
pytorch = "2"
jax = "newest"
[resolution]
conda = "maybe"
prerelase = "allow"
[environments]
z = ["nope"]
"""
    )

    assert [cause.split(":")[1] for cause in causes] == [
        "3",
        "4",
        "7",
        "9",
        "10",
        "11",
        "14",
        "15",
        "16",
        "18",
        "19",
        "21",
    ]
    assert "did you mean dependencies?" in causes[1]
    assert 'write "==1.2"' in causes[3]
    assert 'write cuda = "11.8"' in causes[6]
    assert "did you mean torch?" in causes[7]
    assert "did you mean prerelease?" in causes[10]


def test_unknown_tables_of_pixi_are_pixis_business() -> None:
    text = '[workspace]\nchannels = []\npreview = ["x"]\n[future]\na = 1\n[tasks]\nt = "x"\n'

    assert parse(text, "pixi.toml").environment().requirements == ()
    assert "future" in mistakes(text)[0]


def test_tables_that_have_no_effect_are_noted() -> None:
    notes = parse('[host-dependencies]\na = "1"\n').notes

    assert notes == ("[host-dependencies] (dataloader.toml:1) is not heeded",)


FEATURES = """
[workspace]
channels = ["conda-forge"]
platforms = ["linux-64"]
[dependencies]
base = "1"
[stack]
cuda = "12.1"
torch = "2.1"
[target.linux.dependencies]
on-linux = "1"
[target.win-64.dependencies]
on-windows = "1"
[feature.cpu]
channels = ["special"]
[feature.cpu.stack]
cuda = "none"
[feature.cpu.dependencies]
more = "1"
[feature.cpu.system-requirements]
libc = "2.17"
[system-requirements]
libc = "2.4"
[environments]
cpu = ["cpu"]
alone = { features = ["cpu"], no-default-feature = true }
"""


def test_a_feature_that_an_environment_names_twice_is_a_mistake() -> None:
    text = "[feature.dev.dependencies]\na = '*'\n[environments]\ndefault = ['dev', 'dev']\n"
    assert "the feature dev is there twice" in mistakes(text)[0]


def test_features_are_joined_into_environments() -> None:
    cpu = parse(FEATURES).environment("cpu")

    assert cpu.channels == ("special", "conda-forge")
    assert [requirement.name for requirement in cpu.requirements] == ["more", "base", "on-linux"]
    assert cpu.stack == {"cuda": "none", "torch": "2.1"}
    assert cpu.system.libc == "2.17"


def test_an_environment_may_leave_the_default_out() -> None:
    alone = parse(FEATURES).environment("alone")

    assert [requirement.name for requirement in alone.requirements] == ["more"]


def test_platform_tables_count_on_their_platform() -> None:
    names = [requirement.name for requirement in parse(FEATURES).environment(platform="win-64").requirements]

    assert names == ["base", "on-windows"]


def test_an_unknown_environment_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        parse(FEATURES).environment("gpu")

    assert caught.value.code == "environment-unknown"
    assert "alone, cpu, default" in caught.value.causes[0]


def test_a_pypi_dependency_may_be_a_wheel_beside_the_manifest(tmp_path: Path) -> None:
    from tests.helpers.wheels import make_wheel

    wheel = make_wheel(tmp_path, "demo", "1.0")
    path = tmp_path / "dataloader.toml"
    path.write_text(f'[pypi-dependencies]\ndemo = {{ path = "{wheel.name}" }}\n')

    (requirement,) = load_manifest(path).environment().requirements

    assert isinstance(requirement, PypiRequirement)
    assert requirement.url == wheel.as_uri()


def test_the_nearest_manifest_upward_is_found(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "pixi.toml").touch()
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "someone else"\n')

    assert Path(locate_manifest(str(deep)) or "") == tmp_path / "pixi.toml"

    (tmp_path / "a" / "pyproject.toml").write_text("[tool.dataloader.stack]\n")

    assert Path(locate_manifest(str(deep)) or "") == tmp_path / "a" / "pyproject.toml"


@pytest.mark.parametrize("data", [b"[a", b"\xff", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "dataloader.toml"
    path.write_bytes(data)

    with pytest.raises(ManifestError) as caught:
        load_manifest(path)

    assert str(path) in caught.value.message


def test_a_missing_manifest_names_init(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path / "dataloader.toml")

    assert caught.value.code == "manifest-missing"
    assert "dataloader init" in caught.value.suggestions[0]


def test_what_cannot_be_met_is_refused_where_it_is_used_and_not_before() -> None:
    manifest = parse(
        """
[pypi-dependencies]
numpy = "*"
[feature.dev.pypi-dependencies]
ours = {git = "https://example.org/ours"}
[target.win-64.dependencies]
theirs = {path = "../theirs"}
[environments]
dev = ["dev"]
"""
    )

    assert [r.refusal for r in manifest.environment().requirements] == [None]
    (refused,) = (r for r in manifest.environment("dev").requirements if r.refusal)
    assert refused.refusal is not None
    assert "ours comes from git+https://example.org/ours, a repository" in refused.refusal.message


@pytest.mark.parametrize(
    ("filename", "text", "kind"),
    [
        ("dev.toml", "[stack]\n[pypi-dependencies]\n", "dataloader.toml"),
        ("dev.toml", "[project]\nname = 'a'\nchannels = []\n[dependencies]\n", "dataloader.toml"),
        ("dev.toml", "[project]\nname = 'a'\n[tool.pixi.dependencies]\n", "pyproject.toml"),
        ("dev.toml", "[workspace]\n[tool.dataloader.stack]\n", "pixi.toml"),
        ("dataloader.toml", "[tool.pixi.dependencies]\n", "dataloader.toml"),
    ],
)
def test_a_manifest_of_another_name_is_read_by_what_it_holds(filename: str, text: str, kind: str) -> None:
    assert kind_of(filename, tomllib.loads(text)) == kind


def test_a_manifest_of_another_name_is_read_as_it_would_be_under_its_own(tmp_path: Path) -> None:
    text = '[workspace]\n[pypi-dependencies]\nnumpy = "<2"\n[stack]\ncuda = "12.1"\n'
    one, other = (parse_manifest(text, tmp_path / name).environment() for name in ("dataloader.toml", "dev.toml"))
    assert [*map(str, one.requirements)] == [*map(str, other.requirements)]
    assert one.stack == other.stack
    with pytest.raises(ManifestError):
        parse_manifest(text + "[stak]\n", tmp_path / "dev.toml")
