"""Other ways to be cut off: rollbacks and cache prunes killed, and a server that goes away in the middle."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings
from dataloader.install.model import SyncResult
from dataloader.install.store.caches import verify_cache
from dataloader.install.store.pruning import prune_cache
from dataloader.install.switch.generations import current, generations, rollback, sync_generation
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from tests.helpers.locks import FolderDownloads, lock_of, locked_wheel, options_for
from tests.helpers.server import Fault, IndexServer
from tests.helpers.sync_process import wait_for_go
from tests.helpers.wheels import make_wheel

NAME = "train"
GO = "import asyncio, sys; from pathlib import Path; from dataloader.base.reporter import Reporter; "
ROLLBACK = (
    GO + "from dataloader.install.switch.generations import rollback; print('go', flush=True);"
    "asyncio.run(rollback(Path(sys.argv[1]), 'train', Reporter()))"
)
PRUNE = (
    GO + "from dataloader.install.store.pruning import prune_cache; print('go', flush=True);"
    "prune_cache(Path(sys.argv[1]))"
)


def wheel_of(folder: Path, part: int, release: str, payload: int = 0) -> Path:
    files: dict[str, str | bytes] = {f"part{part}/m{number}.py": f"x = {release!r}\n" for number in range(40)}
    files[f"part{part}/__init__.py"] = f"release = {release!r}\n"
    files[f"part{part}/data.bin"] = os.urandom(payload)
    return make_wheel(folder / "wheels", f"part{part}", release, files=files)


def lock_at(folder: Path, release: str) -> Lockfile:
    return lock_of(*(wheel_of(folder, part, release) for part in range(3)))


def release_of(prefix: Path) -> str:
    """The release of all three parts; the check fails when they differ or a module is gone."""
    code = "import part0, part1, part2, part2.m39; r, = {p.release for p in (part0, part1, part2)}; print(r)"
    done = subprocess.run([prefix / "bin/python", "-c", code], capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run_and_kill(program: str, argument: Path, seconds: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", program, str(argument)], stdout=subprocess.PIPE, text=True)
    wait_for_go(process)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()


def generation(lock: Lockfile, tmp_path: Path) -> SyncResult:
    return asyncio.run(
        sync_generation(lock, tmp_path / "root", NAME, options_for(tmp_path), Reporter(), FolderDownloads())
    )


def play_rollbacks(tmp_path: Path, kills: int) -> None:
    root, chance = tmp_path / "root", random.Random(11)
    for release in "123":
        generation(lock_at(tmp_path, release), tmp_path)
    for _ in range(kills):
        run_and_kill(ROLLBACK, root, chance.uniform(0, 0.03))
        assert release_of(root / NAME) in "123"
        generation(lock_at(tmp_path, "3"), tmp_path)

    assert asyncio.run(rollback(root, NAME, Reporter())).path == current(root, NAME)

    assert release_of(root / NAME) in "12"
    assert len(generations(root, NAME)) == 3
    generation(lock_at(tmp_path, "3"), tmp_path)
    left = [path.name for path in (root / ".generations" / NAME).iterdir() if not path.name[0].isdigit()]
    assert left == ["history"]


def play_prunes(tmp_path: Path, kills: int) -> None:
    chance, cache = random.Random(12), tmp_path / "cache"
    for number in range(kills):
        # The files of the environment before are no longer shared, so its packages may go.
        lock = lock_at(tmp_path, str(number % 2 + 1))
        asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Reporter(), FolderDownloads()))
        assert release_of(tmp_path / "env") == str(number % 2 + 1)
        assert not [path for path in cache.glob("wheels/*/.*") if path.name.startswith(".old-")]
        run_and_kill(PRUNE, cache, chance.uniform(0, 0.02))
        assert release_of(tmp_path / "env") == str(number % 2 + 1)
        assert verify_cache(cache, Reporter()).names == ()

    prune_cache(cache)

    assert not list(cache.glob("wheels/*/.*"))


def test_killed_rollbacks(tmp_path: Path) -> None:
    play_rollbacks(tmp_path, 4)


def test_killed_cache_prunes(tmp_path: Path) -> None:
    play_prunes(tmp_path, 4)


@pytest.mark.e2e
def test_killed_many_times(tmp_path: Path) -> None:
    (tmp_path / "rollbacks").mkdir()
    (tmp_path / "prunes").mkdir()
    play_rollbacks(tmp_path / "rollbacks", 60)
    play_prunes(tmp_path / "prunes", 60)


def test_server_that_goes_away_in_the_middle(tmp_path: Path) -> None:
    """The old environment stays; when the server is back, the next sync goes on where the download broke off."""
    old = [wheel_of(tmp_path, part, "1") for part in range(3)]
    new = [wheel_of(tmp_path, part, "2", payload=3_000_000) for part in range(3)]
    settings = IndexSettings(index_url=None, timeout=1, retries=1, backoff=0.01)
    prefix = tmp_path / "env"

    with IndexServer(tmp_path / "wheels") as server:

        def sync(wheels: list[Path]) -> SyncResult:
            lock = lock_of(*(replace(locked_wheel(wheel), url=server.file_url(wheel)) for wheel in wheels))

            async def work() -> SyncResult:
                async with IndexClient(settings, Reporter(), cache_dir=tmp_path / "cache") as client:
                    return await sync_prefix(lock, prefix, options_for(tmp_path), Reporter(), client.download)

            return asyncio.run(work())

        sync(old)
        for after in (0, 100_000, 2_000_000):
            server.fault("/files/*-2-*", Fault("reset", after=after))
            with pytest.raises(IndexUnavailable):
                sync(new)
            assert release_of(prefix) == "1"
            server.heal()
        resumed = len(server.requests)
        sync(new)

        assert any("range" in seen.headers for seen in server.requests[resumed:])
    assert release_of(prefix) == "2"
    assert [path.name for path in tmp_path.glob(".env*")] == []
    assert list((tmp_path / "cache/downloads").iterdir()) == []
