"""Other ways to be cut off: rollbacks and cache prunes killed, and a server that goes away in the middle."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings
from dataloader.install.model import SyncResult
from dataloader.install.store.caches import verify_cache
from dataloader.install.store.holdings import survey
from dataloader.install.store.pruning import prune_cache
from dataloader.install.switch.generations import current, generations, rollback, sync_generation
from dataloader.install.switch.owner import signed
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile
from dataloader.prefix.unchanged import has_remains
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, locked_wheel, options_for
from tests.helpers.server import Fault, IndexServer
from tests.helpers.sync_process import REPOSITORY, Request, wait_for_go
from tests.helpers.wheels import make_wheel

NAME = f"train-{os.getpid()}"  # who uses a generation is told by its path's end: other tests run beside this one
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


def let_go(root: Path) -> None:
    """Undo a rollback that holds the environment, if one came so far."""
    if any(each.is_held for each in generations(root, NAME)):
        asyncio.run(rollback(root, NAME, Reporter(), undo=True))


def play_rollbacks(tmp_path: Path, kills: int) -> None:
    root, chance = tmp_path / "root", random.Random(11)
    for release in "123":
        generation(lock_at(tmp_path, release), tmp_path)
    for _ in range(kills):
        run_and_kill(ROLLBACK, root, chance.uniform(0, 0.03))
        assert release_of(root / NAME) in "123"
        let_go(root)
        generation(lock_at(tmp_path, "3"), tmp_path)
        assert release_of(root / NAME) == "3"

    assert asyncio.run(rollback(root, NAME, Reporter())).path == current(root, NAME)

    assert release_of(root / NAME) in "12"
    assert len(generations(root, NAME)) == 3
    let_go(root)
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


CUT_OFF = """
import sys, time
import dataloader.install.sync as sync
from dataloader.install.switch import lease
from tests.helpers import sync_process
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads

def tell():
    sys.stdout.write("now\\n")
    sys.stdout.flush()

def end(*_):
    tell()
    time.sleep(1000)

async def hang(self, url, sha256, size, destination, task, sink=None):
    from asyncio import sleep
    from pathlib import Path
    from urllib.parse import unquote, urlsplit
    sink.feed(Path("/" + unquote(urlsplit(url).path).lstrip("/")).read_bytes()[:-200])
    tell()
    await sleep(1000)

if sys.argv[1] == "switched":
    sync.remove_tree = end
else:
    from dataloader.install.conda import fetch
    fetch.judged = end
    lease.STALE_SECONDS = 1.0
    sync_process.LoggedDownloads.__call__ = hang
sync_process.main(sys.argv[2])
"""
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child")
CONTAINERS = (NAMESPACE, (*NAMESPACE, "--mount-proc"))
"""With the machine's /proc, and with one of its own."""


def cut_off(moment: str, lock: Lockfile, tmp_path: Path, wrapper: tuple[str, ...] = (), prefix: str = "env") -> None:
    """A sync that is killed when it has switched and is about to clear up, or with two packages half unpacked."""
    if wrapper and subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")
    request = tmp_path / "request.pickle"
    request.write_bytes(pickle.dumps(Request(lock, tmp_path / prefix, options_for(tmp_path))))
    command = [*wrapper, sys.executable, "-c", CUT_OFF, moment, str(request)]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    wait_for_go(process)
    assert process.stdout is not None
    for _ in range(2 if moment == "half" else 1):  # as many are fetched at once as there are processors, at least two
        assert process.stdout.readline() == "now\n"
    process.kill()
    process.communicate()


def sync_again(lock: Lockfile, tmp_path: Path) -> bool:
    options = options_for(tmp_path)
    return asyncio.run(sync_prefix(lock, tmp_path / "env", options, Reporter(), FolderDownloads())).changed


def remains(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.glob(".env*")]


def test_killed_behind_the_switch(tmp_path: Path) -> None:
    """Nothing is wrong but for an old environment and a lease: the next sync removes them, with nothing else to do."""
    sync_again(lock_at(tmp_path, "1"), tmp_path)
    assert not has_remains(tmp_path / "env")

    cut_off("switched", lock_at(tmp_path, "2"), tmp_path)

    assert release_of(tmp_path / "env") == "2"
    assert len(remains(tmp_path)) == 2
    assert has_remains(tmp_path / "env")
    (tmp_path / "link").symlink_to("env")
    assert has_remains(tmp_path / "link")
    assert not sync_again(lock_at(tmp_path, "2"), tmp_path)
    assert remains(tmp_path) == []


def test_killed_behind_the_switch_in_a_container(tmp_path: Path) -> None:
    """Whether that holder lives cannot be told: it is waited for only when it has been silent for long."""
    sync_again(lock_at(tmp_path, "1"), tmp_path)
    cut_off("switched", lock_at(tmp_path, "2"), tmp_path, NAMESPACE)

    begun = time.monotonic()
    assert not sync_again(lock_at(tmp_path, "2"), tmp_path)
    assert time.monotonic() - begun < 2
    assert len(remains(tmp_path)) == 2
    past = time.time() - 30
    os.utime(tmp_path / ".env.dataloader-lease", (past, past), follow_symlinks=False)
    assert not sync_again(lock_at(tmp_path, "2"), tmp_path)

    assert time.monotonic() - begun < 10
    assert remains(tmp_path) == []


@pytest.mark.parametrize("place", ["lease", "tree-0123", "journal"])
def test_remains_inside_a_mounted_prefix(place: str, tmp_path: Path) -> None:
    sync_again(lock_at(tmp_path, "1"), tmp_path)
    own = tmp_path / "env" / ".dataloader" / place
    own.mkdir()

    assert has_remains(tmp_path / "env")
    own.rmdir()
    assert not has_remains(tmp_path / "env")


def test_remains_of_another_prefix_are_not_ours(tmp_path: Path) -> None:
    sync_again(lock_at(tmp_path, "1"), tmp_path)
    (tmp_path / ".environment.dataloader-lease").touch()

    assert not has_remains(tmp_path / "env")


def test_killed_generation_leaves_nothing_either(tmp_path: Path) -> None:
    generation(lock_at(tmp_path, "1"), tmp_path)
    folder = tmp_path / "root" / ".generations" / NAME
    (folder / ".old-0123").mkdir()
    (folder / "lease").symlink_to(signed("").rpartition(".")[0] + ".1-0-" + signed("")[-8:] + "@here")

    assert not generation(lock_at(tmp_path, "1"), tmp_path).changed

    assert sorted(path.name[0] for path in folder.iterdir()) == ["1", "h"]


def half_unpacked(tmp_path: Path) -> list[Path]:
    cache = tmp_path / "cache"
    return [*cache.glob("wheels/*/.new-*"), *cache.glob("pkgs/.new-*"), *cache.glob("downloads/*")]


def lock_in_both_worlds(tmp_path: Path) -> dict[str, Lockfile]:
    """Three packages each."""
    channel = tmp_path / "channel"
    for part in range(3):
        make_conda_package(channel, f"cpart{part}", "1", files={f"share/{part}.txt": "1"})
    index_channel(channel)
    packages = [read_record(channel, f"cpart{part}") for part in range(3)]
    return {"wheels": lock_at(tmp_path, "1"), "conda packages": lock_of(*packages, python=LockedPython(source="none"))}


@pytest.mark.waits
@pytest.mark.parametrize("world", ["wheels", "conda packages"])
def test_killed_container_is_waited_for_once(world: str, tmp_path: Path) -> None:
    """Its lease on the prefix and those on each package: together at most 20 seconds; what it left goes at once."""
    lock = lock_in_both_worlds(tmp_path)[world]
    cut_off("half", lock, tmp_path, NAMESPACE)
    assert len(half_unpacked(tmp_path)) >= 4

    begun = time.monotonic()
    assert sync_again(lock, tmp_path)

    assert time.monotonic() - begun < 23
    assert half_unpacked(tmp_path) == []
    assert remains(tmp_path) == []


@pytest.mark.parametrize("container", CONTAINERS, ids=["proc of the machine", "proc of its own"])
@pytest.mark.parametrize("world", ["wheels", "conda packages"])
def test_container_that_is_killed_again_and_again_fills_no_volume(
    world: str, container: tuple[str, ...], tmp_path: Path
) -> None:
    """As by the out-of-memory killer. Each has a prefix of its own, which goes with it; they share a cache."""
    lock = lock_in_both_worlds(tmp_path)[world]
    before: set[str] = set()
    for number in range(3):
        cut_off("half", lock, tmp_path, container, prefix=f"pod{number}/env")
        shutil.rmtree(tmp_path / f"pod{number}")
        # The names of folders tell who made them; how far each came differs.
        left = {path.name for path in half_unpacked(tmp_path) if path.name.startswith((".new-", "conda-"))}
        assert left
        assert not left & before
        before = left


def test_what_is_left_of_packages_without_a_sha256_is_known_too(tmp_path: Path) -> None:
    """Old channels have md5 alone."""
    lock = lock_in_both_worlds(tmp_path)["conda packages"]
    packages = tuple(replace(package, sha256=None) for package in lock.packages if isinstance(package, CondaPackage))
    cut_off("half", replace(lock, packages=packages), tmp_path)

    found = list(survey(tmp_path / "cache"))

    assert [each.path for each in found if each.holding is None] == []
    assert {each.holding.kind for each in found if each.holding} >= {"lease", "conda package being unpacked"}


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
