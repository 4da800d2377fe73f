"""Prunes beside syncs: what a sync needs stays; what is gone all the same is fetched again, never called damaged."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dataloader.base.errors import TryAgain
from dataloader.base.reporter import Reporter
from dataloader.index.web.part import Sink
from dataloader.install.store.caches import verify_cache
from dataloader.install.store.holdings import is_left_over, survey
from dataloader.install.store.pruning import prune_cache
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, Heard, lock_of, locked_wheel, options_for
from tests.helpers.sync_process import REPOSITORY, Request, start
from tests.helpers.wheels import make_wheel

PRUNES = """
import sys
from pathlib import Path
from dataloader.install.store.pruning import prune_cache
print("go", flush=True)
while True:
    prune_cache(Path(sys.argv[1]), everything=True)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Lockfile:
    channel = tmp_path / "channel"
    records = []
    for name in ("cpart", "cmore"):
        make_conda_package(channel, name, "1", files={f"share/{name}/{n}.txt": f"{name} {n}" for n in range(40)})
    index_channel(channel)
    records = [read_record(channel, name) for name in ("cpart", "cmore")]
    wheels = [
        make_wheel(tmp_path / "wheels", name, "1", files={f"{name}/m{n}.py": f"# {name} {n}\n" for n in range(40)})
        for name in ("one", "two", "three")
    ]
    return lock_of(*wheels, *records)


def remove_all(folder: Path, pattern: str) -> None:
    for path in [folder] if pattern == "." else list(folder.glob(pattern)):
        shutil.rmtree(path)


def is_whole(prefix: Path) -> bool:
    return len(list(prefix.glob("share/c*/*.txt"))) == 80 and len(list(prefix.rglob("m*.py"))) >= 120


def nothing_is_left(cache: Path) -> bool:
    """Whether all of a cache has a name, and nothing of it is left over."""
    return [found.path for found in survey(cache) if found.holding is None or is_left_over(cache, found)] == []


@dataclass
class Interfering(FolderDownloads):
    """Downloads in the middle of which somebody else does something to the cache."""

    interfere: Callable[[], object] = field(default=lambda: None)
    times: int = 1

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        await super().__call__(url, sha256, size, destination, task, sink)
        if self.times:
            self.times -= 1
            await asyncio.sleep(0.3)  # the others find what is there
            self.interfere()


def sync(lock: Lockfile, tmp_path: Path, download: FolderDownloads) -> Heard:
    heard = Heard()
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), heard, download))
    return heard


def with_one_more(lock: Lockfile, tmp_path: Path) -> Lockfile:
    wheel = make_wheel(tmp_path / "wheels", "late", "1", files={"late/m0.py": "x = 1\n"})
    return lock_of(*lock.packages, locked_wheel(wheel))


@pytest.mark.parametrize("everything", [False, True])
def test_prune_in_the_middle_of_a_sync_takes_nothing_from_it(lock: Lockfile, tmp_path: Path, everything: bool) -> None:
    sync(lock, tmp_path, FolderDownloads())
    shutil.rmtree(tmp_path / "env")
    removed: list[str] = []
    download = Interfering(
        interfere=lambda: removed.extend(prune_cache(tmp_path / "cache", everything=everything).names)
    )

    heard = sync(with_one_more(lock, tmp_path), tmp_path, download)

    assert removed == []
    assert (heard.warnings, list(download.count)) == ([], ["late-1-py3-none-any.whl"])
    assert is_whole(tmp_path / "env")


@pytest.mark.parametrize("what", ["wheels/*/*", "pkgs/*-1-0", "wheels", "pkgs", "downloads", "."])
def test_what_somebody_removes_in_the_middle_is_fetched_again(lock: Lockfile, tmp_path: Path, what: str) -> None:
    """As versions do that do not look who uses a package, and people with rm -r."""
    sync(lock, tmp_path, FolderDownloads())
    shutil.rmtree(tmp_path / "env")
    cache = tmp_path / "cache"
    download = Interfering(interfere=lambda: remove_all(cache, what))

    heard = sync(with_one_more(lock, tmp_path), tmp_path, download)

    assert [text for text in (*heard.warnings, *heard.infos) if "damaged" in text] == []
    assert is_whole(tmp_path / "env")
    assert verify_cache(cache, Reporter()).names == ()
    assert nothing_is_left(cache)


def test_cache_that_loses_everything_is_told_and_not_called_damaged(lock: Lockfile, tmp_path: Path) -> None:
    download = Interfering(interfere=lambda: remove_all(tmp_path / "cache", "wheels/*/[0-9a-f]*"), times=10_000)
    wheels = lock_of(*lock.pypi())

    with pytest.raises(TryAgain) as refusal:
        sync(wheels, tmp_path, download)

    assert refusal.value.code == "cache-emptied"
    assert not (tmp_path / "env").exists()
    assert list(tmp_path.glob(".env*")) == []


@pytest.mark.slow
def test_prunes_in_a_loop_beside_many_syncs(lock: Lockfile, tmp_path: Path) -> None:
    sync(lock, tmp_path, FolderDownloads())
    cache = tmp_path / "cache"
    pruner = subprocess.Popen([sys.executable, "-c", PRUNES, str(cache)], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert pruner.stdout is not None
    try:
        pruner.stdout.readline()
        for turn in range(3):
            prefixes = [tmp_path / f"env-{turn}-{number}" for number in range(4)]
            processes = [start(Request(lock, prefix, options_for(tmp_path)), tmp_path) for prefix in prefixes]
            said = [process.communicate()[0] for process in processes]
            assert [process.returncode for process in processes] == [0] * len(processes), said
            assert all(map(is_whole, prefixes))
        assert pruner.poll() is None
    finally:
        pruner.kill()
        pruner.communicate()
    prune_cache(cache)
    assert verify_cache(cache, Reporter()).names == ()
    assert nothing_is_left(cache)
