"""The body of a response, received into the caller's own memory."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_WORTH_IT = 1 << 20
"""Bytes from which on a body is read from its connection, which then serves no other request."""


class Body:
    """A streamed response's body, as it comes over the wire.

    httpx takes it through a parser and six generators in pieces of 64 KiB at most, which costs more than to receive
    it: 3.6 s of CPU time for 2.6 GB on loopback, where the connection alone takes 0.7 s. A long body of known length
    over HTTP/1.1 is the connection's very next bytes, once the parser has passed on what came with the headers.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = response.iter_raw()
        self._chunk = memoryview(b"")
        """What httpx has passed on and nobody has read."""
        self._missing = int(response.headers.get("Content-Length", 0))
        self._connection = _connection(response) if self._missing >= _WORTH_IT else None
        self._is_begun = False

    def read_into(self, memory: memoryview) -> int:
        """Fill ``memory`` from its front, as far as bytes are there; return how many came, 0 at the end.

        Raises:
            httpx.TransportError: as httpx does.
        """
        if self._connection is not None and self._is_begun and not self._chunk:
            size = self._receive(self._connection, memory[: self._missing])
        else:
            size = self._take(memory)
        self._missing -= size
        return size

    def _take(self, memory: memoryview) -> int:
        while not self._chunk:
            try:
                self._chunk = memoryview(next(self._chunks))
            except StopIteration:
                return 0
        self._is_begun = True
        size = min(len(memory), len(self._chunk))
        memory[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size

    def _receive(self, connection: socket.socket, memory: memoryview) -> int:
        import httpx

        if not memory:
            return 0
        try:
            size = connection.recv_into(memory)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=self._response.request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=self._response.request) from error
        if not size:
            message = "the server closed the connection before the body was whole"
            raise httpx.RemoteProtocolError(message, request=self._response.request)
        return size


def _connection(response: httpx.Response) -> socket.socket | None:
    """What the body can be received from; ``None`` where only httpx knows how."""
    stream = response.extensions.get("network_stream")
    is_plain = response.http_version == "HTTP/1.1" and "Transfer-Encoding" not in response.headers
    # TLS inside the TLS of a proxy is not the socket's own.
    if stream is None or not is_plain or isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        return None
    connection: socket.socket | None = stream.get_extra_info("socket")
    if connection is not None:
        connection.settimeout(response.request.extensions.get("timeout", {}).get("read"))
    return connection
