"""Where an index keeps the provenance of a file (PEP 740): ``provenance`` in JSON, ``data-provenance`` in HTML."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import urljoin

from dataloader.base.names import file_name_of


def provenance_link(body: bytes, content_type: str, url: str, filename: str) -> str | None:
    """Return the address that a page of a Simple API gives for the provenance of one of its files.

    >>> page = b'<a href="a-1.whl" data-provenance="https://i.example/p">a-1.whl</a>'
    >>> provenance_link(page, "text/html", "https://i.example/simple/a/", "a-1.whl")
    'https://i.example/p'
    """
    if "json" in content_type:
        try:
            files = json.loads(body)["files"]
            found = next((file.get("provenance") for file in files if file["filename"] == filename), None)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    else:
        reader = _Links(filename)
        reader.feed(body.decode("utf-8", "replace"))
        found = reader.found
    return urljoin(url, found) if isinstance(found, str) and found else None


class _Links(HTMLParser):
    def __init__(self, filename: str) -> None:
        super().__init__()
        self._filename = filename
        self.found: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "a" and file_name_of(facts.get("href") or "") == self._filename:
            self.found = facts.get("data-provenance")
