"""Flags, environment, manifest and pip's settings -> frozen settings of the network edge, each with its origin.

Precedence, key by key: flag, ``DATALOADER_*``, manifest, ``PIP_*``, pip's configuration files, default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TypeVar

from dataloader.base.errors import UsageError
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.index.pip_config import pip_environment, read_pip_files
from dataloader.index.system import System
from dataloader.index.web.credentials import redact

DEFAULT_INDEX = "https://pypi.org/simple"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """How package indexes are asked. URLs may hold credentials, so they stay out of ``repr``."""

    index_url: str | None = field(default=DEFAULT_INDEX, repr=False)
    """None: no index at all (``--no-index``), find-links alone."""
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    """Pages, directories, or wheels themselves: URLs or paths."""
    index_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Normalised project to the only indexes that are asked for it."""
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """URL prefix to what takes its place, most preferred first; the address itself comes last."""
    cert: str | None = None
    """File with the certificates of trusted authorities (PEM)."""
    client_cert: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    """Hosts (or host:port) whose certificates are not checked."""
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 15.0
    """Seconds without a byte before a server counts as stalled."""
    retries: int = 4
    """Further rounds through an address and its mirrors."""
    backoff: float = 0.5
    """Seconds before the first retry; doubled each time, with jitter."""
    concurrency: int = 50
    """Requests at once, besides downloads."""
    downloads: int = 8
    """Downloads at once."""
    limit_rate: int | None = None
    """Bytes per second of all downloads together."""
    freshness: float = 600.0
    """Seconds that a cached page is used unasked when its server does not say."""
    attestations: Mapping[str, str] = field(default_factory=dict)
    """Normalised project (or ``*``) to who must have published it (``dataloader.index.publishers``)."""
    trusted_root: str | None = None
    """File with sigstore's trust anchors; else those that the sigstore package ships."""
    strict_records: bool = False
    """Refuse packages that differ from their own records."""
    offline: bool = False
    refresh: bool = False
    """Ask for every page again, whatever is cached."""
    system: System | None = None
    """The kind of machine that wheels are wanted for: of other systems' wheels one of a release is kept."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that credentials, proxies and certificates are looked up in."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value came from, for those that are not defaults: ``{"index_url": "PIP_INDEX_URL"}``."""


def index_settings(
    flags: Mapping[str, object],
    manifest: Mapping[str, object],
    environ: Mapping[str, str],
    reporter: Reporter | None = None,
) -> IndexSettings:
    """Settings from all sources.

    Args:
        flags: By field name (``extra_index_url`` for ``extra_index_urls`` too); None, ``()`` and False mean not said.
        manifest: The same.
        environ: The process's environment, or a test's.

    Raises:
        UsageError: A value cannot be read; the message names where it came from (code ``setting-invalid``).
    """
    sources = _Sources(flags, manifest, environ, reporter or Reporter())
    no_index = sources.get("no_index", _flag, False)
    index_url = sources.get("index_url", _one, DEFAULT_INDEX)
    return IndexSettings(
        index_url=None if no_index else index_url,
        extra_index_urls=() if no_index else sources.get("extra_index_urls", _many, ()),
        find_links=sources.get("find_links", _many, ()),
        mirrors=sources.get("mirrors", _mirrors, {}),
        cert=sources.get("cert", _one, None),
        client_cert=sources.get("client_cert", _one, None),
        trusted_hosts=sources.get("trusted_hosts", _many, ()),
        proxy=sources.get("proxy", _one, None),
        timeout=sources.get("timeout", _seconds, 15.0),
        retries=sources.get("retries", _count, 4),
        limit_rate=sources.get("limit_rate", parse_rate, None),
        attestations={
            **_policy(manifest.get("attestations")),
            **sources.get("attestations", _policy, {}),
        },
        trusted_root=sources.get("trusted_root", _one, None),
        strict_records=sources.get("strict_records", _flag, False),
        offline=sources.get("offline", _flag, False),
        refresh=sources.get("refresh", _flag, False),
        environ=dict(environ),
        origins=dict(sources.origins),
    )


def parse_rate(text: object) -> int:
    """Bytes per second from a number with an optional unit, as curl has it (1k is 1024).

    >>> parse_rate("10M"), parse_rate("500")
    (10485760, 500)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?(?:/s)?", str(text).strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ValueError("a rate is a number of bytes a second, such as 500k or 10M")
    return max(1, int(float(match[1]) * 1024 ** " kmg".index(match[2] or " ")))


_ALSO = {
    "extra_index_urls": "extra_index_url",
    "trusted_hosts": "trusted_host",
    "mirrors": "mirror",
    "attestations": "require_attestation",
}
"""Field to the other name it goes by: in flags, in variables, and in pip's files."""


class _Sources:
    def __init__(
        self,
        flags: Mapping[str, object],
        manifest: Mapping[str, object],
        environ: Mapping[str, str],
        reporter: Reporter,
    ) -> None:
        self.origins: dict[str, str] = {}
        self._flags = flags
        self._manifest = manifest
        self._environ = environ
        self._pip_variables = pip_environment(environ)
        self._pip_files = read_pip_files(environ, reporter)

    def get(self, name: str, read: Callable[[object], T], default: T) -> T:
        for origin, value in self._said(name):
            if value is None or value in ((), [], {}, "", False):
                continue
            self.origins[name] = origin
            try:
                return read(value)
            except ValueError as error:
                said = value if isinstance(value, str) or not isinstance(value, Iterable) else " ".join(map(str, value))
                raise UsageError(
                    f"{origin} cannot be read: {redact(str(said))!r}: {error}", code="setting-invalid"
                ) from error
        return default

    def _said(self, name: str) -> Iterable[tuple[str, object]]:
        single = _ALSO.get(name, name)
        option = single.replace("_", "-")
        variable = single.upper()
        yield f"--{option}", self._flags.get(name) or self._flags.get(single)
        yield f"DATALOADER_{variable}", self._environ.get(f"DATALOADER_{variable}")
        yield f"{option} in the manifest", self._manifest.get(name) or self._manifest.get(single)
        yield f"PIP_{variable}", self._pip_variables.get(option)
        yield f"{option} in pip's configuration", self._pip_files.get(option)


def _one(value: object) -> str:
    return str(value).strip()


def _many(value: object) -> tuple[str, ...]:
    """A sequence, or text parted by white space as pip has it."""
    items = value.split() if isinstance(value, str) else value
    if not isinstance(items, Iterable):
        raise ValueError("a list is expected")  # noqa: TRY004 - becomes a UsageError
    return tuple(dict.fromkeys(str(value) for value in items))


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not 0 < seconds < math.inf:
        raise ValueError("a number of seconds above 0 is expected")
    return seconds


def _count(value: object) -> int:
    count = int(str(value))
    if count < 0:
        raise ValueError("a number not below 0 is expected")
    return count


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"1", "true", "yes", "on", "y", "t"}:
        return True
    if text in {"0", "false", "no", "off", "n", "f"}:
        return False
    raise ValueError("yes or no is expected")


def _policy(value: object) -> Mapping[str, str]:
    if not value:
        return {}
    from dataloader.index.publishers import read_policy

    return read_policy(value)


def _mirrors(value: object) -> Mapping[str, tuple[str, ...]]:
    """``{prefix: mirrors}``, or items ``PREFIX=MIRROR``."""
    if isinstance(value, Mapping):
        return {str(prefix): _many(mirrors) for prefix, mirrors in value.items()}
    found: dict[str, tuple[str, ...]] = {}
    for text in _many(value):
        prefix, equals, mirror = text.partition("=")
        if not equals or "://" not in prefix or "://" not in mirror:
            raise ValueError("a mirror is written PREFIX=URL, both with their scheme")
        found[prefix] = (*found.get(prefix, ()), mirror)
    return found
