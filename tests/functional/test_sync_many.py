"""Many syncs at once: one works, the others wait or take what is there; nothing is fetched twice."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataloader.install.switch import lease as lease_module
from dataloader.install.switch import owner
from dataloader.install.switch.lease import Lease
from dataloader.install.switch.owner import signed
from tests.helpers.locks import Heard, lock_of, options_for
from tests.helpers.sync_process import Request, start
from tests.helpers.wheels import make_wheel

WHEELS = 5


def wheels(folder: Path) -> list[Path]:
    files = {f"m{number}.py": "x = 1\n" for number in range(50)}
    return [
        make_wheel(
            folder / "wheels", f"part{part}", "1", files={f"part{part}/{name}": text for name, text in files.items()}
        )
        for part in range(WHEELS)
    ]


def outcomes(processes: list[subprocess.Popen[str]]) -> Counter[str]:
    ended = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), ended
    return Counter(text.split()[-1] for text in ended)


def downloads(log: Path) -> Counter[str]:
    return Counter(log.read_text().split())


def test_many_syncs_of_one_prefix(tmp_path: Path) -> None:
    request = Request(lock_of(*wheels(tmp_path)), tmp_path / "env", options_for(tmp_path), tmp_path / "log")

    seen = outcomes([start(request, tmp_path) for _ in range(8)])

    assert seen == {"changed": 1, "unchanged": 7}
    assert set(downloads(tmp_path / "log").values()) == {1}
    assert [path.name for path in tmp_path.glob(".env*")] == []


def test_many_syncs_of_many_prefixes_share_one_cache(tmp_path: Path) -> None:
    lock = lock_of(*wheels(tmp_path))
    requests = [Request(lock, tmp_path / f"env{n}", options_for(tmp_path), tmp_path / "log") for n in range(6)]

    seen = outcomes([start(request, tmp_path) for request in requests])

    assert seen == {"changed": 6}
    assert downloads(tmp_path / "log") == {f"part{part}-1-py3-none-any.whl": 1 for part in range(WHEELS)}
    assert not list((tmp_path / "cache").glob("downloads/*"))


def test_processes_that_cannot_see_each_other(tmp_path: Path) -> None:
    """In pid and mount namespaces of their own, as in pods: only the lease file tells them of each other."""
    wrapper = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")
    request = Request(lock_of(*wheels(tmp_path)), tmp_path / "env", options_for(tmp_path), tmp_path / "log")

    seen = outcomes([start(request, tmp_path, wrapper=wrapper) for _ in range(5)])

    assert seen == {"changed": 1, "unchanged": 4}
    assert set(downloads(tmp_path / "log").values()) == {1}


ELSEWHERE = f"theirs.1-1-{'0' * 8}"
"""Who signed on another machine."""


@pytest.fixture(autouse=True)
def nobody_is_known_to_be_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process of its own in that."""
    monkeypatch.setattr(owner, "_found_dead", set())


def of_the_dead() -> str:
    """The signature of a process of this machine that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return signed("theirs").replace(f".{os.getpid()}-", f".{done.pid}-")


@pytest.fixture(params=["link", "file"])
def lease(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a lease may be, on a volume with and without symbolic links."""
    if request.param == "file":

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "symlink", refuse)
    return tmp_path / "lease"


def hold(path: Path, token: str) -> None:
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(f"{token}@elsewhere")
    except PermissionError:
        path.write_text(f"{token}@elsewhere")


def holder(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else path.read_text()


def acquire(path: Path, wait_seconds: float = 5) -> float:
    async def take() -> float:
        begun = time.monotonic()
        async with Lease(path, "it", Heard(), wait_seconds):
            return time.monotonic() - begun

    return asyncio.run(take())


def test_a_lease_says_who_holds_it(lease: Path) -> None:
    async def take() -> None:
        async with Lease(lease, "it", Heard(), 5):
            assert f".{os.getpid()}-" in holder(lease)
            assert holder(lease).endswith(f"@{os.uname().nodename}")
            assert [each.name for each in lease.parent.iterdir()] == ["lease"]

    asyncio.run(take())

    assert not list(lease.parent.iterdir())


def test_a_link_that_cannot_be_touched_is_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would take it for a dead one's."""
    utime = os.utime

    def only_files(path: Path, **options: Any) -> None:
        if path.is_symlink():
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        utime(path, **options)

    monkeypatch.setattr(os, "utime", only_files)
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.05)

    async def take() -> None:
        async with Lease(tmp_path / "lease", "it", Heard(), 5):
            assert not (tmp_path / "lease").is_symlink()
            before = (tmp_path / "lease").stat().st_mtime_ns
            await asyncio.sleep(0.3)
            assert (tmp_path / "lease").stat().st_mtime_ns > before

    asyncio.run(take())

    assert not list(tmp_path.iterdir())


def test_lease_of_a_dead_process_is_taken_at_once(lease: Path) -> None:
    hold(lease, of_the_dead())

    assert acquire(lease) < 1
    assert not list(lease.parent.iterdir())


def test_lease_whose_heart_has_stopped_is_taken_after_a_while(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.6)
    hold(lease, ELSEWHERE)

    assert 0.5 < acquire(lease) < 3


def test_lease_that_is_old_already_is_watched_for_a_moment(lease: Path) -> None:
    """Its last beat was minutes ago by the volume's clock; clocks may be set, so that it beats no more is seen here."""
    hold(lease, ELSEWHERE)
    past = time.time() - 100
    os.utime(lease, (past, past), follow_symlinks=False)

    assert 4 < acquire(lease, wait_seconds=0) < 10
    assert not list(lease.parent.iterdir())


def test_lease_that_looks_old_and_beats_is_not_taken(lease: Path) -> None:
    """The holder's clock is slow, on a volume where that one counts."""
    from dataloader.base.errors import PrefixBusy

    hold(lease, ELSEWHERE)
    beat = subprocess.Popen(["sh", "-c", f"while true; do touch -h -d '100 seconds ago' {lease}; sleep 0.5; done"])
    try:
        with pytest.raises(PrefixBusy):
            acquire(lease, wait_seconds=7)
    finally:
        beat.kill()
        beat.wait()


def test_who_was_found_dead_once_is_dead_for_all_its_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.6)
    for number in range(5):
        hold(tmp_path / f"lease{number}", ELSEWHERE)
    taken = []

    async def take_all() -> None:
        for number in range(5):
            async with Lease(tmp_path / f"lease{number}", "it", Heard(), 5, lambda: taken.append(1)):
                pass

    begun = time.monotonic()
    asyncio.run(take_all())

    assert 0.5 < time.monotonic() - begun < 2
    assert len(taken) == 5


def test_lease_that_beats_is_not_taken(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataloader.base.errors import PrefixBusy

    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.6)
    hold(lease, ELSEWHERE)
    beat = subprocess.Popen(["sh", "-c", f"while true; do touch -h {lease}; sleep 0.1; done"])
    try:
        with pytest.raises(PrefixBusy, match="process 1 on elsewhere"):
            acquire(lease, wait_seconds=1.5)
    finally:
        beat.kill()
        beat.wait()
    assert holder(lease) == f"{ELSEWHERE}@elsewhere"


def test_torn_lease_file_is_taken_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.4)
    (tmp_path / "lease").write_bytes(b"")

    assert acquire(tmp_path / "lease") < 3


def test_lease_of_the_living_that_was_taken_by_mistake_is_put_back(
    lease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two waiters saw the dead holder; the slower one meets the quicker one's lease, where there are no links."""
    from dataloader.base.errors import PrefixBusy

    dead, quicker = of_the_dead(), signed("quicker")
    hold(lease, dead)
    rename = Path.rename

    def after_the_quicker_one(self: Path, target: Path) -> Path:
        if self == lease and holder(lease).startswith(dead):
            hold(lease, quicker)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", after_the_quicker_one)
    monkeypatch.delattr(os, "link")

    with pytest.raises(PrefixBusy):
        acquire(lease, wait_seconds=0.5)

    assert holder(lease) == f"{quicker}@elsewhere"
    assert [each.name for each in lease.parent.iterdir()] == ["lease"]


def test_lost_lease_is_not_kept_alive_for_its_new_holder(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.05)

    async def lose_it() -> None:
        async with Lease(lease, "it", Heard(), 5):
            hold(lease, ELSEWHERE)
            os.utime(lease, (1, 1), follow_symlinks=False)
            await asyncio.sleep(0.3)

    asyncio.run(lose_it())

    assert lease.lstat().st_mtime == 1
    assert holder(lease) == f"{ELSEWHERE}@elsewhere"


def test_half_made_entries_of_the_living_are_left_alone(tmp_path: Path) -> None:
    from dataloader.install.store.leftovers import sweep

    done = subprocess.Popen(["true"])
    done.wait()
    mine = tmp_path / "wheels/aa" / signed(".new-")
    dead = mine.with_name(mine.name.replace(f".{os.getpid()}-", f".{done.pid}-"))
    remote = mine.with_name(f"{mine.name[:-8]}{'0' * 8}")
    for folder in (mine, dead, remote):
        folder.mkdir(parents=True)

    sweep(tmp_path)

    assert {path.name for path in mine.parent.iterdir()} == {mine.name, remote.name}
