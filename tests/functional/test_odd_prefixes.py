"""Environments below directories of odd names: their scripts run, and so do `run` and `shell-hook`, or say why not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.errors import PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython
from tests.helpers.conda import index_channel, make_python_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import make_wheel

SAY = "import sys\ndef main():\n    print(sys.prefix == sys.argv[1])\n"
FILES = {
    "part/__init__.py": "",
    "part/cli.py": SAY,
    "part-1.data/scripts/said": "#!python\nimport part\nprint('True')\n",
}


def environment(tmp_path: Path, name: str) -> Path:
    entry_points = {"console_scripts": {"part": "part.cli:main"}}
    wheel = make_wheel(tmp_path / "wheels", "part", "1", files=FILES, entry_points=entry_points)
    prefix = tmp_path / name / "env"
    asyncio.run(sync_prefix(lock_of(wheel), prefix, options_for(tmp_path), Reporter(), FolderDownloads()))
    return prefix


@pytest.mark.parametrize("name", ["two\nlines", "with space", "a\\x41", "q'uo\"te", "b\udcff", "tab\there", "c$(x)`y`"])
def test_scripts_run(name: str, tmp_path: Path) -> None:
    prefix = str(environment(tmp_path, name))
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    hook = 'eval "$("$0" -m dataloader shell-hook --shell posix -p "$1")" && part "$1" && said'
    run = [sys.executable, "-m", "dataloader", "run", "-p", prefix, "--", "part", prefix]

    for command in (
        [f"{prefix}/bin/part", prefix],
        [f"{prefix}/bin/said"],
        run,
        ["sh", "-c", hook, sys.executable, prefix],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path)
        assert set(done.stdout.split()) == {"True"}, done.stderr


def test_colon_is_refused_where_path_would_have_it(tmp_path: Path) -> None:
    prefix = str(environment(tmp_path, "a:b"))
    command = [sys.executable, "-m", "dataloader", "run", "-p", prefix, "--", "part"]

    assert subprocess.run([f"{prefix}/bin/part", prefix], capture_output=True, text=True).stdout == "True\n"
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "colon" in done.stderr


def test_conda_packages_are_refused_where_their_scripts_would_not_run(tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    make_python_package(channel)
    index_channel(channel)
    python = LockedPython(source="conda", version="{}.{}.{}".format(*sys.version_info[:3]))
    lock = lock_of(read_record(channel, "python"), python=python)
    prefix = tmp_path / "two\nlines" / "env"

    with pytest.raises(PrefixError, match="line"):
        asyncio.run(sync_prefix(lock, prefix, options_for(tmp_path), Reporter(), FolderDownloads()))

    assert not prefix.exists()
