"""What can go wrong with one address, told from httpx's exceptions and from statuses, and what to say of all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dataloader.base.errors import DataloaderError, IndexUnavailable, IntegrityError, UsageError
from dataloader.index.web.credentials import Credentials, check_asked, redact

if TYPE_CHECKING:
    import httpx

    from dataloader.index.web.transport import Answered


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


def offline_missing(what: str) -> IndexUnavailable:
    """What to raise where the network must not be asked for what the cache lacks."""
    return IndexUnavailable(
        f"offline, and {what}",
        code="offline-missing",
        suggestions=("run the command once without --offline",),
    )


@contextmanager
def translated(address: str, timeout: float) -> Iterator[None]:
    """Turn httpx's exceptions into ``Failed``."""
    try:
        check_asked(address)
    except UsageError as error:
        raise Failed(error, retry=False) from error
    try:
        yield
    except (Failed, DataloaderError):
        raise
    except Exception as error:
        failed = _of_httpx(address, error, timeout)  # imports httpx, of which what goes well needs nothing
        if failed is None:
            raise
        raise failed from error


def _of_httpx(address: str, error: Exception, timeout: float) -> Failed | None:
    import httpx

    where = redact(address)
    match error:
        case httpx.TooManyRedirects():
            return Failed(IndexUnavailable(f"{where} redirects in a circle", code="redirect-loop"), retry=False)
        case httpx.InvalidURL():
            return Failed(UsageError(f"{where} cannot be fetched: {error}", code="index-bad-url"), retry=False)
        case httpx.UnsupportedProtocol():
            message = f"{where} is no address that can be fetched: http, https and file are"
            return Failed(UsageError(message, code="index-bad-url"), retry=False)
        case httpx.RequestError():
            return _unreachable(address, error, timeout)
    return None


def check_status(response: Answered, address: str, credentials: Credentials) -> None:
    """Pass 2xx, 3xx and 416; raise ``Failed`` for the rest."""
    status = response.status_code
    if status < 400 or status == 416:
        return
    if status in {404, 410}:
        error = IndexUnavailable(f"{redact(address)} does not exist", code="index-unreachable")
        raise Failed(error, retry=False, missing=True)
    if status in {401, 403, 407}:
        raise Failed(_auth_error(address, status, credentials), retry=False)
    message = f"{host_of(address)} answered {status} {response.reason_phrase} for {redact(address)}"
    retry_after = _retry_after(response.headers.get("Retry-After"))
    retry = status in _TRY_AGAIN and (retry_after or 0) <= _LONGEST_WAIT
    causes = (f"it asks to wait {retry_after:.0f} s",) if retry_after else ()
    error = IndexUnavailable(message, code="index-unreachable", causes=causes)
    raise Failed(error, retry=retry, retry_after=retry_after)


def check_sha256(body: bytes, sha256: str, address: str) -> None:
    """Raise ``Failed`` for a body that is another one than was promised."""
    import hashlib

    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        causes = (f"expected sha256 {sha256}", f"received sha256 {found}, {len(body)} bytes")
        message = f"{redact(address)} is not the file that was promised"
        raise Failed(IntegrityError(message, code="hash-mismatch", causes=causes), retry=False)


def combined(url: str, failures: list[Failed]) -> Exception:
    """What to raise when every address failed: integrity if that was all, else what may pass; with all causes."""
    if all(failure.missing for failure in failures):
        return NotFound(url)
    telling = [failure for failure in failures if not failure.missing]
    passing = [failure for failure in telling if failure.retry]
    chosen = (passing or [f for f in telling if not isinstance(f.error, IntegrityError)] or telling)[0].error
    if len(telling) > 1:
        chosen.causes = (*chosen.causes, *(f.error.message for f in failures if f.error is not chosen))
    return chosen


def host_of(address: str) -> str:
    """The host to name in a message."""
    return urlsplit(address).hostname or redact(address)


def _auth_error(address: str, status: int, credentials: Credentials) -> UsageError:
    host = host_of(address)
    known = credentials.header(address) is not None
    said = "does not accept the credentials given for" if known else "wants credentials for"
    kind = Forbidden if status == 403 and not known else UsageError
    return kind(
        f"{host} {said} {redact(address)} ({status}).",
        code="index-auth",
        causes=(f"credentials are looked for in {credentials.places()}",),
        suggestions=(credentials.advice(host),),
    )


def _unreachable(address: str, error: httpx.RequestError, timeout: float) -> Failed:
    import httpx

    host = host_of(address)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        message = f"the certificate of {host} is not trusted: {error}"
        advice = "name the file of your authority's certificates in SSL_CERT_FILE, or in DATALOADER_CERT"
        return Failed(IndexUnavailable(message, code="index-unreachable", suggestions=(advice,)), retry=False)
    why = str(error) or type(error).__name__
    if isinstance(error, httpx.ReadTimeout):
        why = f"no byte came for {timeout:g} s"
    message = f"{host} could not be reached for {redact(address)}: {why}"
    advice = "check the network, the proxy variables and the index URL, then try again"
    return Failed(IndexUnavailable(message, code="index-unreachable", suggestions=(advice,)), retry=True)


def _retry_after(value: str | None) -> float | None:
    """Seconds (RFC 9110, section 10.2.3: a number, or a date)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    import email.utils

    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
