"""One lock for several platforms: each part is what a lock for it alone holds, and a machine takes its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rattler
import yaml

from tests.functional.test_flow import Desk
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

PLATFORMS = ("linux-64", "linux-aarch64", "osx-arm64", "win-64")
TAGS = {
    "linux-64": "manylinux_2_17_x86_64",
    "linux-aarch64": "manylinux_2_17_aarch64",
    "osx-arm64": "macosx_11_0_arm64",
    "win-64": "win_amd64",
}
MARKERS = [
    "winonly ; sys_platform == 'win32'",
    "maconly ; platform_system == 'Darwin' and platform_machine == 'arm64'",
    "posixonly ; os_name == 'posix'",
]
HELD = {
    "linux-64": {"app", "native", "posixonly"},
    "linux-aarch64": {"app", "native", "posixonly"},
    "osx-arm64": {"app", "native", "posixonly", "maconly"},
    "win-64": {"app", "native", "winonly"},
}
MANIFEST = f"""
[workspace]
channels = []
platforms = {json.dumps(PLATFORMS)}
[pypi-dependencies]
app = "*"
[target.osx-arm64.pypi-dependencies]
extra = "<2"
[target.unix.pypi-dependencies]
lib = "*"
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_wheel(folder, "app", "1.0", requires=["native", *MARKERS])
    for version in ("1.0", "2.0"):
        for tag in TAGS.values():
            if (version, tag) != ("2.0", "win_amd64"):  # the newest has no wheel for Windows
                make_wheel(folder, "native", version, tag=f"py3-none-{tag}")
    make_wheel(folder, "native", "3.0", tag="py3-none-macosx_99_0_arm64")
    for name in ("winonly", "maconly", "posixonly", "lib", "other"):
        make_wheel(folder, name, "1.0")
    make_wheel(folder, "extra", "1.0")
    make_wheel(folder, "extra", "2.0")
    return folder


@pytest.fixture
def desk(shelf: Path, tmp_path: Path) -> Iterator[Desk]:
    here = tmp_path / "here"
    here.mkdir()
    with IndexServer(shelf) as index:
        yield Desk(here, index)


def parts(lock: Path) -> dict[str, list[str]]:
    """Platform -> the file names of its packages."""
    packages = yaml.safe_load(lock.read_text())["environments"]["default"]["packages"]
    return {
        platform: [next(iter(p.values())).rsplit("/", 1)[-1] for p in found] for platform, found in packages.items()
    }


def names(files: list[str]) -> set[str]:
    return {file.split("-")[0] for file in files}


def on_each(*platforms: str) -> list[str]:
    return [word for platform in platforms for word in ("--platform", platform)]


def test_each_part_is_what_a_lock_for_it_alone_holds(desk: Desk) -> None:
    document = desk.json("lock", "app", *on_each(*PLATFORMS))
    together = parts(desk.lock)
    whole = desk.lock.read_bytes()

    assert [document["platform"], *(part["platform"] for part in document["others"])] == list(PLATFORMS)
    assert {platform: names(files) for platform, files in together.items()} == HELD
    native = {platform: next(f for f in files if f.startswith("native")) for platform, files in together.items()}
    version = {platform: "1.0" if platform == "win-64" else "2.0" for platform in PLATFORMS}
    assert native == {p: f"native-{version[p]}-py3-none-{TAGS[p]}.whl" for p in PLATFORMS}
    for platform in PLATFORMS:
        desk.ok("lock", "app", "--platform", platform)
        assert parts(desk.lock) == {platform: together[platform]}
    desk.ok("lock", "app", *on_each(*reversed(PLATFORMS)))
    assert desk.lock.read_bytes() == whole


def test_a_manifest_names_them_and_a_machine_takes_its_own(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text(MANIFEST)

    desk.ok("sync", "-p", "env", "--platform", "linux-64")  # wherever this test runs
    assert set(parts(desk.lock)) == {"linux-64"}
    desk.ok("lock")
    made = parts(desk.lock)

    assert {platform: names(files) - HELD[platform] for platform, files in made.items()} == {
        "linux-64": {"lib"},
        "linux-aarch64": {"lib"},
        "osx-arm64": {"lib", "extra"},
        "win-64": set(),
    }
    assert "matches the lock already" in desk.ok("sync", "-p", "env", "--locked")
    assert {p["name"] for p in desk.json("list", "-p", "env")["packages"]} == {*HELD["linux-64"], "lib"}
    assert desk.json("verify", "-p", "env")["findings"] == []
    desk.ok("sync", "-p", "arm", "--platform", "linux-aarch64", "--frozen")
    error = desk.fails(2, "lock-unfit", "sync", "-p", "mac", "--platform", "osx-arm64", "--frozen")
    assert "osx-arm64" in error["message"]
    assert desk.json("sync", "-p", "arm", "--platform", "linux-aarch64")["changed"] is False


def test_a_change_is_made_for_all_of_them_or_for_none(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text(MANIFEST)
    desk.ok("lock")
    before, manifest = desk.lock.read_bytes(), (desk.here / "dataloader.toml").read_bytes()

    desk.ok("add", "other", "--no-sync")
    assert all("other" in names(files) for files in parts(desk.lock).values())
    desk.ok("remove", "other", "--no-sync")
    assert desk.lock.read_bytes() == before

    error = desk.fails(1, "no-wheel", "add", "native>=2", "--no-sync")
    assert any("win-64" in cause for cause in error["causes"])
    assert (desk.lock.read_bytes(), (desk.here / "dataloader.toml").read_bytes()) == (before, manifest)


def test_what_is_stale_for_another_platform_is_stale(desk: Desk) -> None:
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(MANIFEST)
    desk.ok("sync", "-p", "env")
    made = parts(desk.lock)
    manifest.write_text(MANIFEST.replace('extra = "<2"', 'extra = ">=2"'))

    error = desk.fails(1, "lock-outdated", "sync", "-p", "env", "--locked")
    assert [cause.split(":")[0] for cause in error["causes"]] == ["osx-arm64"] * len(error["causes"])
    desk.ok("sync", "-p", "env")
    now = parts(desk.lock)
    assert {p for p in PLATFORMS if now[p] != made[p]} == {"osx-arm64"}

    manifest.write_text(manifest.read_text().replace('"linux-aarch64", ', ""))
    manifest.write_text(manifest.read_text().replace('extra = ">=2"', 'extra = "*"'))
    told = desk.run("lock", "--platform", "linux-64").stderr
    assert set(parts(desk.lock)) == {"linux-64", "osx-arm64", "win-64"}
    assert "what is locked for osx-arm64 no longer fits" in told
    assert "what is locked for win-64" not in told


def test_without_a_manifest_an_install_adds_to_all_that_the_lock_is_for(desk: Desk) -> None:
    desk.ok("lock", "app", *on_each("linux-64", "win-64"))
    desk.ok("install", "other", "-p", ".dataloader/envs/default")
    assert {p: names(files) for p, files in parts(desk.lock).items()} == {
        p: {*HELD[p], "other"} for p in ("linux-64", "win-64")
    }


def test_commands_that_read_a_lock_read_the_part_that_is_named(desk: Desk) -> None:
    desk.ok("lock", "app", *on_each("linux-64", "osx-arm64", "win-64"))
    desk.lock.rename(desk.here / "old.lock")
    desk.ok("lock", "app", "other", *on_each("linux-64", "win-64"))

    shown = json.loads(desk.ok("tree", "--platform", "win-64", "--json"))
    assert "winonly" in json.dumps(shown)
    assert "winonly" not in desk.ok("tree")
    assert [p["name"] for p in desk.json("outdated", "--platform", "win-64")["packages"]] == ["native"]
    error = desk.fails(2, "lock-unfit", "tree", "--platform", "osx-arm64")
    assert "linux-64, win-64" in error["message"]
    found = desk.json("diff", "old.lock", "dataloader.lock")["platforms"]
    changes = {platform: {(c["name"], c["kind"]) for c in one["changes"]} for platform, one in found.items()}
    assert changes["linux-64"] == changes["win-64"] == {("other", "added")}
    assert changes["osx-arm64"] == {(name, "removed") for name in HELD["osx-arm64"]}
    one = desk.json("diff", "old.lock", "dataloader.lock", "--platform", "win-64")
    assert [c["name"] for c in one["changes"]] == ["other"]


def test_exports_hold_all_platforms_or_name_what_they_leave_out(desk: Desk) -> None:
    desk.ok("lock", "app", *on_each("linux-64", "win-64"))

    for form in ("pixi.lock", "pixi.lock-6"):
        desk.ok("export", form, "-o", form)
        read = rattler.LockFile.from_path(desk.here / form)
        environment = read.environment("default")
        assert environment is not None
        assert {str(platform) for platform in environment.platforms()} == {"linux-64", "win-64"}
    locked = yaml.safe_load(desk.ok("export", "conda-lock.yml"))
    assert locked["metadata"]["platforms"] == ["linux-64", "win-64"]
    assert {p["platform"] for p in locked["package"] if p["name"] == "winonly"} == {"win-64"}
    done = desk.run("export", "pylock.toml")
    assert "left out: win-64" in done.stderr
    assert "winonly" not in done.stdout
    assert "winonly" in desk.ok("export", "pylock.toml", "--platform", "win-64")
    assert "left out: win-64" in desk.run("bundle", "-o", "bundle.tar.zst", "--no-program").stderr
    desk.fails(2, "lock-unfit", "bundle", "-o", "bundle.tar.zst", "--platform", "win-64")  # nothing could install it


def test_an_edit_for_a_platform_that_nothing_is_installed_on_changes_the_lock_alone(desk: Desk) -> None:
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(MANIFEST)
    desk.ok("lock")
    before = desk.lock.read_bytes(), manifest.read_bytes()

    error = desk.fails(2, "lock-unfit", "add", "other", "--platform", "win-64")
    assert "--no-sync" in error["suggestions"][0]
    assert (desk.lock.read_bytes(), manifest.read_bytes()) == before
    desk.ok("add", "other", "--platform", "win-64", "--no-sync")
    assert "other" in names(parts(desk.lock)["win-64"])


def test_machines_of_several_platforms_in_one_target_file(desk: Desk) -> None:
    (desk.here / "pools.toml").write_text(
        '[[pool]]\nplatform = "linux-64"\nglibc = "2.28"\n[[pool]]\nplatform = "osx-arm64"\nmacos = "10.15"\n'
        '[[pool]]\nplatform = "linux-64"\nglibc = "2.12"\n'
    )
    error = desk.fails(2, "platform-unlisted", "lock", "app", "--target", "pools.toml", "--platform", "win-64")
    assert "linux-64, osx-arm64" in error["causes"][0]
    old = desk.fails(1, "no-solution", "lock", "app", "--target", "pools.toml", "--platform", "osx-arm64")
    assert "the target has macOS 10.15" in old["causes"]
    text = (desk.here / "pools.toml").read_text().replace("10.15", "12.0").replace("2.12", "2.17")
    (desk.here / "pools.toml").write_text(text)
    desk.ok("lock", "app", "--target", "pools.toml", "--platform", "osx-arm64")
    assert set(parts(desk.lock)) == {"osx-arm64"}
    desk.ok("lock", "app", "--target", "pools.toml")
    assert {p: names(files) for p, files in parts(desk.lock).items()} == {p: HELD[p] for p in ("linux-64", "osx-arm64")}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("channel")
    systems = {"linux-64": "__glibc >=2.17", "osx-arm64": "__osx >=11.0", "win-64": "__win"}
    for subdir, system in systems.items():
        for version in ("1.0", "2.0", "3.0"):
            late = {"linux-64": "__glibc >=2.99", "osx-arm64": "__osx >=99", "win-64": "nothing"}
            needs = [late[subdir]] if version == "3.0" else [system, *(["ucrt"] if subdir == "win-64" else [])]
            if (subdir, version) != ("osx-arm64", "2.0"):
                make_conda_package(folder, "tool", version, subdir=subdir, depends=needs)
    make_conda_package(folder, "ucrt", "10.0", subdir="win-64", depends=["__win"])
    make_conda_package(folder, "shared", "1.0", noarch="generic", depends=["tool"])
    return index_channel(folder)


async def _rattler(channel: str, platform: str, virtual: list[tuple[str, str]]) -> set[str]:
    found = await rattler.solve(
        [rattler.Channel(channel)],
        ["shared"],
        platforms=[rattler.Subdir(platform), rattler.Subdir("noarch")],
        virtual_packages=[
            rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0"))
            for name, version in virtual
        ],
    )
    return {record.file_name for record in found}


def test_conda_parts_are_what_rattler_finds_for_each_platform(channel: str, desk: Desk) -> None:
    virtual = {
        "linux-64": [("__unix", "0"), ("__linux", "4.18"), ("__glibc", "2.28")],
        "osx-arm64": [("__unix", "0"), ("__osx", "13.0")],
        "win-64": [("__win", "0")],
    }
    words = ["lock", "conda:shared", "-c", channel, *on_each(*virtual)]
    desk.ok(*words, DATALOADER_CONDA="always", CONDA_OVERRIDE_GLIBC="2.28", CONDA_OVERRIDE_CUDA="12.2")

    made: dict[str, Any] = {platform: set(files) for platform, files in parts(desk.lock).items()}
    assert made == {p: asyncio.run(_rattler(channel, p, packages)) for p, packages in virtual.items()}
    assert {p: sorted(f for f in files if f.startswith("tool")) for p, files in made.items()} == {
        "linux-64": ["tool-2.0-0.conda"],
        "osx-arm64": ["tool-1.0-0.conda"],
        "win-64": ["tool-2.0-0.conda"],
    }


CUDAS = {
    "2.9.0": ["nvidia-cuda-runtime-cu12==12.8.90", "nvidia-cudnn-cu12==9.10.2.21"],
    "2.11.0": ["nvidia-cuda-runtime==13.0.96", "nvidia-cudnn-cu13==9.19.0.56"],
    "1.0.0": [],  # says nothing of CUDA
}
"""torch -> what its wheel for a platform without rows requires."""


@pytest.mark.parametrize(
    ("option", "platform", "expected"),
    [
        ("--cuda=12", "linux-aarch64", "2.9.0"),
        ("--cuda=13", "linux-aarch64", "2.11.0"),
        ("--cudnn=9.10", "linux-aarch64", "2.9.0"),
        ("--cuda=none", "linux-aarch64", "1.0.0"),
        ("--cuda=11.8", "linux-aarch64", None),
        ("--cudnn=8", "linux-aarch64", None),
        ("--cuda=12", "win-64", None),
        ("--cuda=none", "win-64", "2.11.0"),
        ("--cuda=none", "osx-arm64", "2.11.0"),
    ],
)
def test_what_is_asked_of_cuda_binds_where_the_matrix_has_no_builds(
    tmp_path: Path, option: str, platform: str, expected: str | None
) -> None:
    """Packages say of themselves which CUDA they are for; one that says nothing is no answer to who asks for one."""
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    for version, needed in CUDAS.items():
        for tag in TAGS.values():
            make_wheel(shelf, "torch", version, tag=f"py3-none-{tag}", requires=needed if "aarch64" in tag else ())
        for library in needed:
            make_wheel(shelf, *library.split("=="), tag="py3-none-manylinux_2_17_aarch64")
    with IndexServer(shelf) as index:
        desk = Desk(here, index)
        line = ("lock", "torch", option, "--platform", platform, "--python=3.11")
        if expected is None:
            desk.fails(1, "no-solution", *line)
        else:
            assert {p["name"]: p["version"] for p in desk.json(*line)["packages"]}["torch"] == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("dataloader.toml", "[workspace]"),
        ("pixi.toml", "[workspace]"),
        ("pyproject.toml", "[tool.pixi.workspace]"),
        ("pyproject.toml", "[tool.dataloader.workspace]"),
    ],
)
def test_a_mistyped_platform_of_a_manifest_is_refused_where_it_is_read(desk: Desk, name: str, head: str) -> None:
    (desk.here / name).write_text(f'{head}\nchannels = []\nplatforms = ["linux-64", "linux-46"]\n')

    for command in (["lock"], ["lock", "--platform", "linux-64"], ["sync"]):
        error = desk.fails(2, "manifest-invalid", *command)
        assert "'linux-46' is not a platform; did you mean linux-64?" in error["causes"][0]


def test_a_mistyped_platform_is_refused_before_anything_is_solved(desk: Desk) -> None:
    for named in (["linux-46"], ["linux-64", "linux-46"]):
        error = desk.fails(2, "platform-unknown", "lock", "app", *on_each(*named))
        assert error["suggestions"] == ["did you mean linux-64?"]
    (desk.here / "pixi.toml").write_text(
        '[workspace]\nchannels = []\nplatforms = ["linux-64", "linux-riscv64"]\n[pypi-dependencies]\napp = "*"\n'
    )
    desk.fails(2, "platform-unknown", "lock")
    desk.ok("lock", "--platform", "linux-64")
    assert set(parts(desk.lock)) == {"linux-64"}


def test_a_manifest_for_other_machines_is_locked_for_them_and_no_other(desk: Desk) -> None:
    others = ("osx-arm64", "win-64")
    text = MANIFEST.replace(json.dumps(PLATFORMS), json.dumps(others))
    text += '[feature.more]\nplatforms = ["linux-64", "win-64"]\n[feature.more.pypi-dependencies]\nother = "*"\n'
    (desk.here / "dataloader.toml").write_text(text + '[environments]\nmore = { features = ["more"] }\n')

    desk.ok("lock")
    assert set(parts(desk.lock)) == set(others)
    whole = desk.lock.read_bytes()
    assert set(yaml.safe_load(whole)["environments"]["more"]["packages"]) == {"win-64"}
    desk.ok("lock")
    assert desk.lock.read_bytes() == whole
    desk.fails(2, "platform-unlisted", "sync")
    desk.fails(2, "lock-unfit", "sync", "--platform", "win-64")
    desk.ok("lock", *on_each("win-64", "osx-arm64"))
    assert desk.lock.read_bytes() == whole
