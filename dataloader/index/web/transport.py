"""Small requests through reqwest (pyreqwest), as a transport of httpx.

Its HTTP/2, TLS and decompression run beside Python's lock: the 94 requests of a cold lock take 0.15 s of CPU time where
httpx's own transport takes 0.55 s, and Python works meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
from pyreqwest import exceptions
from pyreqwest.client import ClientBuilder
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

_PIECE = 1 << 20
"""Bytes of a body that are taken over at once."""
_OF_THE_CONNECTION = frozenset({"connection", "host"})
"""Headers that reqwest writes itself."""
_MEANING: dict[type[exceptions.PyreqwestError], type[httpx.RequestError]] = {
    exceptions.ConnectTimeoutError: httpx.ConnectTimeout,
    exceptions.RequestTimeoutError: httpx.ReadTimeout,
    exceptions.ConnectError: httpx.ConnectError,
    exceptions.WriteError: httpx.WriteError,
    exceptions.DecodeError: httpx.DecodingError,
    exceptions.PyreqwestError: httpx.ReadError,
}
"""The first that fits counts."""


class ReqwestTransport(httpx.AsyncBaseTransport):
    """Sends requests without a body; a certificate that rustls does not accept is judged by OpenSSL.

    rustls refuses some that others take: that of a server which is its own authority, for one.
    """

    def __init__(self, *, timeout: float, connect: float, other: Callable[[], httpx.AsyncBaseTransport]) -> None:
        """Make a client that trusts what the system trusts.

        Args:
            timeout: Seconds without a byte.
            connect: Seconds for a server to take up a connection.
            other: Makes httpx's own transport, for the hosts whose certificates rustls refuses.
        """
        builder = ClientBuilder().http2(True).follow_redirects(False).referer(False)
        builder = builder.read_timeout(timedelta(seconds=timeout)).connect_timeout(timedelta(seconds=connect))
        self._client = builder.build()
        self._make_other, self._others = other, list[httpx.AsyncBaseTransport]()
        self._refused: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its body is streamed.

        Raises:
            httpx.RequestError: as httpx's own transport does.
        """
        if request.url.host in self._refused:
            return await self._other.handle_async_request(request)
        headers = [pair for pair in request.headers.multi_items() if pair[0] not in _OF_THE_CONNECTION]
        sending = self._client.request(request.method, str(request.url)).headers(headers).build_streamed()
        try:
            with _in_httpx_words(request):
                response = await sending.__aenter__()
        except httpx.ConnectError as error:
            if "certificate" not in str(error):
                raise
            self._refused.add(request.url.host)
            return await self._other.handle_async_request(request)
        return httpx.Response(
            response.status, headers=list(response.headers.items()), stream=_Body(request, sending, response)
        )

    @property
    def _other(self) -> httpx.AsyncBaseTransport:
        if not self._others:
            self._others.append(self._make_other())
        return self._others[0]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()
        for other in self._others:
            await other.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, request: httpx.Request, sending: StreamRequest, response: Response) -> None:
        self._request, self._sending, self._response = request, sending, response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader = self._response.body_reader
        with _in_httpx_words(self._request):
            while (piece := await reader.read(_PIECE)) is not None:
                yield bytes(piece)

    async def aclose(self) -> None:
        await self._sending.__aexit__(None, None, None)


@contextmanager
def _in_httpx_words(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except exceptions.PyreqwestError as error:
        kind = next(meaning for class_, meaning in _MEANING.items() if isinstance(error, class_))
        raise kind(_reason(error), request=request) from error


def _reason(error: exceptions.PyreqwestError) -> str:
    """Return the innermost cause: the outer ones repeat the address, with what it holds."""
    causes = (error.details.get("causes") if isinstance(error, exceptions.DetailedPyreqwestError) else None) or ()
    return causes[-1]["message"] if len(causes) > 1 else error.message
