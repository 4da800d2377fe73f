"""rattler's gateways to channels: one for each choice of mirrors, the first that answers is kept."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import rattler
from rattler.exceptions import GatewayError
from rattler.networking import Client
from rattler.networking.middleware import (
    AddHeadersMiddleware,
    AuthenticationMiddleware,
    GCSMiddleware,
    MirrorMiddleware,
    OciMiddleware,
    RetryMiddleware,
    S3Middleware,
)

from dataloader.base.reporter import Reporter
from dataloader.index.settings import IndexSettings
from dataloader.index.web.credentials import Credentials, public_channel, redact, without_credentials

T = TypeVar("T")

_FORBIDDEN = re.compile(r"\b403\b")

_PATIENCE = 8
"""Times the settings' timeout for a mirror's whole answer: rattler's clients cannot tell a slow body from a stalled one
(py-rattler 0.28)."""


class Gateways:
    """Asks channels at their mirrors, in order, then at their own addresses.

    rattler's own mirrors share the load; one that fails is not followed by the next within a query (py-rattler 0.28).
    """

    def __init__(
        self, channels: Sequence[str], settings: IndexSettings | None, cache: Path | None, reporter: Reporter
    ) -> None:
        self._settings = settings or IndexSettings()
        self._cache = cache
        self._reporter = reporter
        own = {public_channel(url).rstrip("/"): without_credentials(url).rstrip("/") for url in channels}
        # rattler writes addresses into its cache, so it gets those without tokens, and the others as mirrors.
        self._own = {public: [url] for public, url in own.items() if public != url}
        self._left = list(_choices(self._settings))
        """The choices that have not failed yet, most preferred first."""
        self._gateway: rattler.Gateway | None = None
        self._plain = False
        """Whether repodata.json alone is asked for."""
        asked = [*channels, *(mirror for mirrors in self._settings.mirrors.values() for mirror in mirrors)]
        credentials = Credentials(("", *asked), self._settings.environ, reporter)
        headers = {urlsplit(url).hostname or "": credentials.header(without_credentials(url)) for url in asked}
        self._headers = {host: {"Authorization": header} for host, header in headers.items() if header}
        self._are_here = all(url.startswith("file:") for url in asked)
        """Whether nothing needs a client, which takes 12 ms for its certificates."""

    async def ask(self, question: Callable[[rattler.Gateway], Awaitable[T]]) -> T:
        """Return the answer of the first choice that does not fail.

        Raises:
            GatewayError: the channels themselves failed, after their mirrors.
        """
        while True:
            try:
                return await question(self._current())
            except GatewayError as error:
                if not self._plain and _FORBIDDEN.search(str(error)):
                    # Object stores say 403 of what they do not have: the shards, perhaps, and not repodata.json.
                    self._plain, self._gateway = True, None
                    continue
                if len(self._left) == 1:
                    raise
                self._plain = False
                failed = ", ".join(mirror for (mirror,) in self._left.pop(0).values())
                self._gateway = None
                said = str(error).strip().partition("\n")[0]
                self._reporter.debug(f"The mirror {redact(failed)} of a channel failed: {said}")
                self._reporter.event(
                    "address-failed",
                    address=redact(failed),
                    code="channel-unreachable",
                    message=said,
                    again=False,
                )

    def _current(self) -> rattler.Gateway:
        if self._gateway is None:
            offline = self._settings.offline
            config = rattler.SourceConfig(
                cache_action="force-cache-only" if offline else "cache-or-fetch",
                sharded_enabled=not self._plain,
                zstd_enabled=not self._plain,
                bz2_enabled=not self._plain,
            )
            client = None if self._are_here else self._client(self._left[0])
            self._gateway = rattler.Gateway(cache_dir=self._cache, default_config=config, client=client)
        return self._gateway

    def _client(self, mirrors: dict[str, list[str]]) -> Client:
        """Rattler's default client where that will do; without a client a gateway uses no store of credentials."""
        if not (mirrors or self._own or self._headers):
            # Channels that nobody named may well be out of reach: rattler's three more tries take four seconds.
            return _plain_client()
        # A mirror gets one try; the next one is better than waiting.
        first: list[Any] = [MirrorMiddleware({**self._own, **mirrors}), RetryMiddleware(0 if mirrors else 3)]
        if self._headers:
            first.append(AddHeadersMiddleware(lambda host, _: self._headers.get(host)))
        others: list[Any] = [AuthenticationMiddleware(), OciMiddleware(), GCSMiddleware(), S3Middleware()]
        return Client([*first, *others], timeout=max(1, round(self._settings.timeout * _PATIENCE)) if mirrors else None)


@cache
def _plain_client() -> Client:
    """One for the process: each takes 12 ms for its certificates."""
    return Client.default_client(max_retries=0)


def _choices(settings: IndexSettings) -> list[dict[str, list[str]]]:
    """Prefix to mirror for each try: every prefix's first mirror, then the second ones, at last none."""
    most = max(map(len, settings.mirrors.values()), default=0)
    return [
        *(
            {p.rstrip("/"): [_over_http(ms[turn]).rstrip("/")] for p, ms in settings.mirrors.items() if len(ms) > turn}
            for turn in range(most)
        ),
        {},
    ]


def _over_http(mirror: str) -> str:
    if not mirror.startswith("file:"):
        return mirror
    from dataloader.resolve.channels.served import served

    return served(mirror)
