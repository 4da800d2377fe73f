"""One at a time: a lease with a heartbeat, which works where ``flock`` is missing or faked (network file systems).

The holder makes a symbolic link (or, where there are none, a file) that nobody else has made, and touches it every
few seconds. A waiter takes over when the holder is known to be dead, or when the lease's time has stood still for
long enough: in part by the volume's clock, in part by the waiter's own. Who was found dead once is dead for all its
leases. The lease saves work and protects half-made trees; that an environment is whole never depends on it.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dataloader.base.errors import PrefixBusy
from dataloader.base.reporter import Reporter
from dataloader.install.switch.owner import declare_dead, is_dead, pid_of, signed, volume_time

HEARTBEAT_SECONDS = 2.0
STALE_SECONDS = 20.0
"""Since the last beat of a holder that cannot be judged from here, by the volume's clock and the waiter's."""
_WATCHED_SECONDS = 5.0
"""Of these, how long a waiter looks itself: clocks may be set, two beats are not missed."""
_TELL_SECONDS = 30.0
_SLOWEST = 2.0
"""Seconds between two looks of a patient waiter: hundreds may wait, and each look is work for the volume."""


class Lease:
    """``async with Lease(path, ...)``: the body runs while no other process of any machine holds ``path``.

    Args:
        what: What it is for, for people.
        wait_seconds: How long to wait for a holder that lives. That one has died is always waited out.
        taken_over: Called when it was taken from a dead holder, who may have left more than this.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        reporter: Reporter,
        wait_seconds: float,
        taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._what = what
        self._reporter = reporter
        self._wait_seconds = wait_seconds
        self._taken_over = taken_over
        self._token = signed("")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Lease:  # noqa: PYI034  (Self came with Python 3.11)
        began = told = time.monotonic()
        watch = _Watch(self._path)
        waits = was_taken = False
        while not self._create():
            if watch.holder_is_gone():
                self._take_away(watch)
                was_taken = True
                continue
            waited = time.monotonic() - began
            if waited > self._wait_seconds and not watch.may_be_gone():
                raise PrefixBusy(
                    f"{self._what} is being changed by {watch.holder()} for over {self._wait_seconds:.0f} seconds now",
                    suggestions=("try again later", f"if no such process exists, remove {self._path}"),
                )
            if not waits:
                self._reporter.event("stage-started", stage="wait", holder=watch.holder(), what=self._what)
            if not waits or time.monotonic() - told > _TELL_SECONDS:
                still = f" ({waited:.0f} s so far)" if waits else ""
                self._reporter.info(f"waiting for {watch.holder()}, which is changing {self._what}{still}")
                waits, told = True, time.monotonic()
            # Random, to spread the waiters; often at first, for most work is short.
            await asyncio.sleep(random.uniform(0.2, 1) * min(max(waited / 10, 0.25), _SLOWEST))  # noqa: S311
        if was_taken:
            await asyncio.to_thread(self._taken_over)
        if waits:
            self._reporter.event("stage-finished", stage="wait", seconds=round(time.monotonic() - began, 3), ok=True)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if _token(_read(self._path)) == self._token:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            _put(self._path, f"{self._token}@{os.uname().nodename}")
        except FileExistsError:
            return False
        return True

    def _take_away(self, watch: _Watch) -> None:
        """Remove a dead holder's lease. The rename lets one waiter win; one that is not the dead one's goes back."""
        aside = self._path.with_name(f"{self._path.name}-{self._token}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        content = _read(aside)
        if _token(content) != watch.token:
            with suppress(FileExistsError):
                _put(self._path, content)  # not by a link or a rename: some volumes have no links, and renames replace
        aside.unlink(missing_ok=True)
        watch.reset()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if _token(_read(self._path)) not in {self._token, ""}:
                return  # taken over while this process was stopped: the new holder must beat for itself
            with suppress(OSError):  # a volume that is away for a moment; the next beat comes soon
                os.utime(self._path, follow_symlinks=False)


class _Watch:
    """What a waiter has seen of the holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.token = ""
        self.reset()

    def reset(self) -> None:
        """Forget it: there is a new holder."""
        self._beat: int | None = None
        self._since = time.monotonic()
        self._age = 0.0

    def holder(self) -> str:
        """Who it is, for people."""
        token, _, host = _read(self._path).partition("@")
        return f"process {pid_of(token) or '?'} on {host or 'an unknown machine'}"

    def may_be_gone(self) -> bool:
        """Whether the holder was silent for long when it was met, and is only watched to see whether it still is."""
        return self._age > max(STALE_SECONDS - _WATCHED_SECONDS, HEARTBEAT_SECONDS)

    def holder_is_gone(self) -> bool:
        """Whether the holder has died, as far as can be told from here."""
        token = _token(_read(self._path))
        try:
            beat = self._path.lstat().st_mtime_ns
        except OSError:
            return False
        dead = is_dead(token)
        if dead is not None:
            self.token = token
            return dead
        if beat != self._beat or token != self.token:
            # How long ago its last beat was is asked once for each holder: one that beats while we look is alive.
            is_new = self._beat is None or token != self.token
            probe = self._path.with_name(signed(f"{self._path.name}-"))
            self._age = volume_time(probe) - beat / 1e9 if is_new else 0.0
            self._beat, self.token, self._since = beat, token, time.monotonic()
        watched = time.monotonic() - self._since
        if watched < min(_WATCHED_SECONDS, STALE_SECONDS) or watched + self._age <= STALE_SECONDS:
            return False
        declare_dead(token)
        return True


def _put(path: Path, content: str) -> None:
    """Make the lease; FileExistsError where there is one.

    A link has its content from the first moment, and one that is short no block of its own: to remove it never waits
    for the disk (ext4 that is mounted with ``discard`` and without a journal waits for each block that is given back).
    """
    try:
        path.symlink_to(content)
    except FileExistsError:
        raise
    except OSError:  # there are volumes without
        _write(path, content)
        return
    try:
        os.utime(path, follow_symlinks=False)
    except OSError:  # it could not be touched
        path.unlink()
        _write(path, content)


def _write(path: Path, content: str) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
    except OSError:  # a full volume has room for a name, but not for what is in it
        path.unlink(missing_ok=True)
        raise


def _read(path: Path) -> str:
    """Token and host of the holder; empty if it is gone, or not yet written."""
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""
    except OSError:
        pass  # a file
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _token(content: str) -> str:
    return content.partition("@")[0]
