"""Where an address can be had: mirrors in order, those that failed lately last. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

_FORGIVEN_AFTER = 300.0
"""Seconds after which a mirror that failed is tried in its turn again."""


class Mirrors:
    """Maps an address to the addresses to try, and remembers which servers are bad."""

    def __init__(self, mirrors: Mapping[str, tuple[str, ...]], clock: Callable[[], float] = time.monotonic) -> None:
        # The longest prefix decides, so that a part of a server may have mirrors of its own.
        self._mirrors = sorted(mirrors.items(), key=lambda pair: -len(pair[0]))
        self._clock = clock
        self._bad: dict[str, float] = {}

    def addresses(self, url: str) -> list[str]:
        """Addresses of ``url``: its mirrors in their order, then itself; the bad ones after the good."""
        found = [url]
        for prefix, mirrors in self._mirrors:
            if _is_below(url, prefix):
                rest = url[len(prefix.rstrip("/")) :]
                found = [*(mirror.rstrip("/") + rest for mirror in mirrors), url]
                break
        return sorted(dict.fromkeys(found), key=self._is_bad)

    def canonical(self, url: str, asked: str) -> str:
        """The address that ``url``, at a mirror, stands for; itself if it is at none.

        Args:
            asked: The address that led there: one server may be the mirror of several.
        """
        for prefix, mirrors in sorted(self._mirrors, key=lambda pair: not _is_below(asked, pair[0])):
            for mirror in mirrors:
                if _is_below(url, mirror):
                    return prefix.rstrip("/") + url[len(mirror.rstrip("/")) :]
        return url

    def blame(self, address: str) -> None:
        """``address`` failed: its server comes last for a while."""
        self._bad[self._server(address)] = self._clock()

    def trust(self, address: str) -> None:
        """``address`` served well."""
        self._bad.pop(self._server(address), None)

    def _is_bad(self, address: str) -> bool:
        since = self._bad.get(self._server(address))
        return since is not None and self._clock() - since < _FORGIVEN_AFTER

    def _server(self, address: str) -> str:
        """The mirror that the address is below, else its host: two mirrors may share a host."""
        for _, mirrors in self._mirrors:
            for mirror in mirrors:
                if _is_below(address, mirror):
                    return mirror
        return "/".join(address.split("/", 3)[:3])


def _is_below(url: str, prefix: str) -> bool:
    prefix = prefix.rstrip("/")
    return url.startswith(prefix) and url[len(prefix) : len(prefix) + 1] in {"", "/"}
