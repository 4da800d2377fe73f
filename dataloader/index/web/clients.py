"""httpx clients as the settings want them: certificates, proxies, limits.

httpx costs 90 ms to import and a TLS context 35 ms, so both wait for the first request: a lock whose pages are all
cached makes none.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataloader.base.errors import UsageError
from dataloader.index.settings import IndexSettings
from dataloader.index.web.credentials import redact, url_fault

if TYPE_CHECKING:
    import ssl

    import httpx

    from dataloader.index.web.transport import Opener, Reply

_CONNECT = 10.0
"""Seconds for a server to take up a connection, which even a slow one does."""
_SHORT = 1 << 20
"""Bytes of an answer that says yes, no or who one is."""
_OF_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables of other tools that name trusted certificates, where OpenSSL's does not."""
_OF_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Fedora, openSUSE and Alpine keep their certificates in one file."""

_AGENT: Final = "dataloader"
"""What we call ourselves."""
_ALIKE: Final[Mapping[str, Any]] = {
    "follow_redirects": True,
    "max_redirects": 10,
    "headers": {"User-Agent": _AGENT},
}
"""What all clients do alike."""


def _check_address(request: httpx.Request) -> None:
    """Refuse an address that a redirect leads to, and that could never be asked: a port that there is not, say."""
    if why := url_fault(str(request.url)):
        import httpx

        raise httpx.InvalidURL(f"it leads to {redact(str(request.url))}: {why}")


async def _check_address_soon(request: httpx.Request) -> None:
    _check_address(request)


_WATCHED: Final = {"request": [_check_address_soon]}
"""httpx's hooks are called for each step of a redirect."""


def short_answer(client: httpx.Client, method: str, address: str, **more: Any) -> httpx.Response:
    """The response to a request whose answer is short: of a longer body the first mebibyte, and no more is read.

    Raises what ``httpx.Client.request`` raises.
    """
    import httpx

    with client.stream(method, address, **more) as response:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _SHORT:
                break
        headers = response.headers.copy()
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
            headers.pop(name, None)  # true of what came, not of what is handed on
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(body[:_SHORT]), request=response.request
        )


class _Httpx:
    """Opens responses by httpx."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def open(self, address: str, headers: Mapping[str, str]) -> Reply:
        request = self._client.build_request("GET", address, headers=dict(headers))
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()


class Clients:
    """Makes each kind of client when it is first asked for."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._asynchronous: dict[bool, Opener] = {}
        self._blocking: httpx.Client | None = None
        self._lock = threading.Lock()

    def asynchronous(self, *, http2: bool) -> Opener:
        """For many small requests: over HTTP/2 they share one connection a host."""
        if http2 not in self._asynchronous:
            self._asynchronous[http2] = (self._swift() if http2 else None) or self._plain(http2=http2)
        return self._asynchronous[http2]

    def _plain(self, *, http2: bool) -> _Httpx:
        _import_httpx()
        return _Httpx(self._own(http2=http2))

    def _swift(self) -> Opener | None:
        """Return a client over reqwest; ``None`` where it is not there, or would not do all that the settings ask for.

        Which certificates count and where a proxy stands is then for httpx to say, as it is for downloads.
        """
        if not _is_plain(self._settings):
            return None
        try:
            from dataloader.index.web.transport import Reqwest
        except ImportError:
            return None  # pyreqwest is not built for every machine
        timeout, connect = self._settings.timeout, min(self._settings.timeout, _CONNECT)
        try:
            return Reqwest(agent=_AGENT, timeout=timeout, connect=connect, other=lambda: self._plain(http2=True))
        except ValueError:
            return None  # the system has no certificates, or a variable names none: that is for OpenSSL to say

    def _own(self, *, http2: bool) -> httpx.AsyncClient:
        options = self._options(self._settings.concurrency)
        import httpx

        transports: dict[str, httpx.AsyncBaseTransport | None] = {
            f"all://{host}": httpx.AsyncHTTPTransport(verify=False, http2=http2)
            for host in self._settings.trusted_hosts
        }
        return httpx.AsyncClient(http2=http2, mounts=transports or None, event_hooks=_WATCHED, **options)

    def blocking(self) -> httpx.Client:
        """For large bodies, one thread each: three times the rate of the asynchronous client, at half its CPU time.

        A body comes in pieces of 16 KiB (a TLS record), and asyncio's share of each is most of the work.
        """
        with self._lock:
            if self._blocking is None:
                _import_httpx()
                options = self._options(self._settings.downloads)
                import httpx

                transports: dict[str, httpx.BaseTransport | None] = {
                    f"all://{host}": httpx.HTTPTransport(verify=False) for host in self._settings.trusted_hosts
                }
                hooks = {"request": [_check_address]}
                self._blocking = httpx.Client(mounts=transports or None, event_hooks=hooks, **options)
            return self._blocking

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._asynchronous.values():
            await client.aclose()
        if self._blocking is not None:
            self._blocking.close()

    def _options(self, connections: int) -> dict[str, Any]:
        # OpenSSL reads certificates without Python's lock: on another processor while httpx is imported.
        with ThreadPoolExecutor(1) as beside:
            context = beside.submit(self._tls_context)
            import httpx

        settings = self._settings
        return {
            # httpx writes the protocols it wants into the context, so clients cannot share one.
            "verify": context.result(),
            "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            "proxy": settings.proxy,
            "timeout": self._timeout(),
            **_ALIKE,
        }

    def _timeout(self) -> httpx.Timeout:
        import httpx

        return httpx.Timeout(self._settings.timeout, connect=min(self._settings.timeout, _CONNECT), pool=None)

    def _tls_context(self) -> ssl.SSLContext:
        """Certificates: the setting's (``PIP_CERT`` too), the variables of OpenSSL, requests and curl, the system's."""
        import ssl

        environ, settings = self._settings.environ, self._settings
        chosen = settings.cert or next(
            (environ[name] for name in ("SSL_CERT_FILE", *_OF_OTHERS) if environ.get(name)),
            None,
        )
        try:
            context = ssl.create_default_context(cafile=chosen)
            if settings.client_cert:
                context.load_cert_chain(settings.client_cert)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"the certificates in {chosen or settings.client_cert} cannot be read: {error}", code="setting-invalid"
            ) from error
        if not chosen and not context.get_ca_certs() and not environ.get("SSL_CERT_DIR"):
            with suppress(ImportError):
                import certifi

                context.load_verify_locations(certifi.where())
        return context


def _import_httpx() -> None:
    """Import httpx without its command line, which takes three quarters of the time where click and rich are there."""
    if "httpx" in sys.modules:
        return
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # then it cannot be imported, as without click
    try:
        import httpx  # noqa: F401
    finally:
        del sys.modules["httpx._main"]


def _is_plain(settings: IndexSettings) -> bool:
    """Whether servers are asked directly, and trusted by the system's certificates or OpenSSL's variables alone."""
    from urllib.request import getproxies_environment

    if settings.client_cert or settings.trusted_hosts or settings.proxy or getproxies_environment():
        return False
    environ = settings.environ
    of_openssl = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    if any(environ.get(name) != os.environ.get(name) for name in of_openssl):
        return False
    if settings.cert:
        return _is_the_systems(settings.cert) and not any(environ.get(name) for name in of_openssl)
    others = [said for name in _OF_OTHERS if (said := environ.get(name))]
    return bool(environ.get("SSL_CERT_FILE")) or all(map(_is_the_systems, others[:1]))


def _is_the_systems(bundle: str) -> bool:
    """Whether a file of certificates is the one that the system has: where tools bring their own, it is often named."""
    first, named = next((path for path in map(Path, _OF_SYSTEMS) if path.exists()), None), Path(bundle)
    return first is not None and named.exists() and named.samefile(first)
