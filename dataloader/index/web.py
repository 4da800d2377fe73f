"""HTTP as it is: retries, mirrors, credentials, proxies, certificates. httpx stops here.

httpx costs 90 ms to import and a TLS context 35 ms, so both wait for the first request: a lock whose pages are all
cached makes none.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, final
from urllib.parse import urlsplit

from dataloader.errors import DataloaderError, IndexUnavailable, IntegrityError, UsageError
from dataloader.index.credentials import Credentials, redact
from dataloader.index.mirrors import Mirrors
from dataloader.reporter import Reporter
from dataloader.settings import IndexSettings

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 527})
"""Statuses after which the same request may succeed (pip's and Cloudflare's included)."""
_LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more patience than this is given up for now."""


class Failed(Exception):
    """One address did not serve. ``error`` is what to raise if none does."""

    def __init__(
        self, error: DataloaderError, *, retry: bool, retry_after: float | None = None, missing: bool = False
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry = retry
        """Whether the same address may serve later."""
        self.retry_after = retry_after
        self.missing = missing
        """The server works and has no such thing (404, 410)."""


class NotFound(Exception):
    """No address has it, and all of them work."""


class Forbidden(UsageError):
    """A server said 403 to a request without credentials, which may mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self._credentials = credentials
        self._reporter = reporter
        self._transport = transport
        self._mirrors = Mirrors(settings.mirrors)
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._cut_off: set[str] = set()
        """Hosts that sent more than was asked for."""
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def get(self, url: str, headers: Mapping[str, str], *, limit: int | None = None) -> Answer:
        """Fetch a small thing whole, from wherever it can be had.

        Args:
            limit: Bytes of a body that a status of 200 may have; more is cut off. Ranges that a server ignores
                would otherwise bring a whole wheel.

        Raises:
            NotFound: Every address says that it has no such thing.
            IndexUnavailable: No address served it (codes ``index-unreachable``, ``redirect-loop``).
            UsageError: Credentials are missing or wrong (code ``index-auth``).
        """

        async def attempt(address: str, turn: int) -> Answer:
            # One HTTP/2 connection carries all first attempts, and its end is the end of all of them: a retry has a
            # connection of its own.
            http2 = turn == 0 and _host(address) not in self._cut_off
            async with self._slots, self.stream(address, headers, http2=http2) as response:
                body = await _read(response, limit)
                if limit is not None and len(body) == limit:
                    # httpcore leaves a stream that is not read to its end open, and streams are few.
                    self._cut_off.add(_host(address))
                found = self._mirrors.canonical(str(response.url))
                return Answer(status=response.status_code, headers=response.headers, body=body, url=found)

        return await self.first_good(url, attempt)

    async def first_good(self, url: str, attempt: Callable[[str, int], Awaitable[T]]) -> T:
        """The result of ``attempt(address, turn)`` at the first address of ``url`` where it does not raise ``Failed``.

        Each round goes through all addresses; between rounds there is a pause that doubles, with jitter, or the longer
        one that a server asked for.

        Raises:
            NotFound, DataloaderError: As ``get``.
        """
        addresses = self._mirrors.addresses(url)
        failures: dict[str, Failed] = {}
        for turn in range(self.settings.retries + 1):
            for address in tuple(addresses):
                result = await self._try(address, turn, attempt)
                if not isinstance(result, Failed):
                    return result
                failures[address] = result
                if not result.retry:
                    addresses.remove(address)
            if not addresses:
                break
            if turn < self.settings.retries:
                await asyncio.sleep(self._pause(turn, [failures[address].retry_after for address in addresses]))
        raise _combined(url, list(failures.values()))

    async def _try(self, address: str, turn: int, attempt: Callable[[str, int], Awaitable[T]]) -> T | Failed:
        try:
            result = await attempt(address, turn)
        except Failed as failure:
            if not failure.missing:
                self._mirrors.blame(address)
                self._reporter.debug(failure.error.message)
            return failure
        self._mirrors.trust(address)
        return result

    @asynccontextmanager
    async def stream(
        self, address: str, headers: Mapping[str, str], *, http2: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """An open response with a good status (2xx, 304, 416), its body not yet read.

        HTTP/2 is for many small requests, which share one connection a host. Downloads go over HTTP/1.1, which moves
        large bodies at twice the rate and half the CPU time of the HTTP/2 implementation in Python.

        Raises:
            Failed: Also for what happens while the body is read inside the ``async with``.
        """
        import httpx

        client = self._client(http2=http2)
        try:
            response = await self._send(client, address, headers)
            try:
                await self._check_status(response, address)
                yield response
            finally:
                await response.aclose()
        except httpx.TooManyRedirects as error:
            message = f"{redact(address)} redirects in a circle."
            raise Failed(IndexUnavailable(message, code="redirect-loop"), retry=False) from error
        except httpx.InvalidURL as error:
            raise Failed(
                UsageError(f"{redact(address)} is no URL: {error}.", code="index-bad-url"), retry=False
            ) from error
        except httpx.UnsupportedProtocol as error:
            message = f"{redact(address)} is no address that can be fetched: http, https and file are."
            raise Failed(UsageError(message, code="index-bad-url"), retry=False) from error
        except httpx.RequestError as error:
            raise self._unreachable(address, error) from error

    async def _send(self, client: httpx.AsyncClient, address: str, headers: Mapping[str, str]) -> httpx.Response:
        known = self._credentials.header(address)
        sent = {**headers, **({"Authorization": known} if known else {})}
        response = await client.send(client.build_request("GET", address, headers=sent), stream=True)
        if response.status_code == 401:
            asked = await asyncio.to_thread(self._credentials.ask_keyring, address)
            if asked is not None:
                await response.aclose()
                sent["Authorization"] = asked
                response = await client.send(client.build_request("GET", address, headers=sent), stream=True)
        return response

    async def _check_status(self, response: httpx.Response, address: str) -> None:
        status = response.status_code
        if status < 400 or status == 416:
            return
        if status in {404, 410}:
            error: DataloaderError = IndexUnavailable(f"{redact(address)} does not exist.", code="index-unreachable")
            raise Failed(error, retry=False, missing=True)
        if status in {401, 403, 407}:
            raise Failed(self._auth_error(address, status), retry=False)
        message = f"{_host(address)} answered {status} {response.reason_phrase} for {redact(address)}."
        retry_after = _retry_after(response.headers.get("Retry-After"))
        retry = status in _TRY_AGAIN and (retry_after or 0) <= _LONGEST_WAIT
        causes = (f"It asks to wait {retry_after:.0f} s.",) if retry_after else ()
        raise Failed(
            IndexUnavailable(message, code="index-unreachable", causes=causes), retry=retry, retry_after=retry_after
        )

    def _auth_error(self, address: str, status: int) -> UsageError:
        host = _host(address)
        known = self._credentials.header(address) is not None
        said = "does not accept the credentials given for" if known else "wants credentials for"
        kind = Forbidden if status == 403 and not known else UsageError
        return kind(
            f"{host} {said} {redact(address)} ({status}).",
            code="index-auth",
            causes=(f"Credentials are looked for in {self._credentials.places()}.",),
            suggestions=(f"Add a line 'machine {host} login USER password PASSWORD' to netrc.",),
        )

    def _unreachable(self, address: str, error: httpx.RequestError) -> Failed:
        import httpx

        host = _host(address)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            message = f"The certificate of {host} is not trusted: {error}."
            advice = "Name the file of your authority's certificates in SSL_CERT_FILE, or --cert."
            return Failed(IndexUnavailable(message, code="index-unreachable", suggestions=(advice,)), retry=False)
        if isinstance(error, httpx.ReadTimeout):
            why = f"no byte came for {self.settings.timeout:g} s"
        else:
            why = str(error) or type(error).__name__
        return Failed(
            IndexUnavailable(
                f"{host} could not be reached for {redact(address)}: {why}.",
                code="index-unreachable",
                suggestions=("Check the network, the proxy variables and the index URL, then try again.",),
            ),
            retry=True,
        )

    def _pause(self, turn: int, wishes: list[float | None]) -> float:
        pause: float = self.settings.backoff * 2.0**turn * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        # Any address that asks for no patience may be tried after our own pause.
        return max(pause, min(wish or 0.0 for wish in wishes))

    def _client(self, *, http2: bool) -> httpx.AsyncClient:
        if http2 not in self._clients:
            self._clients[http2] = self._make_client(http2=http2)
        return self._clients[http2]

    def _make_client(self, *, http2: bool) -> httpx.AsyncClient:
        import httpx

        settings = self.settings
        if self._transport is not None:
            return httpx.AsyncClient(transport=self._transport, follow_redirects=True, timeout=settings.timeout)
        context = self._tls_context()
        limits = httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency)
        mounts: dict[str, httpx.AsyncBaseTransport | None] = {
            f"all://{host}": httpx.AsyncHTTPTransport(verify=False, http2=http2, limits=limits)
            for host in settings.trusted_hosts
        }
        return httpx.AsyncClient(
            http2=http2,
            verify=context,
            limits=limits,
            mounts=mounts or None,
            proxy=settings.proxy,
            follow_redirects=True,
            max_redirects=10,
            timeout=httpx.Timeout(settings.timeout, pool=None),
            headers={"User-Agent": "dataloader"},
        )

    def _tls_context(self) -> ssl.SSLContext:
        """Certificates: the setting's (``PIP_CERT`` too), the variables of OpenSSL, requests and curl, the system's."""
        import ssl

        environ, settings = self.settings.environ, self.settings
        chosen = settings.cert or next(
            (environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)),
            None,
        )
        try:
            context = ssl.create_default_context(cafile=chosen)
            if settings.client_cert:
                context.load_cert_chain(settings.client_cert)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"The certificates in {chosen or settings.client_cert} cannot be read: {error}.", code="setting-invalid"
            ) from error
        if not chosen and not context.get_ca_certs() and not environ.get("SSL_CERT_DIR"):
            with suppress(ImportError):
                import certifi

                context.load_verify_locations(certifi.where())
        return context


async def _read(response: httpx.Response, limit: int | None) -> bytes:
    if limit is None or response.status_code != 200:
        return await response.aread()
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body[:limit])


def _retry_after(value: str | None) -> float | None:
    """Seconds (RFC 9110, section 10.2.3: a number, or a date)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _combined(url: str, failures: list[Failed]) -> Exception:
    """What to raise when every address failed: integrity if that was all, else what may pass; with all causes."""
    if all(failure.missing for failure in failures):
        return NotFound(url)
    telling = [failure for failure in failures if not failure.missing]
    passing = [failure for failure in telling if failure.retry]
    chosen = (passing or [f for f in telling if not isinstance(f.error, IntegrityError)] or telling)[0].error
    if len(telling) > 1:
        chosen.causes = (*chosen.causes, *(f.error.message for f in failures if f.error is not chosen))
    return chosen


def _host(address: str) -> str:
    return urlsplit(address).hostname or redact(address)
