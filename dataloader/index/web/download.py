"""Downloads of whole files: streamed, hashed on the way, resumed, and in place by one rename or used as they come."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.errors import DiskFull, IndexUnavailable, IntegrityError, UsageError
from dataloader.base.files import NO_ROOM
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.index.web.addresses import local_path
from dataloader.index.web.body import Body
from dataloader.index.web.credentials import redact
from dataloader.index.web.failures import Failed, NotFound
from dataloader.index.web.http import Web
from dataloader.index.web.part import BATCH, Part, Sink, open_part

if TYPE_CHECKING:
    import httpx

_TELL_EVERY = 0.2
"""Seconds between signs of progress, at most."""

_SOON = 60.0
"""Seconds. Bytes that are used as they come are kept for a later run only while more than this is left to wait for:
what comes quickly can come again, and writing it twice would take as long as receiving it."""
_TELLING, _TELLING_SECONDS = 4 << 20, 2.0
"""Bytes, and seconds, after which the rate of a connection can be told; what is here before never was in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One file to download and what is known of it."""

    url: str
    sha256: str | None
    size: int | None
    destination: Path
    task: str
    advice: str = "Lock again: the index may have taken the file away."
    """What to do where nobody has it."""


class Throttle:
    """Spreads bytes over time so that all downloads together keep to a rate; without a rate, does nothing."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free = 0.0
        self._lock = threading.Lock()

    def wait_for(self, amount: int) -> float:
        """Seconds to wait until ``amount`` more bytes fit."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + amount / self._rate
            return self._free - now


async def download(web: Web, wanted: Wanted, throttle: Throttle, reporter: Reporter, sink: Sink | None = None) -> str:
    """Bring ``wanted`` to its destination, from any mirror, and return its sha256.

    Args:
        sink: Takes the bytes as they come. Then the file is at its destination only if it was worth keeping; needs a
            ``wanted`` with a hash, and the sink's own results are good only when this has returned.

    Raises:
        IntegrityError: Every address served other bytes than were promised (code ``hash-mismatch``).
        IndexUnavailable: None served it whole (``index-unreachable``, ``download-truncated``, ``redirect-loop``).
        DiskFull: The destination's volume has no room.
        UsageError: The destination cannot be written, or credentials are missing.
    """
    with _disk_errors(wanted.destination):
        wanted.destination.parent.mkdir(parents=True, exist_ok=True)
        with open_part(wanted.destination, sink) as part:
            # Bytes of an earlier run are of use only if a hash will judge the whole.
            if wanted.sha256:
                await asyncio.to_thread(part.take_over)
            else:
                part.restart()
            reporter.start(wanted.task, wanted.task, wanted.size)
            reporter.advance(wanted.task, part.size)
            began = time.monotonic()
            transfer = _Transfer(web, wanted, part, throttle, reporter)
            try:
                digest = await web.first_good(wanted.url, lambda address, _: transfer.attempt(address))
            except NotFound as error:
                message = f"{redact(wanted.url)} is not there (any more)"
                raise IndexUnavailable(message, code="index-unreachable", suggestions=(wanted.advice,)) from error
            else:
                transfer.tell(time.monotonic() - began)
                return digest
            finally:
                reporter.finish(wanted.task)


class _Transfer:
    """Brings bytes into a part; what came before a failure stays there for the next attempt."""

    def __init__(self, web: Web, wanted: Wanted, part: Part, throttle: Throttle, reporter: Reporter) -> None:
        self._web = web
        self._wanted = wanted
        self._part = part
        self._throttle = throttle
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._response: httpx.Response | None = None
        self._address = wanted.url
        """The one that was tried last."""
        self._resumed = part.size
        self._untold, self._told = 0, 0.0
        """Bytes that the reporter has not heard of, and when it has last heard."""

    def tell(self, seconds: float) -> None:
        """Say that it is done."""
        self._reporter.event(
            "downloaded",
            file=self._wanted.task,
            bytes=self._part.size,
            resumed_bytes=self._resumed,
            seconds=round(seconds, 3),
            address=redact(self._address),
            mirror=self._address != self._wanted.url,
        )

    async def attempt(self, address: str) -> str:
        """Try one address in a thread; who cancels this does not wait for a server that has stalled."""
        self._address = address
        future = self._loop.run_in_executor(self._web.threads, self._run, address)
        # Nobody asks how a stopped thread ended.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait([future], timeout=2)
            raise

    def _stop(self) -> None:
        self._stopped.set()
        stream = self._response.extensions.get("network_stream") if self._response else None
        connection = stream.get_extra_info("socket") if stream else None
        if connection is not None:
            with suppress(OSError):
                # Wakes a thread that waits in recv(); SSLSocket's own method would take the TLS state from under it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _run(self, address: str) -> str:
        part, resumed = self._part, self._part.size > 0
        if not _is_whole(self._wanted, part):
            if (source := local_path(address)) is not None:
                self._copy(source)
            else:
                with self._web.open(address, _range_headers(self._wanted, part)) as response:
                    self._response = response
                    self._begin(response)
                    resumed = part.size > 0
                    self._receive(response, address)
        try:
            _check(address, self._wanted, part)
        except Failed:
            self._restart()
            if resumed:
                # The fault may lie with the bytes from before, not with this address: it gets a clean try.
                return self._run(address)
            raise
        part.place(self._wanted.destination)
        return part.hasher.hexdigest()

    def _begin(self, response: httpx.Response) -> None:
        """Make the part agree with where the response's body starts."""
        starts = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and starts and int(starts[1]) == self._part.size:
            return
        self._restart()
        etag = response.headers.get("ETag")
        self._part.etag = etag if etag and not etag.startswith("W/") else None
        if response.status_code not in {200, 206} or (starts and int(starts[1]) > 0):
            message = f"{redact(str(response.url))} cannot be resumed where it broke off"
            raise Failed(IndexUnavailable(message, code="download-truncated"), retry=True)

    def _receive(self, response: httpx.Response, address: str) -> None:
        import httpx

        part, size = self._part, self._wanted.size
        pace = _Pace(part.size, size or part.size + int(response.headers.get("Content-Length", 0)), time.monotonic())
        # One buffer for all: each new one of this size would have to be faulted in, page by page.
        body, buffer, held, told = Body(response), memoryview(bytearray(BATCH)), 0, time.monotonic()
        try:
            while amount := body.read_into(buffer[held:]):
                held += amount
                pause = self._throttle.wait_for(amount)
                if self._stopped.is_set() or (pause and self._stopped.wait(pause)):
                    message = f"the download of {redact(address)} was stopped"
                    raise Failed(IndexUnavailable(message, code="download-truncated"), retry=False)
                if size is not None and part.size + held > size:
                    return
                if held == BATCH or time.monotonic() - told > _TELL_EVERY:
                    piece, held = buffer[:held], 0  # what cannot be kept is not tried twice
                    self._keep(piece)
                    told = time.monotonic()
                    match pace.is_quick(part.size, told):
                        case True:
                            part.let_go()
                        case False:
                            part.keep()
        except httpx.RemoteProtocolError as error:
            message = f"the download of {redact(address)} broke off after {part.size + held} bytes"
            raise Failed(IndexUnavailable(message, code="download-truncated"), retry=True) from error
        finally:
            if held:
                self._keep(buffer[:held])
            self._advance()

    def _copy(self, source: Path) -> None:
        """A file of this machine goes the way of the others, so that its hash judges it too."""
        self._restart()
        self._part.let_go()
        try:
            file = source.open("rb")
        except OSError as error:
            message = f"{source} cannot be read: {error.strerror}"
            missing = isinstance(error, FileNotFoundError)
            raise Failed(IndexUnavailable(message, code="index-unreachable"), retry=False, missing=missing) from error
        with file:
            while chunk := file.read(BATCH):
                self._keep(chunk)
        self._advance()

    def _keep(self, data: bytes | memoryview) -> None:
        self._part.append(data)
        self._untold += len(data)
        if time.monotonic() - self._told > _TELL_EVERY:
            self._advance()

    def _restart(self) -> None:
        self._untold -= self._part.size
        self._advance()
        self._part.restart()
        self._resumed = 0

    def _advance(self) -> None:
        # The reporter belongs to the event loop's thread, and waking that takes a while.
        self._loop.call_soon_threadsafe(self._reporter.advance, self._wanted.task, self._untold)
        self._untold, self._told = 0, time.monotonic()


class _Pace(NamedTuple):
    """How quickly one connection brings bytes."""

    resumed_at: int
    total: int
    """Bytes of the whole file; no more than ``resumed_at`` if the server does not tell."""
    began: float

    def is_quick(self, size: int, now: float) -> bool | None:
        """Whether the rest will be here soon; ``None`` while that cannot be told."""
        came, seconds = size - self.resumed_at, now - self.began
        if self.total <= self.resumed_at:
            return False
        if came < _TELLING and seconds < _TELLING_SECONDS:
            return None
        return (self.total - size) * seconds < _SOON * came


def _range_headers(wanted: Wanted, part: Part) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if part.size and (wanted.sha256 or part.etag):
        headers["Range"] = f"bytes={part.size}-"
        if part.etag and not wanted.sha256:
            headers["If-Range"] = part.etag
    return headers


def _is_whole(wanted: Wanted, part: Part) -> bool:
    if part.size and wanted.sha256 == part.hasher.hexdigest():
        return True
    return wanted.size is not None and 0 < wanted.size <= part.size


def _check(address: str, wanted: Wanted, part: Part) -> None:
    if wanted.size is not None and part.size < wanted.size:
        message = f"{redact(address)} ended after {part.size} of {wanted.size} bytes"
        raise Failed(IndexUnavailable(message, code="download-truncated"), retry=True)
    found = part.hasher.hexdigest()
    if (wanted.size is not None and part.size > wanted.size) or (wanted.sha256 and found != wanted.sha256):
        causes = (
            f"expected sha256 {wanted.sha256}, {wanted.size or 'any number of'} bytes",
            f"received sha256 {found}, {part.size} bytes",
        )
        raise Failed(
            IntegrityError(
                f"{redact(address)} is not the file that was promised",
                code="hash-mismatch",
                causes=causes,
                suggestions=("do not install it; if the index was changed on purpose, lock again",),
            ),
            retry=False,
        )


@contextmanager
def _disk_errors(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"no room is left for {destination.name} in {destination.parent}",
                suggestions=("free space there, or move the cache with DATALOADER_CACHE_DIR",),
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise UsageError(
                f"{destination.parent} cannot be written: {error.strerror}",
                code="directory-unwritable",
                suggestions=("choose another directory; the cache moves with DATALOADER_CACHE_DIR",),
            ) from error
        raise
