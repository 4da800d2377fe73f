"""Small requests through reqwest (pyreqwest).

Its HTTP/2, TLS and decompression run beside Python's lock: the 94 requests of a cold lock take 0.15 s of CPU time where
httpx takes 0.55 s, and Python works meanwhile. httpx itself, which is 25 ms to import, is imported for what goes wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

from pyreqwest import exceptions
from pyreqwest.client import ClientBuilder
from pyreqwest.http import Url

from dataloader.index.web.credentials import redact, url_fault

if TYPE_CHECKING:
    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

_PIECE = 1 << 20
"""Bytes of a body that are taken over at once."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_MEANING: dict[type[exceptions.PyreqwestError], str] = {
    exceptions.ConnectTimeoutError: "ConnectTimeout",
    exceptions.RequestTimeoutError: "ReadTimeout",
    exceptions.ConnectError: "ConnectError",
    exceptions.WriteError: "WriteError",
    exceptions.DecodeError: "DecodingError",
    exceptions.PyreqwestError: "ReadError",
}
"""What httpx calls it; the first that fits counts."""


class Answered(Protocol):
    """What a response says before its body, as httpx has it too."""

    @property
    def status_code(self) -> int:
        """As RFC 9110 has them."""
        ...

    @property
    def reason_phrase(self) -> str:
        """What the status means."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in any case."""
        ...


class Reply(Answered, Protocol):
    """An open response."""

    @property
    def url(self) -> object:
        """Where it came from, after redirects; its ``str`` is the address."""
        ...

    async def aread(self) -> bytes:
        """Return the whole body."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Yield the body as it was sent."""
        ...

    async def aclose(self) -> None:
        """Let the rest of it go."""
        ...


class Opener(Protocol):
    """What opens responses."""

    async def open(self, address: str, headers: Mapping[str, str]) -> Reply:
        """Send a GET request, and follow where it is led.

        Raises:
            httpx.RequestError, httpx.InvalidURL: there is no response.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class Reqwest:
    """Opens responses by reqwest; a certificate that rustls does not accept is judged by OpenSSL.

    rustls refuses some that others take: that of a server which is its own authority, for one.
    """

    def __init__(self, *, agent: str, timeout: float, connect: float, other: Callable[[], Opener]) -> None:
        """Make a client that trusts what the system trusts.

        Args:
            agent: What it calls itself.
            timeout: Seconds without a byte.
            connect: Seconds for a server to take up a connection.
            other: Makes what asks the hosts whose certificates rustls refuses.
        """
        builder = ClientBuilder().http2(True).follow_redirects(False).referer(False).default_cookie_store(True)
        builder = builder.user_agent(agent).default_headers({"Accept": "*/*"})
        builder = builder.read_timeout(timedelta(seconds=timeout)).connect_timeout(timedelta(seconds=connect))
        self._client = builder.build()
        self._make_other, self._others = other, list[Opener]()
        self._refused: set[str | None] = set()

    async def open(self, address: str, headers: Mapping[str, str]) -> Reply:
        """As :class:`Opener` has it; the body is streamed."""
        url, signed = address, dict(headers)
        for _ in range(_MOST_REDIRECTS + 1):
            _check(url)
            host = urlsplit(url).hostname
            if host in self._refused:
                return await self._other.open(url, signed)
            try:
                reply = await self._send(url, signed)
            except exceptions.ConnectError as error:
                if "certificate" not in _reason(error):
                    raise _in_httpx_words(error) from error
                self._refused.add(host)
                return await self._other.open(url, signed)
            except exceptions.PyreqwestError as error:
                raise _in_httpx_words(error) from error
            except ValueError as error:  # an address that no URL can be
                raise _not_an_address(url, str(error)) from error
            place = reply.headers.get("Location") if reply.status_code in _REDIRECTS else None
            if place is None:
                return reply
            await reply.aclose()
            before, url = reply.url, urljoin(reply.url, place)
            if not _is_told_too(before, url):
                signed.pop("Authorization", None)
        import httpx

        raise httpx.TooManyRedirects(f"more than {_MOST_REDIRECTS} redirects")

    async def _send(self, url: str, headers: Mapping[str, str]) -> _Reply:
        asked = Url(url)
        sending = self._client.get(asked).headers(headers).build_streamed()
        return _Reply(str(asked), sending, await sending.__aenter__())

    @property
    def _other(self) -> Opener:
        if not self._others:
            self._others.append(self._make_other())
        return self._others[0]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()
        for other in self._others:
            await other.aclose()


class _Reply:
    def __init__(self, url: str, sending: StreamRequest, response: Response) -> None:
        self.url, self._sending, self._response = url, sending, response
        self.status_code: int = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def reason_phrase(self) -> str:
        from http import HTTPStatus

        return HTTPStatus(self.status_code).phrase if self.status_code in set(HTTPStatus) else ""

    async def aread(self) -> bytes:
        return b"".join([piece async for piece in self.aiter_bytes()])

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        reader = self._response.body_reader
        try:
            while (piece := await reader.read(_PIECE)) is not None:
                yield bytes(piece)
        except exceptions.PyreqwestError as error:
            raise _in_httpx_words(error) from error

    aiter_raw = aiter_bytes
    """The same: a range is asked for as it is."""

    async def aclose(self) -> None:
        await self._sending.__aexit__(None, None, None)


def _check(url: str) -> None:
    """Refuse an address that could never be asked: a port that there is not, say.

    Raises:
        httpx.InvalidURL, httpx.UnsupportedProtocol: as httpx does.
    """
    if why := url_fault(url):
        raise _not_an_address(url, why)
    if urlsplit(url).scheme not in {"http", "https"}:
        import httpx

        raise httpx.UnsupportedProtocol("Request URL is for neither http nor https.")


def _not_an_address(url: str, why: str) -> Exception:
    import httpx

    return httpx.InvalidURL(f"it leads to {redact(url)}: {why}")


def _is_told_too(before: str, after: str) -> bool:
    """Whether credentials for one address are for the other as well: its origin, or the same host by TLS at last."""
    first, second = urlsplit(before), urlsplit(after)
    ports = {"http": 80, "https": 443}
    places = [(url.hostname, url.port or ports.get(url.scheme)) for url in (first, second)]
    if first.scheme == second.scheme:
        return places[0] == places[1]
    return first.hostname == second.hostname and (places[0][1], places[1][1]) == (80, 443)


def _in_httpx_words(error: exceptions.PyreqwestError) -> Exception:
    import httpx

    kind = next(meaning for class_, meaning in _MEANING.items() if isinstance(error, class_))
    told: Exception = getattr(httpx, kind)(_reason(error))
    return told


def _reason(error: exceptions.PyreqwestError) -> str:
    """Return the innermost cause: the outer ones repeat the address, with what it holds."""
    causes = (error.details.get("causes") if isinstance(error, exceptions.DetailedPyreqwestError) else None) or ()
    return causes[-1]["message"] if len(causes) > 1 else error.message
