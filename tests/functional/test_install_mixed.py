"""Conda packages and wheels in one prefix: a real interpreter, libraries with symbol versions, scripts of both."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.errors import IndexUnavailable, IntegrityError, PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.model import SyncResult
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile
from dataloader.prefix.activate import activation
from dataloader.prefix.state import installed
from tests.helpers.conda import index_channel, make_conda_package, make_library, make_python_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import make_wheel

VERSION = "{}.{}.{}".format(*sys.version_info[:3])
CONDA_PYTHON = LockedPython(source="conda", version=VERSION)


def library(folder: Path, release: int) -> tuple[Path, Path]:
    """libbase with a symbol version per release, and libtop that needs the first one."""
    versions = "BASE_1 { global: base_one; local: *; };\n"
    code = f"int base_one(void) {{ return {release}; }}\n"
    if release > 1:
        versions += "BASE_2 { global: base_two; } BASE_1;\n"
        code += "int base_two(void) { return 2; }\n"
    base = make_library(folder, "libbase.so.1", code, versions=versions)
    top = make_library(
        folder, "libtop.so.1", "int base_one(void); int top(void) { return 10 * base_one(); }\n", needs=[base]
    )
    return base, top


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_python_package(folder)
    for release in (1, 2):
        base, top = library(folder / f"build{release}", release)
        make_conda_package(
            folder,
            "libbase",
            f"{release}.0",
            files={"lib/libbase.so.1": base},
            links={"lib/libbase.so": "libbase.so.1"},
        )
    make_conda_package(
        folder, "libtop", "1.0", files={"lib/libtop.so.1": top}, depends=["libbase >=1.0"], format="tar.bz2"
    )
    info = "site-packages/tool-3.0.dist-info"
    make_conda_package(
        folder,
        "tool",
        "3.0",
        noarch="python",
        depends=["python >=3.10", "libtop"],
        files={
            "site-packages/tool.py": "import ctypes, sys\n"
            "def main():\n    print(ctypes.CDLL(sys.prefix + '/lib/libtop.so.1').top(), sys.prefix)\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: tool\nVersion: 3.0\n\n",
            f"{info}/INSTALLER": "conda\n",
        },
        entry_points=["tool = tool:main"],
    )
    hook = "export FROM_CONDA_HOOK=$CONDA_PREFIX\n"
    make_conda_package(folder, "hooks", "1", files={"etc/conda/activate.d/hooks.sh": hook}, noarch="generic")
    index_channel(folder)
    return folder


def mixed_lock(channel: Path, *more: CondaPackage | Path, base: str = "1.0") -> Lockfile:
    names = [("python", None), ("libbase", base), ("libtop", None), ("tool", None), ("hooks", None)]
    records = [read_record(channel, name, version) for name, version in names]
    return lock_of(*records, *more, requested=["conda:tool", "mine"], python=CONDA_PYTHON)


def sync(lock: Lockfile, tmp_path: Path, **options: object) -> SyncResult:
    return asyncio.run(
        sync_prefix(lock, tmp_path / "env", options_for(tmp_path, **options), Reporter(), FolderDownloads())
    )


def run(prefix: Path, *command: str) -> str:
    line = [str(prefix / "bin" / command[0]), *command[1:]]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60, env={}).stdout.strip()


def test_install_upgrade_remove_reinstall(channel: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    mine = make_wheel(tmp_path, "mine", "1.0", entry_points={"console_scripts": {"mine": "mine:main"}},
        files={"mine.py": "import tool\ndef main():\n    tool.main()\n"})  # fmt: skip

    sync(mixed_lock(channel, mine), tmp_path)
    assert run(prefix, "tool") == f"10 {prefix}"
    assert run(prefix, "mine") == f"10 {prefix}"
    assert run(prefix, "python", "-c", "import sys, ssl; print(sys.prefix, sys.base_prefix)") == f"{prefix} {prefix}"

    upgrade = sync(mixed_lock(channel, mine, base="2.0"), tmp_path)
    assert [(step.name, step.old, step.new) for step in upgrade.plan.replace] == [("libbase", "1.0", "2.0")]
    assert run(prefix, "mine") == f"20 {prefix}"

    removal = sync(lock_of(read_record(channel, "python"), mine, python=CONDA_PYTHON), tmp_path)
    assert [step.name for step in removal.plan.remove] == ["hooks", "libbase", "libtop", "tool"]
    assert not list(prefix.rglob("lib*.so.1"))
    assert not (prefix / "bin" / "tool").exists()
    assert run(prefix, "python", "-c", "print(1)") == "1"

    sync(mixed_lock(channel, mine), tmp_path)
    assert run(prefix, "mine") == f"10 {prefix}"
    assert [package.name for package in installed(prefix).packages if package.kind == "pypi"] == ["mine"]
    assert " ".join(package.name for package in installed(prefix).packages) == "hooks libbase libtop python tool mine"
    assert not list(tmp_path.glob(".env*"))


def test_second_sync_of_a_mixed_lock_changes_nothing(channel: Path, tmp_path: Path) -> None:
    mine = make_wheel(tmp_path, "mine", "1.0")
    sync(mixed_lock(channel, mine), tmp_path)

    assert not sync(mixed_lock(channel, mine), tmp_path).changed


def test_python_may_change_its_home_and_come_back(channel: Path, tmp_path: Path) -> None:
    mine = make_wheel(tmp_path, "mine", "1.0", entry_points={"console_scripts": {"mine": "mine:main"}},
        files={"mine.py": "import sys\ndef main():\n    print(sys.prefix != sys.base_prefix)\n"})  # fmt: skip
    prefix = tmp_path / "env"

    for lock, is_venv in (
        (mixed_lock(channel, mine), "False"),
        (lock_of(mine), "True"),
        (mixed_lock(channel, mine), "False"),
    ):
        sync(lock, tmp_path)
        assert run(prefix, "mine") == is_venv
        assert (prefix / "pyvenv.cfg").exists() == (is_venv == "True")


def test_activation_runs_the_packages_scripts(channel: Path, tmp_path: Path) -> None:
    sync(mixed_lock(channel), tmp_path)
    prefix = tmp_path / "env"

    environ = activation(prefix).environ({"PATH": os.environ["PATH"]})
    hook = subprocess.run(
        ["bash", "-c", f"{activation(prefix).shell({})}\necho $FROM_CONDA_HOOK; command -v tool"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert environ["FROM_CONDA_HOOK"] == str(prefix)
    assert hook.stdout.split() == [str(prefix), str(prefix / "bin" / "tool")]


def test_built_for_another_path(channel: Path, tmp_path: Path) -> None:
    mine = make_wheel(tmp_path, "mine", "1.0", entry_points={"console_scripts": {"mine": "mine:main"}},
        files={"mine.py": "import tool\ndef main():\n    tool.main()\n"})  # fmt: skip

    sync(mixed_lock(channel, mine), tmp_path, target_prefix=tmp_path / "mounted")

    (tmp_path / "env").rename(tmp_path / "mounted")
    assert run(tmp_path / "mounted", "tool") == f"10 {tmp_path / 'mounted'}"
    assert run(tmp_path / "mounted", "mine") == f"10 {tmp_path / 'mounted'}"
    recorded = subprocess.run(
        ["grep", "-rIl", str(tmp_path / "env"), tmp_path / "mounted"], capture_output=True, text=True
    )
    assert recorded.stdout == ""


def test_rebuilt_offline_from_the_caches(channel: Path, tmp_path: Path) -> None:
    gone = "https://conda.test/channel/"
    names = [("python", None), ("libbase", "1.0"), ("libtop", None)]
    remote = lock_of(*(read_record(channel, name, version, url=gone) for name, version in names), python=CONDA_PYTHON)
    with pytest.raises(IndexUnavailable) as missing:
        sync(remote, tmp_path, offline=True)
    assert missing.value.code == "offline-missing"
    assert len(missing.value.causes) == 3
    sync(mixed_lock(channel), tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "env"], check=True)

    sync(remote, tmp_path, offline=True)

    assert run(tmp_path / "env", "python", "-c", "print(1)") == "1"


def test_read_only_layer_serves_conda_and_wheels(channel: Path, tmp_path: Path) -> None:
    mine = make_wheel(tmp_path, "mine", "1.0")
    sync(mixed_lock(channel, mine), tmp_path)
    (tmp_path / "cache").rename(tmp_path / "layer")
    subprocess.run(["rm", "-rf", tmp_path / "env"], check=True)

    sync(mixed_lock(channel, mine), tmp_path, layers=(tmp_path / "layer",), offline=True)

    assert run(tmp_path / "env", "tool").startswith("10")
    assert not list((tmp_path / "cache").rglob("*.py"))


def test_wheel_that_clashes_with_a_conda_package_is_refused_before_anything_changes(
    channel: Path, tmp_path: Path
) -> None:
    sync(mixed_lock(channel), tmp_path)
    rival = make_wheel(tmp_path, "rival", "1.0", files={"tool.py": "def main(): ...\n"})

    with pytest.raises(PrefixError) as refusal:
        sync(mixed_lock(channel, rival), tmp_path)

    assert refusal.value.code == "path-clash"
    assert "rival and tool both install" in refusal.value.message
    assert run(tmp_path / "env", "tool").startswith("10")


def test_conda_archive_with_a_wrong_hash_is_refused(channel: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    record = replace(read_record(channel, "libbase", "1.0"), sha256="0" * 64, md5=None)

    with pytest.raises(IntegrityError) as refusal:
        sync(lock_of(record, python=LockedPython(source="none")), tmp_path)

    assert refusal.value.code == "hash-mismatch"
    assert not (tmp_path / "env").exists()


def test_environment_without_python_holds_libraries(channel: Path, tmp_path: Path) -> None:
    sync(lock_of(read_record(channel, "libbase", "2.0"), python=LockedPython(source="none")), tmp_path)

    record = json.loads((tmp_path / "env/conda-meta/libbase-2.0-0.json").read_bytes())
    assert record["files"] == ["lib/libbase.so", "lib/libbase.so.1"]
    assert not sync(
        lock_of(read_record(channel, "libbase", "2.0"), python=LockedPython(source="none")), tmp_path
    ).changed
