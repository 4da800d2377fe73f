"""Who we are to an index: from its URL, the environment, netrc, or the keyring package. Never shown."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from dataloader.base.errors import UsageError
from dataloader.base.redaction import redact_tokens
from dataloader.base.reporter import Reporter

if TYPE_CHECKING:
    from netrc import netrc


def redact(url: str) -> str:
    """The URL as it may be shown: no password, no token, no query.

    >>> redact("https://user:secret@example.org/simple/?token=abc")
    'https://user:****@example.org/simple/?****'
    >>> redact("https://token@example.org/simple")
    'https://****@example.org/simple'
    >>> redact("ssh://git@example.org/a.git")
    'ssh://git@example.org/a.git'
    """
    if "@" not in url and "?" not in url:
        return redact_tokens(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a URL that cannot be read)"
    user_info, at, host = parts.netloc.rpartition("@")
    user, colon, _ = user_info.partition(":")
    is_service = parts.scheme.endswith("ssh") and user and not colon  # whom ssh asks for is no secret
    shown = (user if is_service else f"{user}:****" if colon and user else "****") if at else ""
    path = redact_tokens(parts.path)
    return urlunsplit((parts.scheme, f"{shown}{at}{host}", path, "****" if parts.query else "", ""))


def without_credentials(url: str) -> str:
    """The URL as it may be stored and locked: the user and password part taken out.

    >>> without_credentials("https://user:secret@example.org/a.whl")
    'https://example.org/a.whl'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def public_channel(url: str) -> str:
    """The address of a conda channel, or of a file of one, as it may be locked: no user, no password, no token.

    >>> public_channel("https://me:secret@conda.example.org/t/tk-123/inner/linux-64/part-1-0.conda")
    'https://conda.example.org/inner/linux-64/part-1-0.conda'
    """
    return re.sub(r"^(\w+://[^/]*)/t/[^/]+(?=/)", r"\1", without_credentials(url))


def url_fault(location: str) -> str | None:
    """Say why an address could never be asked; ``None`` where it could, and for what is not http's.

    >>> url_fault("https://example.org:8080/simple"), url_fault("http://localhost:99999/simple")
    (None, 'Port out of range 0-65535')
    """
    if "://" not in location:
        return None
    try:
        parts = urlsplit(location)
        if parts.scheme not in {"http", "https"}:
            return None
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    return None if host else "it names no host"


def check_asked(location: str) -> None:
    """Refuse an address that could never be asked, whatever it is of.

    Raises:
        UsageError: code ``index-bad-url``.
    """
    if why := url_fault(location):
        raise _bad_url(location, why)


def check_url(location: str) -> None:
    """Refuse a configured address that could never be fetched; paths of this machine pass.

    Raises:
        UsageError: It is malformed, has no host, or a scheme other than http, https and file (code ``index-bad-url``).
    """
    if "://" not in location or location.startswith("file:"):
        return
    check_asked(location)
    parts = urlsplit(location)
    if parts.scheme not in {"http", "https"}:
        why = "its scheme is none of http, https and file" if parts.hostname else "it names no host"
        raise _bad_url(location, why)


def _bad_url(location: str, why: str) -> UsageError:
    return UsageError(f"{redact(location)} is no address that can be asked: {why}", code="index-bad-url")


class Credentials:
    """Finds the Authorization header for a URL.

    Order, as pip has it: the URLs that were configured (the longest that the asked URL starts with, then any of the
    same host), ``DATALOADER_INDEX_USERNAME`` and ``_PASSWORD`` for the main index's host, netrc (``NETRC`` or
    ``~/.netrc``); and the keyring package, if installed, after a server said 401.
    """

    def __init__(self, urls: Iterable[str], environ: Mapping[str, str], reporter: Reporter) -> None:
        self._environ = environ
        self._reporter = reporter
        self._by_prefix: dict[str, tuple[str, str]] = {}
        self._from_keyring: dict[str, tuple[str, str] | None] = {}
        self._netrc: netrc | None = None
        self._netrc_read = False
        for position, url in enumerate(urls):
            self.remember(url)
            user = environ.get("DATALOADER_INDEX_USERNAME", "")
            password = environ.get("DATALOADER_INDEX_PASSWORD", "")
            if position == 0 and (user or password):
                self._by_prefix.setdefault(_origin(url) + "/", (user, password))

    def remember(self, url: str) -> None:
        """Take the user and password of a URL, if it has them, for all that lies below it and on its host."""
        parts = urlsplit(url)
        if "@" not in parts.netloc:
            return
        found = (unquote(parts.username or ""), unquote(parts.password or ""))
        self._by_prefix[without_credentials(url)] = found
        self._by_prefix.setdefault(_origin(url) + "/", found)

    def header(self, url: str) -> str | None:
        """The value of Authorization for ``url``, or None when no credentials are known."""
        fitting = [prefix for prefix in self._by_prefix if url.startswith(prefix)]
        if fitting:
            return _basic(*self._by_prefix[max(fitting, key=len)])
        known = self._from_keyring.get(_origin(url)) or self._netrc_login(urlsplit(url).hostname or "")
        return None if known is None else _basic(*known)

    def ask_keyring(self, url: str) -> str | None:
        """What the keyring package holds for the host, as a header; blocking. None without one, or if asked before."""
        origin = _origin(url)
        if origin in self._from_keyring:
            return None
        self._from_keyring[origin] = None
        try:
            keyring = importlib.import_module("keyring")
        except ImportError:
            return None
        try:
            found = keyring.get_credential(origin, None) or keyring.get_credential(urlsplit(url).netloc, None)
        except keyring.errors.KeyringError as error:
            self._reporter.debug(f"The keyring could not be asked about {origin}: {type(error).__name__}.")
            return None
        if found is None:
            return None
        self._from_keyring[origin] = (found.username, found.password)
        return _basic(found.username, found.password)

    def places(self) -> str:
        """Where credentials are looked for, to be said when they are missing or wrong."""
        return (
            "the index URL (https://USER:PASSWORD@HOST/...), DATALOADER_INDEX_USERNAME and DATALOADER_INDEX_PASSWORD, "
            f"netrc ({self._netrc_path() or 'no file'}), and the keyring package if installed"
        )

    def advice(self, host: str) -> str:
        """What to do where they are missing or wrong."""
        return f"Add a line 'machine {host} login USER password PASSWORD' to netrc."

    def _netrc_path(self) -> Path | None:
        if chosen := self._environ.get("NETRC"):
            return Path(chosen)
        home = self._environ.get("HOME")
        return Path(home) / ".netrc" if home else None

    def _netrc_login(self, host: str) -> tuple[str, str] | None:
        if not self._netrc_read:
            import netrc

            path = self._netrc_path()
            try:
                self._netrc = netrc.netrc(str(path)) if path and path.is_file() else None
            except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
                self._reporter.warn(f"{path} cannot be read and is not used: {getattr(error, 'msg', error)}")
            self._netrc_read = True  # last: another thread that sees it must find what was read
        found = self._netrc.authenticators(host) if self._netrc else None
        return None if found is None else (found[0] or "", found[2] or "")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _basic(user: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
