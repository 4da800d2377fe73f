"""What the network edge remembers on disk: parsed pages (revalidated) and METADATA (for ever, by the wheel's hash).

An entry is one file: a JSON line, then the rest. A damaged entry is no entry; a cache that cannot be written is no
error.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dataloader.base.files import keep_file
from dataloader.base.reporter import Reporter
from dataloader.base.sealed import unseal
from dataloader.base.values import dataclass
from dataloader.index.model import IndexFile, WheelMetadata

_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPage:
    """A page as it was when last fetched or confirmed."""

    files: tuple[IndexFile, ...]
    age: float
    """Seconds since it was fetched or confirmed."""
    max_age: float | None = None
    """Seconds that the server allows (Cache-Control), where it said."""
    etag: str | None = None
    last_modified: str | None = None
    found: bool = True
    """False when the index had no such project."""


class IndexStore:
    """Files below ``root``, which is made when first written to."""

    def __init__(self, root: Path, reporter: Reporter) -> None:
        self._root = root
        self._reporter = reporter
        self._writable = True

    # pages

    def load_page(self, url: str) -> StoredPage | None:
        path = self._page_path(url)
        entry = _read(path)
        if entry is None:
            return None
        head, body, modified = entry
        files = tuple(_parse_rows(body, str(head.get("index", ""))))
        max_age = head.get("max_age")
        return StoredPage(
            files=files,
            age=max(0.0, time.time() - modified),
            max_age=float(max_age) if isinstance(max_age, (int, float)) else None,
            etag=_text(head, "etag"),
            last_modified=_text(head, "last_modified"),
            found=bool(head.get("found", True)),
        )

    def save_page(self, url: str, page: StoredPage) -> None:
        head = {
            "index": page.files[0].index if page.files else "",
            "max_age": page.max_age,
            "etag": page.etag,
            "last_modified": page.last_modified,
            "found": page.found,
        }
        self._write(self._page_path(url), head, "\n".join(map(_row, page.files)).encode())

    def confirm_page(self, url: str) -> None:
        """The server says that the page is as it was."""
        with suppress(OSError):
            os.utime(self._page_path(url))

    # metadata

    def load_metadata(self, key: str) -> WheelMetadata | None:
        entry = _read(self._metadata_path(key))
        if entry is None:
            return None
        try:
            facts = json.loads(entry[1])
            return WheelMetadata(
                name=facts["name"],
                version=facts["version"],
                requires_dist=tuple(facts["requires_dist"]),
                requires_python=facts["requires_python"],
                extras=tuple(facts["extras"]),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def save_metadata(self, key: str, metadata: WheelMetadata) -> None:
        facts = {name: getattr(metadata, name) for name in WheelMetadata.__slots__}
        self._write(self._metadata_path(key), {}, json.dumps(facts, ensure_ascii=False).encode())

    # provenance (PEP 740) by the wheel's hash, sidecars (CEP 50) by their own

    def load_provenance(self, sha256: str) -> bytes | None:
        entry = _read(self._root / "provenance" / sha256)
        return None if entry is None else entry[1]

    def save_provenance(self, sha256: str, document: bytes) -> None:
        self._write(self._root / "provenance" / sha256, {}, document)

    # what describes the variants of a release, by its own address and hash

    def load_variants(self, key: str) -> bytes | None:
        entry = _read(self._root / "variants" / _hash(key))
        return None if entry is None else entry[1]

    def save_variants(self, key: str, document: bytes) -> None:
        self._write(self._root / "variants" / _hash(key), {}, document)

    # digests of files whose index gave none

    def load_digest(self, key: str) -> str | None:
        entry = _read(self._root / "digests" / _hash(key))
        return None if entry is None else entry[1].decode("ascii", "replace")

    def save_digest(self, key: str, digest: str) -> None:
        self._write(self._root / "digests" / _hash(key), {}, digest.encode())

    def kept_file(self, key: str) -> Path:
        """Where a whole file is kept that had to be downloaded before it was to be installed."""
        return self._root / "files" / _hash(key)

    def _page_path(self, url: str) -> Path:
        return self._root / "pages" / _hash(url)

    def _metadata_path(self, key: str) -> Path:
        name = _hash(key)
        return self._root / "metadata" / name[:2] / name

    def _write(self, path: Path, head: Mapping[str, object], body: bytes) -> None:
        if not self._writable:
            return
        line = json.dumps({**head, "version": _VERSION})
        error = keep_file(path, line.encode() + b"\n" + body)
        if error is not None:
            self._writable = False
            self._reporter.debug(
                f"The index cache {self._root} cannot be written ({error.strerror}); going on without."
            )


def _read(path: Path) -> tuple[dict[str, object], bytes, float] | None:
    """Head, body and time of the last confirmation of an entry that is whole; None otherwise."""
    try:
        with path.open("rb") as file:
            line, _, body = unseal(file.read()).partition(b"\n")
            modified = os.fstat(file.fileno()).st_mtime
        head = json.loads(line)
    except (OSError, ValueError):
        return None
    if not isinstance(head, dict) or head.get("version") != _VERSION:
        return None
    return head, body, modified


def _row(file: IndexFile) -> str:
    """One line of a page, columns parted by tabs; filenames and URLs hold no white space."""
    return "\t".join(
        (
            file.name,
            file.version,
            file.filename,
            file.url,
            file.sha256 or "",
            "" if file.size is None else str(file.size),
            file.requires_python or "",
            f"y{file.yanked_reason}" if file.yanked else "",
            file.upload_time or "",
            "-" if file.metadata_sha256 is None else file.metadata_sha256,
            file.variants,
        )
    )


def _parse_rows(body: bytes, index: str) -> Iterable[IndexFile]:
    for line in body.decode().split("\n") if body else ():
        row = line.split("\t")
        name, version, filename, url, sha256, size, requires_python, yanked, upload_time, metadata, variants = row
        yield IndexFile(
            name,
            version,
            filename,
            url,
            sha256 or None,
            int(size) if size else None,
            requires_python or None,
            bool(yanked),
            yanked[1:],
            upload_time or None,
            None if metadata == "-" else metadata,
            index,
            variants,
        )


def _text(head: Mapping[str, object], key: str) -> str | None:
    value = head.get(key)
    return value if isinstance(value, str) else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]
