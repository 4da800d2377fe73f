"""httpx clients as the settings want them: certificates, proxies, limits.

httpx costs 90 ms to import and a TLS context 35 ms, so both wait for the first request: a lock whose pages are all
cached makes none.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError
from dataloader.index.settings import IndexSettings

if TYPE_CHECKING:
    import ssl

    import httpx

_CONNECT = 10.0
"""Seconds for a server to take up a connection, which even a slow one does."""


class Clients:
    """Makes each kind of client when it is first asked for."""

    def __init__(self, settings: IndexSettings, transport: httpx.MockTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._asynchronous: dict[bool, httpx.AsyncClient] = {}
        self._blocking: httpx.Client | None = None
        self._lock = threading.Lock()

    def asynchronous(self, *, http2: bool) -> httpx.AsyncClient:
        """For many small requests: over HTTP/2 they share one connection a host."""
        if http2 not in self._asynchronous:
            options = self._options(self._settings.concurrency)
            import httpx

            transports: dict[str, httpx.AsyncBaseTransport | None] = {
                f"all://{host}": httpx.AsyncHTTPTransport(verify=False, http2=http2)
                for host in self._settings.trusted_hosts
            }
            self._asynchronous[http2] = httpx.AsyncClient(http2=http2, mounts=transports or None, **options)
        return self._asynchronous[http2]

    def blocking(self) -> httpx.Client:
        """For large bodies, one thread each: three times the rate of the asynchronous client, at half its CPU time.

        A body comes in pieces of 16 KiB (a TLS record), and asyncio's share of each is most of the work.
        """
        with self._lock:
            if self._blocking is None:
                options = self._options(self._settings.downloads)
                import httpx

                transports: dict[str, httpx.BaseTransport | None] = {
                    f"all://{host}": httpx.HTTPTransport(verify=False) for host in self._settings.trusted_hosts
                }
                self._blocking = httpx.Client(mounts=transports or None, **options)
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
            "transport": self._transport,
            # httpx writes the protocols it wants into the context, so clients cannot share one.
            "verify": context.result(),
            "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            "proxy": settings.proxy,
            "follow_redirects": True,
            "max_redirects": 10,
            "timeout": httpx.Timeout(settings.timeout, connect=min(settings.timeout, _CONNECT), pool=None),
            "headers": {"User-Agent": "dataloader"},
        }

    def _tls_context(self) -> ssl.SSLContext:
        """Certificates: the setting's (``PIP_CERT`` too), the variables of OpenSSL, requests and curl, the system's."""
        import ssl

        environ, settings = self._settings.environ, self._settings
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
