"""An environment of wheels on this machine's Python: made, used, kept, changed, rebuilt without a network."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.base.reporter import Reporter
from dataloader.install.model import SyncResult
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.activate import activation
from dataloader.prefix.state import installed
from dataloader.prefix.unchanged import fast_status, lock_digest
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import data_folder, make_wheel


@pytest.fixture
def downloads() -> FolderDownloads:
    return FolderDownloads()


def sync(lock: Lockfile, tmp_path: Path, downloads: FolderDownloads, **options: object) -> SyncResult:
    return asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path, **options), Reporter(), downloads))


def run(prefix: Path, *command: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [str(prefix / "bin" / command[0]), *command[1:]]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60, env=environ)
    return done.stdout.strip()


def two_wheels(folder: Path) -> tuple[Path, Path]:
    alpha = make_wheel(
        folder,
        "alpha",
        "1.0",
        requires=["beta"],
        entry_points={"console_scripts": {"alpha": "alpha:main"}},
        files={
            "alpha/__init__.py": "import beta, sys\ndef main():\n  print('alpha with', beta.__version__, sys.prefix)\n"
        },
    )
    beta = make_wheel(folder, "beta", "2.0")
    return alpha, beta


def test_environment_imports_and_its_scripts_start(tmp_path: Path, downloads: FolderDownloads) -> None:
    lock = lock_of(*two_wheels(tmp_path / "wheels"), requested=["alpha"])

    result = sync(lock, tmp_path, downloads)

    prefix = tmp_path / "env"
    assert result.changed
    assert [step.name for step in result.plan.install] == ["alpha", "beta"]
    assert run(prefix, "alpha") == f"alpha with 2.0 {prefix}"
    assert run(prefix, "python", "-c", "import sys; print(sys.prefix != sys.base_prefix)") == "True"
    assert not list(tmp_path.glob(".env*"))


def test_metadata_says_who_installed_and_who_was_asked_for(tmp_path: Path, downloads: FolderDownloads) -> None:
    sync(lock_of(*two_wheels(tmp_path / "wheels"), requested=["alpha"]), tmp_path, downloads)

    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name: [d.read_text('INSTALLER'), d.read_text('REQUESTED'), len(d.files),"
        " all(f.locate().exists() for f in d.files)] for d in m.distributions()}))"
    )
    found = json.loads(run(tmp_path / "env", "python", "-c", code))

    assert found["alpha"] == ["dataloader\n", "", 8, True]
    assert found["beta"] == ["dataloader\n", None, 5, True]


def test_pip_and_uv_see_the_packages(tmp_path: Path, downloads: FolderDownloads) -> None:
    sync(lock_of(*two_wheels(tmp_path / "wheels")), tmp_path, downloads)
    python = tmp_path / "env" / "bin" / "python"

    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "list", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )

    assert json.loads(listed.stdout) == [{"name": "alpha", "version": "1.0"}, {"name": "beta", "version": "2.0"}]


def test_second_sync_changes_nothing(tmp_path: Path, downloads: FolderDownloads) -> None:
    lock = lock_of(*two_wheels(tmp_path / "wheels"))
    digest = lock_digest(b"the lock")
    sync(lock, tmp_path, downloads, lock_digest=digest)
    before = (tmp_path / "env" / "pyvenv.cfg").stat().st_ino

    again = sync(lock, tmp_path, downloads, lock_digest=digest)

    assert not again.changed
    assert [step.name for step in again.plan.keep] == ["alpha", "beta"]
    assert (tmp_path / "env" / "pyvenv.cfg").stat().st_ino == before
    assert fast_status(tmp_path / "env", b"the lock")
    assert not fast_status(tmp_path / "env", b"another lock")


def test_upgrade_and_removal_leave_nothing_of_the_old(tmp_path: Path, downloads: FolderDownloads) -> None:
    alpha, beta = two_wheels(tmp_path / "wheels")
    sync(lock_of(alpha, beta), tmp_path, downloads)
    prefix = tmp_path / "env"
    run(prefix, "python", "-c", "import alpha")  # leaves bytecode behind
    newer = make_wheel(tmp_path / "wheels", "beta", "2.1")

    sync(lock_of(newer), tmp_path, downloads)

    assert run(prefix, "python", "-c", "import beta; print(beta.__version__)") == "2.1"
    assert [(package.name, package.version) for package in installed(prefix).packages] == [("beta", "2.1")]
    assert not list(prefix.rglob("*alpha*"))


def test_what_pip_brought_is_removed(tmp_path: Path, downloads: FolderDownloads) -> None:
    alpha, beta = two_wheels(tmp_path / "wheels")
    sync(lock_of(beta), tmp_path, downloads)
    python = tmp_path / "env" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "--disable-pip-version-check",
        "install",
        "--no-index",
        "--no-deps",
        str(alpha),
    ]
    subprocess.run(pip, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    assert run(tmp_path / "env", "alpha").startswith("alpha")

    result = sync(lock_of(beta), tmp_path, downloads)

    assert [(step.name, step.reason) for step in result.plan.remove] == [("alpha", "not in the lock")]
    assert not list((tmp_path / "env").rglob("*alpha*"))


def test_files_of_people_and_warm_bytecode_stay(tmp_path: Path, downloads: FolderDownloads) -> None:
    alpha, beta = two_wheels(tmp_path / "wheels")
    sync(lock_of(alpha, beta), tmp_path, downloads)
    prefix = tmp_path / "env"
    run(prefix, "alpha")
    (prefix / "notes").mkdir()
    (prefix / "notes" / "mine.txt").write_text("keep me")
    (prefix / "notes" / "data").symlink_to("/nowhere")
    kept = [path.relative_to(prefix) for path in prefix.rglob("*.pyc") if "beta" in path.as_posix()]
    assert kept

    sync(lock_of(beta), tmp_path, downloads)

    assert (prefix / "notes" / "mine.txt").read_text() == "keep me"
    assert (prefix / "notes" / "data").is_symlink()
    assert all((prefix / path).exists() for path in kept)
    assert not list(prefix.rglob("alpha*.pyc"))


def test_environment_is_rebuilt_offline_from_the_store(tmp_path: Path, downloads: FolderDownloads) -> None:
    alpha, beta = two_wheels(tmp_path / "wheels")
    sync(lock_of(alpha, beta), tmp_path, downloads)
    subprocess.run(["rm", "-rf", tmp_path / "env"], check=True)
    downloads.unplugged = True

    result = sync(lock_of(alpha, beta), tmp_path, downloads, offline=True)

    assert result.downloaded_bytes == 0
    assert run(tmp_path / "env", "alpha").startswith("alpha with 2.0")


def test_offline_names_all_that_is_missing(tmp_path: Path, downloads: FolderDownloads) -> None:
    alpha, beta = two_wheels(tmp_path / "wheels")

    with pytest.raises(IndexUnavailable) as failure:
        sync(lock_of(alpha, beta), tmp_path, downloads, offline=True)

    assert failure.value.code == "offline-missing"
    assert failure.value.causes == (alpha.name, beta.name)
    assert not (tmp_path / "env").exists()


def test_schemes_of_a_data_folder_land_where_they_belong(tmp_path: Path, downloads: FolderDownloads) -> None:
    scripts, data, headers = (data_folder("gamma", "1", scheme) for scheme in ("scripts", "data", "headers"))
    files = {
        "gamma.py": "",
        f"{scripts}/greet": "#!python\nimport sys, gamma\nprint('hello from', sys.prefix)\n",
        f"{scripts}/shell": "#!/bin/sh\necho shell\n",
        f"{data}/share/gamma/table.csv": "1,2\n",
        f"{headers}/gamma.h": "#define GAMMA 1\n",
    }
    wheel = make_wheel(tmp_path / "wheels", "gamma", "1", files=files, executable=[f"{scripts}/shell"])

    sync(lock_of(wheel), tmp_path, downloads)

    prefix = tmp_path / "env"
    minor = "{}.{}".format(*sys.version_info[:2])
    assert run(prefix, "greet") == f"hello from {prefix}"
    assert run(prefix, "shell") == "shell"
    assert (prefix / "share/gamma/table.csv").read_text() == "1,2\n"
    assert (prefix / f"include/site/python{minor}/gamma/gamma.h").exists()


def test_bytecode_can_be_made_ahead(tmp_path: Path, downloads: FolderDownloads) -> None:
    broken = make_wheel(tmp_path / "wheels", "broken", "1", files={"broken.py": "this is not python\n"})
    sync(lock_of(*two_wheels(tmp_path / "wheels"), broken), tmp_path, downloads, compile_bytecode=True)
    prefix = tmp_path / "env"

    (compiled,) = prefix.rglob("alpha/__pycache__/*.pyc")
    before = compiled.stat().st_mtime_ns
    assert run(prefix, "alpha").startswith("alpha")
    assert compiled.stat().st_mtime_ns == before
    assert str(prefix).encode() in compiled.read_bytes()


def test_scripts_start_below_a_path_too_long_for_the_kernel(tmp_path: Path, downloads: FolderDownloads) -> None:
    deep = tmp_path / ("d" * 90) / ("e e" * 30)
    lock = lock_of(*two_wheels(tmp_path / "wheels"))

    asyncio.run(sync_prefix(lock, deep / "env", options_for(tmp_path), Reporter(), downloads))

    assert run(deep / "env", "alpha").startswith("alpha with")


def test_activation_finds_the_environment_first(tmp_path: Path, downloads: FolderDownloads) -> None:
    sync(lock_of(*two_wheels(tmp_path / "wheels")), tmp_path, downloads)
    prefix = tmp_path / "env"

    environ = activation(prefix).environ(dict(os.environ))

    done = subprocess.run(["alpha"], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("alpha with")
    assert environ["VIRTUAL_ENV"] == str(prefix)
