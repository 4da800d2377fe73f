"""One registry, by the OCI distribution specification: blobs and manifests there and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, final
from urllib.parse import urljoin

from dataloader.base.errors import IndexUnavailable, IntegrityError, UsageError
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.index.settings import IndexSettings
from dataloader.index.web.download import Throttle, Wanted, download
from dataloader.index.web.failures import Failed, NotFound
from dataloader.index.web.http import Web
from dataloader.index.web.part import Sink
from dataloader.oci.auth import RegistryCredentials
from dataloader.oci.model import ACCEPT, MOST_BYTES, Descriptor, digest_of
from dataloader.oci.reference import Reference

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_PATIENCE = 300.0
"""Seconds that a registry may take over a blob that has arrived: it copies and hashes it."""
_AT_ONCE = 4
"""Uploads."""


@final
class Registry:
    """Speaks to the registries of the references it is made for; use with ``async with``."""

    def __init__(self, settings: IndexSettings, reporter: Reporter, wanted: Iterable[tuple[Reference, str]]) -> None:
        """``wanted`` are repositories, and what is done to each: ``pull``, or ``pull,push``."""
        self._settings, self._reporter = settings, reporter
        self._credentials = RegistryCredentials(settings, reporter, wanted)
        self._web = Web(settings, self._credentials, reporter)
        self._throttle = Throttle(settings.limit_rate)
        self._slots = asyncio.Semaphore(settings.downloads)
        self._is_over = False
        self.uploads = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._credentials.close()
        await self._web.__aexit__(kind, error, trace)

    async def manifest(self, reference: Reference, *, absent_is: bytes | None = None) -> bytes:
        """A manifest's bytes, which fit the digest that the reference or the registry names.

        Args:
            absent_is: What to return where there is none; else that is an error.

        Raises:
            UsageError: there is no such image (``image-missing``), or the registry wants a login (``index-auth``).
            IndexUnavailable: the registry does not answer, or not with what it should.
            IntegrityError: it serves other bytes than those of the digest.
        """
        url = f"{reference.base}/manifests/{reference.named}"
        sha256 = reference.digest.partition(":")[2] if reference.digest else None
        try:
            answer = await self._web.get(url, {"Accept": ACCEPT}, limit=MOST_BYTES + 1, sha256=sha256)
        except NotFound as error:
            if absent_is is not None:
                return absent_is
            raise UsageError(
                f"there is no image {reference}",
                code="image-missing",
                suggestions=("look for a slip in its name",),
            ) from error
        said = answer.headers.get("Docker-Content-Digest")
        if len(answer.body) > MOST_BYTES or (said and said.startswith("sha256:") and said != digest_of(answer.body)):
            raise IntegrityError(
                f"{reference.host} does not serve the manifest of {reference} that it says it does",
                code="hash-mismatch",
                causes=(f"it names {said}", f"received {digest_of(answer.body)}, {len(answer.body)} bytes"),
            )
        return answer.body

    async def small_blob(self, reference: Reference, blob: Descriptor) -> bytes:
        """The bytes of a blob that is a document; raises what ``manifest`` raises."""
        address = f"{reference.base}/blobs/{blob.digest}"
        try:
            return (await self._web.get(address, {}, limit=blob.size + 1, sha256=blob.hexadecimal)).body
        except NotFound as error:
            raise _incomplete(reference, blob) from error

    async def fetch(self, reference: Reference, blob: Descriptor, destination: Path, sink: Sink | None = None) -> None:
        """Bring a blob to a file, or to a sink as it comes; checked by its hash, resumed.

        Raises:
            IndexUnavailable, IntegrityError, DiskFull, UsageError: as ``index.download`` has it.
        """
        wanted = Wanted(
            url=f"{reference.base}/blobs/{blob.digest}",
            sha256=blob.hexadecimal,
            size=blob.size,
            destination=destination,
            task=f"layer {blob.hexadecimal[:12]}",
            advice=f"The image is incomplete in this registry: push {reference} again.",
        )
        async with self._slots:
            await download(self._web, wanted, self._throttle, self._reporter, sink)

    def has(self, reference: Reference, digest: str) -> bool:
        """Whether the repository has a blob; blocking, as all below."""

        def ask() -> bool:
            address = f"{reference.base}/blobs/{digest}"
            response = self._web.send("HEAD", address, {})
            if response.status_code == 404:
                return False
            self._web.check(response, address)
            return True

        return self._patiently(ask)

    def mount(self, reference: Reference, digest: str, source: Reference) -> bool:
        """Let the repository have a blob that another one of the same registry has; False where it will not."""

        def ask() -> bool:
            address = f"{reference.base}/blobs/uploads/?mount={digest}&from={source.repository}"
            response = self._web.send("POST", address, {"Content-Length": "0"})
            return response.status_code == 201

        return source.origin == reference.origin and self._patiently(ask)

    def send(self, reference: Reference, blob: Descriptor, content: bytes | Path) -> int:
        """Bring a blob to the repository, unless it has it; bytes that were sent. Raises what ``upload`` raises."""
        if self.has(reference, blob.digest):
            return 0
        self.upload(reference, blob, content)
        return blob.size

    def upload(self, reference: Reference, blob: Descriptor, content: bytes | Path) -> None:
        """Bring a blob, or the file that holds it, to the repository.

        Raises:
            UsageError: the registry wants a login that may write (``index-auth``).
            IndexUnavailable: it does not take the blob (``upload-refused``), or does not answer.
        """

        def attempt() -> None:
            begin = f"{reference.base}/blobs/uploads/"
            response = self._web.send("POST", begin, {"Content-Length": "0"})
            self._accepted(response, begin)
            location = urljoin(begin, response.headers.get("Location", ""))
            address = f"{location}{'&' if '?' in location else '?'}digest={blob.digest}"
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
            done = self._web.send("PUT", address, headers, content, patience=_PATIENCE)
            self._accepted(done, address)

        self._patiently(attempt)

    def put_manifest(self, reference: Reference, name: str, data: bytes, media_type: str) -> httpx.Headers:
        """Give the repository a manifest under a tag or its digest; the headers of the answer."""

        def attempt() -> httpx.Headers:
            address = f"{reference.base}/manifests/{name}"
            response = self._web.send("PUT", address, {"Content-Type": media_type}, data, patience=_PATIENCE)
            self._accepted(response, address)
            said = response.headers.get("Docker-Content-Digest", "")
            if said.startswith("sha256:") and said != digest_of(data):
                raise IntegrityError(
                    f"{reference.host} has taken another manifest than was sent",
                    code="hash-mismatch",
                    causes=(f"sent {digest_of(data)}", f"it says {said}"),
                )
            return response.headers

        return self._patiently(attempt)

    def _accepted(self, response: httpx.Response, address: str) -> None:
        """Raise ``Failed`` for a request that was not done, with what the registry says."""
        if response.status_code in {400, 403, 404, 405, 411, 413, 415, 507} or 300 <= response.status_code < 400:
            said = redact(response.text[:300].strip())
            error = IndexUnavailable(
                f"the registry does not take it: {response.status_code} {response.reason_phrase} for {redact(address)}",
                code="upload-refused",
                causes=(said,) if said else (),
                suggestions=("look whether the repository exists, may be written, and has room",),
            )
            raise Failed(error, retry=response.status_code == 400)  # bytes may have been damaged on their way
        self._web.check(response, address)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try again what may succeed, as often as the settings say; not where another part has failed for good."""
        for turn in range(self._settings.retries + 1):
            try:
                return attempt()
            except Failed as failure:
                if not failure.retry or turn == self._settings.retries or self._is_over:
                    raise failure.error from failure
                pause = max(self._settings.backoff * 2.0**turn, failure.retry_after or 0.0)
                self._reporter.event("retry", address="registry", turn=turn + 1, pause_seconds=round(pause, 3))
                time.sleep(pause)
        raise AssertionError("the last turn returns or raises")


def _incomplete(reference: Reference, blob: Descriptor) -> IndexUnavailable:
    return IndexUnavailable(
        f"{reference.host} has the image {reference}, and not its part {blob.digest}",
        code="index-unreachable",
        suggestions=("the image is incomplete in this registry: push it again",),
    )
