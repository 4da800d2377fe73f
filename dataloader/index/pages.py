"""Pages of the Simple API -> files: HTML (PEP 503, 592, 658, 714) and JSON (PEP 691, 700). No I/O.

Pages hold thousands of links and a solve reads dozens of pages, so a regular expression reads the well-formed common
case and ``html.parser`` everything else; both give the same links.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin

from dataloader.errors import IndexUnavailable
from dataloader.index.credentials import redact, without_credentials
from dataloader.index.filenames import parse_filename
from dataloader.index.model import IndexFile

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
"""The Accept header of PEP 691, JSON first."""

_ANCHOR = re.compile(r"""<a\s((?:[^<>"']|"[^"]*"|'[^']*')*)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z][\w-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_NOT_PLAIN = re.compile(r"<(?:!--|base\b|script\b|style\b|textarea\b|title\b[^<]*<[^/])", re.IGNORECASE)
_ANCHOR_START = re.compile(r"<a[\s>/]", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The usable files of a page and what was left out."""

    files: tuple[IndexFile, ...]
    skipped: tuple[str, ...] = ()
    """Filenames that are neither a wheel nor an sdist of the project."""


def parse_page(body: bytes, content_type: str, url: str, *, project: str | None, index: str) -> Page:
    """Read a page in the format that ``content_type`` names.

    Args:
        url: Where the page came from; relative links start there.
        project: Normalised name; ``None`` on a find-links page, which holds files of many projects.
        index: What ``IndexFile.index`` will say.

    Raises:
        IndexUnavailable: The page cannot be read (code ``index-bad-page``).
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/vnd.pypi.simple.v1+json" or (kind == "application/json" and body[:1] == b"{"):
        entries = _json_entries(body, url)
    elif kind in {"text/html", "application/vnd.pypi.simple.v1+html", "application/xhtml+xml", ""}:
        entries = _html_entries(_decode(body, parameters), url)
    else:
        raise _bad_page(url, f"its content type is {kind}, neither HTML nor the Simple API's JSON")
    files: list[IndexFile] = []
    skipped: list[str] = []
    for entry in entries:
        parsed = parse_filename(entry.filename, project)
        if parsed is None:
            skipped.append(entry.filename)
        else:
            files.append(_file(entry, *parsed, index))
    return Page(files=tuple(files), skipped=tuple(skipped))


@dataclass(slots=True)
class _Entry:
    """A link before its filename has been understood; the fields are those of ``IndexFile``."""

    filename: str
    url: str
    sha256: str | None
    size: int | None
    requires_python: str | None
    yanked: str | None
    upload_time: str | None
    metadata_sha256: str | None


def _file(entry: _Entry, name: str, version: str, index: str) -> IndexFile:
    return IndexFile(
        name=name,
        version=version,
        filename=entry.filename,
        url=entry.url,
        sha256=entry.sha256,
        size=entry.size,
        requires_python=entry.requires_python,
        yanked=entry.yanked is not None,
        yanked_reason=entry.yanked or "",
        upload_time=entry.upload_time,
        metadata_sha256=entry.metadata_sha256,
        index=index,
    )


# HTML


def html_links(text: str) -> tuple[str | None, list[dict[str, str]]]:
    """The page's base URL, if it has one, and the attributes of each anchor in order."""
    if _NOT_PLAIN.search(text) is None:
        anchors = _ANCHOR.findall(text)
        if len(anchors) == len(_ANCHOR_START.findall(text)):
            return None, [_attributes(anchor) for anchor in anchors]
    return slow_html_links(text)


def slow_html_links(text: str) -> tuple[str | None, list[dict[str, str]]]:
    """``html_links`` by ``html.parser``, for pages of any form."""
    parser = _Anchors()
    parser.feed(text)
    parser.close()
    return parser.base, parser.anchors


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        value = double or single or bare
        # Of a repeated attribute the first counts (HTML standard), for html.parser's callers too: see _Anchors.
        found.setdefault(name.lower(), html.unescape(value) if "&" in value else value)
    return found


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.anchors: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"a", "base"}:
            return
        attributes: dict[str, str] = {}
        for name, value in attrs:
            attributes.setdefault(name, value or "")
        if tag == "a":
            self.anchors.append(attributes)
        elif self.base is None:
            self.base = attributes.get("href")


def _html_entries(text: str, url: str) -> Iterator[_Entry]:
    if "<" not in text and text.strip():
        raise _bad_page(url, "it holds no HTML")
    base, links = html_links(text)
    base = urljoin(url, base) if base else url
    for attributes in links:
        href, _, fragment = attributes.get("href", "").strip().partition("#")
        if not href:
            continue
        link = _absolute(href, base)
        path = link.partition("?")[0]
        # The filename is the URL's last segment, as pip has it; the anchor's text only shows it.
        filename = unquote(path[path.rindex("/") + 1 :])
        if not filename:
            continue
        yield _Entry(
            filename,
            link,
            _fragment_hash(fragment),
            None,
            _one_line(attributes.get("data-requires-python")) or None,
            _one_line(attributes.get("data-yanked")),
            attributes.get("data-upload-time") or None,
            _announced(attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))),
        )


def _fragment_hash(fragment: str) -> str | None:
    for part in fragment.split("&"):
        if part.startswith("sha256=") and len(part) == 71:
            return part[7:].lower()
    return None


def _announced(value: str | None) -> str | None:
    """PEP 714: ``sha256=...``, or ``true`` without a hash."""
    if value is None or value.lower() == "false":
        return None
    return value[7:].lower() if value.startswith("sha256=") else ""


def _decode(body: bytes, parameters: str) -> str:
    charset = re.search(r"charset=\"?([\w-]+)", parameters, re.IGNORECASE)
    try:
        return body.decode(charset[1] if charset else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


# JSON


def _json_entries(body: bytes, url: str) -> Iterator[_Entry]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _bad_page(url, f"its JSON cannot be read: {error}") from error
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, list):
        raise _bad_page(url, 'its JSON has no list "files"')
    major = str(document.get("meta", {}).get("api-version", "1")).partition(".")[0]
    if major != "1":
        raise _bad_page(url, f"it speaks version {major} of the Simple API; 1 is understood (PEP 629)")
    for file in files:
        if (
            not isinstance(file, dict)
            or not isinstance(file.get("filename"), str)
            or not isinstance(file.get("url"), str)
        ):
            raise _bad_page(url, "a file has no filename or no url")
        yield _json_entry(file, url)


def _json_entry(file: Mapping[str, object], url: str) -> _Entry:
    hashes = file.get("hashes")
    size, yanked, requires = file.get("size"), file.get("yanked", False), file.get("requires-python")
    upload_time = file.get("upload-time")
    return _Entry(
        str(file["filename"]),
        _absolute(str(file["url"]).partition("#")[0], url),
        _sha256_of(hashes),
        size if isinstance(size, int) else None,
        _one_line(requires) if isinstance(requires, str) and requires else None,
        _one_line(yanked) if isinstance(yanked, str) else ("" if yanked else None),
        upload_time if isinstance(upload_time, str) else None,
        _json_announced(file.get("core-metadata", file.get("dist-info-metadata", False))),
    )


def _json_announced(value: object) -> str | None:
    if isinstance(value, Mapping):
        return _sha256_of(value) or ""
    return "" if value else None


def _sha256_of(hashes: object) -> str | None:
    value = hashes.get("sha256") if isinstance(hashes, Mapping) else None
    return value.lower() if isinstance(value, str) and len(value) == 64 else None


# both


def _absolute(href: str, base: str) -> str:
    link = href if href.startswith(("https://", "http://")) else urljoin(base, href)
    return without_credentials(link) if "@" in link else link


def _one_line(text: str | None) -> str | None:
    return None if text is None else _SPACE.sub(" ", text.strip())


def _bad_page(url: str, why: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"The page {redact(url)} cannot be read: {why}.",
        code="index-bad-page",
        suggestions=("Check that the index URL is the root of a Simple API, usually ending in /simple.",),
    )
