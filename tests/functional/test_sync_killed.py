"""Kills at random moments: after each the environment is the old or the new one, and the next sync ends well."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.lockfile.model import Lockfile
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import lock_of, options_for
from tests.helpers.sync_process import Request, start, wait_for_go
from tests.helpers.wheels import make_wheel

PARTS = 6
CHECK = (
    "import importlib.metadata as m, part0, part1, part2, part3, part4, part5, sys\n"
    "parts = (part0, part1, part2, part3, part4, part5)\n"
    "release, = {part.check() for part in parts}\n"
    "versions = {d.version for d in m.distributions()}\n"
    "assert versions == {release}, versions\n"
    "assert open(sys.prefix + '/share/cpart.txt').read() == release\n"
    "print(release)\n"
)


def lock_at(folder: Path, release: str) -> Lockfile:
    """Six wheels of 60 modules and one conda package, all of one release."""
    wheels = []
    for part in range(PARTS):
        name = f"part{part}"
        modules = {f"{name}/m{number}.py": f"release = {release!r}\n" for number in range(60)}
        names = ", ".join(f"m{number}" for number in range(60))
        modules[f"{name}/__init__.py"] = (
            f"from {name} import {names}\n"
            f"def check():\n    release, = {{m.release for m in ({names},)}}\n    return release\n"
        )
        wheels.append(make_wheel(folder / "wheels", name, release, files=modules))
    channel = folder / f"channel-{release}"
    make_conda_package(channel, "cpart", release, files={"share/cpart.txt": release})
    index_channel(channel)
    return lock_of(*wheels, read_record(channel, "cpart"))


def release_of(prefix: Path) -> str:
    """The release that the environment holds, all of it; the check fails when it is torn."""
    done = subprocess.run([prefix / "bin/python", "-c", CHECK], capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def leftovers(tmp_path: Path) -> list[str]:
    beside = [path.name for path in tmp_path.glob(".*")]
    in_store = [path.name for path in (tmp_path / "cache").glob("wheels/*/.new-*")]
    return beside + in_store + [path.name for path in (tmp_path / "cache").glob("downloads/*")]


def play(tmp_path: Path, kills: int, sent: signal.Signals, seed: int) -> Counter[str]:
    """Sync to and fro between two releases (and from nothing), killed each time; then once to the end."""
    chance = random.Random(seed)
    locks = {release: lock_at(tmp_path, release) for release in ("1", "2")}
    prefix = tmp_path / "env"
    seen: Counter[str] = Counter()
    span = 0.5
    for number in range(kills):
        target = "2" if number % 2 else "1"
        if number % 5 == 4:
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # an install with downloads
        if number % 9 == 8:
            shutil.rmtree(prefix, ignore_errors=True)
        before = release_of(prefix) if prefix.exists() else "none"
        process = start(Request(locks[target], prefix, options_for(tmp_path)), tmp_path)
        wait_for_go(process)
        begun = time.monotonic()
        delay = chance.uniform(0, span)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        process.communicate()
        # Aim at the time that a sync takes on this machine, so that kills fall all over it.
        span = min(span, time.monotonic() - begun) if process.returncode == 0 else span * 1.15
        after = release_of(prefix) if prefix.exists() else "none"
        assert after in {before, target}
        seen["ended" if process.returncode == 0 else "killed"] += 1
        seen["new" if after == target else "old"] += 1
    final = start(Request(locks["1"], prefix, options_for(tmp_path)), tmp_path)
    output, _ = final.communicate()
    assert final.returncode == 0, output
    assert release_of(prefix) == "1"
    last = start(Request(locks["2"], prefix, options_for(tmp_path)), tmp_path)
    output, _ = last.communicate()
    assert last.returncode == 0, output
    assert leftovers(tmp_path) == []
    return seen


@pytest.mark.parametrize(("sent", "kills"), [(signal.SIGKILL, 5), (signal.SIGTERM, 3)])
def test_killed_a_few_times(tmp_path: Path, sent: signal.Signals, kills: int) -> None:
    seen = play(tmp_path, kills, sent, seed=7)

    assert seen["killed"]


@pytest.mark.e2e
def test_killed_two_hundred_times(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    record_property("seed", seed)

    seen = play(tmp_path, 200, signal.SIGKILL, seed)

    sys.stderr.write(f"{dict(seen)}\n")
    assert seen["killed"] > 100, seed
