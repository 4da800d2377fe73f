"""HTTP as it is: retries, mirrors, credentials."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, final

from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.index.settings import IndexSettings
from dataloader.index.web.clients import Clients, short_answer
from dataloader.index.web.credentials import Credentials, redact
from dataloader.index.web.failures import Failed, check_sha256, check_status, combined, host_of, translated
from dataloader.index.web.mirrors import Mirrors

if TYPE_CHECKING:
    import httpx

    from dataloader.index.web.transport import Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """After redirects, and as the index that a mirror stands for would have it."""


@final
class Web:
    """Fetches URLs; one per event loop, closed by ``async with``."""

    def __init__(
        self,
        settings: IndexSettings,
        credentials: Credentials,
        reporter: Reporter,
    ) -> None:
        self.settings = settings
        self._credentials = credentials
        self._reporter = reporter
        self._mirrors = Mirrors(settings.mirrors)
        self._clients = Clients(settings)
        self._cut_off: set[str] = set()
        """Hosts that sent more than was asked for."""
        self.threads = ThreadPoolExecutor(settings.downloads, thread_name_prefix="download")
        """Where downloads run."""
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        await self._clients.aclose()

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        limit: int | None = None,
        sha256: str | None = None,
        retries: int | None = None,
    ) -> Response:
        """Fetch a small thing whole, from wherever it can be had.

        Args:
            limit: Bytes of a body that is not a range that was asked for; more is cut off. Ranges that a server
                ignores would otherwise bring a whole wheel.
            sha256: Of the body; an address that serves another is passed over.
            retries: Rounds after the first; those of the settings where it is not said.

        Raises:
            NotFound: Every address says that it has no such thing.
            IntegrityError: Every address serves another body than that of ``sha256`` (code ``hash-mismatch``).
            IndexUnavailable: No address served it (codes ``index-unreachable``, ``redirect-loop``).
            UsageError: Credentials are missing or wrong (code ``index-auth``).
        """

        async def attempt(address: str, turn: int) -> Response:
            # One HTTP/2 connection carries all first attempts, and its end is the end of all of them: a retry has a
            # connection of its own.
            http2 = turn == 0 and host_of(address) not in self._cut_off
            async with self._slots, self.stream(address, headers, http2=http2) as response:
                is_range = response.status_code == 206 and "Range" in headers
                body = await _read(response, None if is_range else limit)
                if limit is not None and len(body) == limit:
                    # httpcore leaves a stream that is not read to its end open, and streams are few.
                    self._cut_off.add(host_of(address))
                if sha256 is not None:
                    check_sha256(body, sha256, address)
                found = self._mirrors.canonical(str(response.url), url)
                return Response(status=response.status_code, headers=response.headers, body=body, url=found)

        return await self.first_good(url, attempt, retries)

    async def first_good(self, url: str, attempt: Callable[[str, int], Awaitable[T]], retries: int | None = None) -> T:
        """The result of ``attempt(address, turn)`` at the first address of ``url`` where it does not raise ``Failed``.

        Each round goes through all addresses; between rounds there is a pause that doubles, with jitter, or the longer
        one that a server asked for.

        Raises:
            NotFound, DataloaderError: As ``get``.
        """
        addresses = self._mirrors.addresses(url)
        failures: dict[str, Failed] = {}
        rounds = self.settings.retries if retries is None else retries
        for turn in range(rounds + 1):
            for address in tuple(addresses):
                result = await self._try(address, turn, attempt)
                if not isinstance(result, Failed):
                    return result
                failures[address] = result
                if not result.retry:
                    addresses.remove(address)
            if not addresses:
                break
            if turn < rounds:
                pause = self._pause(turn, [failures[address].retry_after for address in addresses])
                self._reporter.event("retry", address=redact(url), turn=turn + 1, pause_seconds=round(pause, 3))
                await asyncio.sleep(pause)
        raise combined(url, list(failures.values()))

    async def _try(self, address: str, turn: int, attempt: Callable[[str, int], Awaitable[T]]) -> T | Failed:
        try:
            result = await attempt(address, turn)
        except Failed as failure:
            if not failure.missing:
                self._mirrors.blame(address)
                self._reporter.debug(failure.error.message)
                self._reporter.event(
                    "address-failed",
                    address=redact(address),
                    code=failure.error.code,
                    message=failure.error.message,
                    again=failure.retry,
                )
            return failure
        self._mirrors.trust(address)
        return result

    @asynccontextmanager
    async def stream(self, address: str, headers: Mapping[str, str], *, http2: bool) -> AsyncIterator[Reply]:
        """An open response with a good status (2xx, 304, 416), its body not yet read.

        Raises:
            Failed: Also for what happens while the body is read inside the ``async with``.
        """
        client = self._clients.asynchronous(http2=http2)
        with translated(address, self.settings.timeout):
            response = await client.open(address, self._signed(address, headers))
            if response.status_code == 401:
                known = await asyncio.to_thread(self._credentials.ask_keyring, address)
                if known is not None:
                    await response.aclose()
                    response = await client.open(address, {**headers, "Authorization": known})
            try:
                check_status(response, address, self._credentials)
                yield response
            finally:
                await response.aclose()

    @contextmanager
    def open(self, address: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """As ``stream``, but blocking, for a thread that reads a large body."""
        client = self._clients.blocking()
        with translated(address, self.settings.timeout):
            request = client.build_request("GET", address, headers=self._signed(address, headers))
            response = client.send(request, stream=True)
            if response.status_code == 401 and (known := self._credentials.ask_keyring(address)) is not None:
                response.close()
                request = client.build_request("GET", address, headers={**headers, "Authorization": known})
                response = client.send(request, stream=True)
            try:
                check_status(response, address, self._credentials)
                yield response
            finally:
                response.close()

    def send(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str],
        content: bytes | Path | None = None,
        *,
        patience: float | None = None,
    ) -> httpx.Response:
        """The response to a request of any kind, whatever its status, as ``short_answer`` has it; blocking.

        Args:
            content: The body, or the file that holds it.
            patience: Seconds without a byte of the response; else as the settings have it.

        Raises:
            Failed: there is no response.
        """
        import httpx

        with translated(address, self.settings.timeout):
            client = self._clients.blocking()
            waiting = httpx.Timeout(self.settings.timeout, read=patience) if patience else client.timeout

            def once(signed: Mapping[str, str]) -> httpx.Response:
                if isinstance(content, Path):
                    with content.open("rb") as file:
                        return short_answer(client, method, address, headers=signed, content=file, timeout=waiting)
                return short_answer(client, method, address, headers=signed, content=content, timeout=waiting)

            response = once(self._signed(address, headers))
            if response.status_code == 401 and (known := self._credentials.ask_keyring(address)) is not None:
                response = once({**headers, "Authorization": known})
            return response

    def check(self, response: httpx.Response, address: str) -> None:
        """Raise ``Failed`` for a status that says that the request was not done."""
        check_status(response, address, self._credentials)

    def _signed(self, address: str, headers: Mapping[str, str]) -> dict[str, str]:
        known = self._credentials.header(address)
        return {**headers, **({"Authorization": known} if known else {})}

    def _pause(self, turn: int, wishes: list[float | None]) -> float:
        pause: float = self.settings.backoff * 2.0**turn * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        # Any address that asks for no patience may be tried after our own pause.
        return max(pause, min(wish or 0.0 for wish in wishes))


async def _read(response: Reply, limit: int | None) -> bytes:
    if limit is None:
        return await response.aread()
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body[:limit])
