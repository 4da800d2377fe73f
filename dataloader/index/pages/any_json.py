"""Files of a JSON page of any form, by ``json``; most pages are plainer (``dataloader.index.pages.plain_json``)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dataloader.index.pages.plain_json import File, Hashes


class BadPageError(Exception):
    """The page cannot be read; the message says why."""


def slow_files(body: bytes) -> Iterator[File]:
    """Yield the files of a page; what has another type than it should have counts as not said.

    Raises:
        BadPageError: It is no page of version 1 of the Simple API.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadPageError(f"its JSON cannot be read: {error}") from error
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, list):
        raise BadPageError('its JSON has no list "files"')
    meta = document.get("meta")
    major = str(meta.get("api-version", "1") if isinstance(meta, dict) else "1").partition(".")[0]
    if major != "1":
        raise BadPageError(f"it speaks version {major} of the Simple API; 1 is understood (PEP 629)")
    for file in files:
        if not isinstance(file, dict):
            raise BadPageError("a file is no object")
        filename, link = file.get("filename"), file.get("url")
        if not isinstance(filename, str) or not isinstance(link, str):
            raise BadPageError("a file has no filename or no url")
        size, yanked = file.get("size"), file.get("yanked", False)
        yield File(
            filename=filename,
            url=link,
            hashes=_hashes(file.get("hashes")),
            size=size if isinstance(size, int) else None,
            requires_python=_string(file.get("requires-python")),
            yanked=yanked if isinstance(yanked, str) else bool(yanked),
            upload_time=_string(file.get("upload-time")),
            core_metadata=_announced(file.get("core-metadata", file.get("dist-info-metadata"))),
        )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _announced(value: object) -> Hashes | bool:
    return _hashes(value) or Hashes() if isinstance(value, dict) else bool(value)


def _hashes(hashes: object) -> Hashes | None:
    return Hashes(_string(hashes.get("sha256"))) if isinstance(hashes, dict) else None
