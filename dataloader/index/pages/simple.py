"""Pages of the Simple API -> files: HTML (PEP 503, 592, 658, 714) and JSON (PEP 691, 700). No I/O.

Pages hold thousands of links and a solve reads dozens of pages, so a regular expression reads the well-formed common
case and ``html.parser`` everything else; both give the same links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

from dataloader.base.errors import IndexUnavailable
from dataloader.base.values import dataclass
from dataloader.index.filenames import described_release, parse_listed, without_variant
from dataloader.index.model import IndexFile
from dataloader.index.pages.links import Link, fragment_hash
from dataloader.index.system import System
from dataloader.index.web.credentials import redact, without_credentials

if TYPE_CHECKING:
    from dataloader.index.pages.plain_json import File, Hashes

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
"""The Accept header of PEP 691, JSON first."""

_ANCHOR = re.compile(r"<a[\s>/]", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\s+([a-z][a-z-]*)=\Z").match
_NOT_PLAIN = re.compile(r"<(?:!--|base\b|script\b|style\b|textarea\b|title\b[^<]*<[^/])", re.IGNORECASE)
"""What may hide an anchor, or hold something that only looks like one."""

_VARIANT_DASHES = 5
"""What the name of a variant wheel has at least, as has one with a build number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The usable files of a page and what was left out."""

    files: tuple[IndexFile, ...]
    skipped: tuple[str, ...] = ()
    """Filenames that are neither a wheel nor an sdist of the project."""


def parse_page(
    body: bytes, content_type: str, url: str, *, project: str | None, index: str, system: System | None = None
) -> Page:
    """Read a page in the format that ``content_type`` names.

    Args:
        url: Where the page came from; relative links start there.
        project: Normalised name; ``None`` on a find-links page, which holds files of many projects.
        index: What ``IndexFile.index`` will say.
        system: Keep one wheel only of those that a release has for other systems; None keeps all.

    Raises:
        IndexUnavailable: The page cannot be read (code ``index-bad-page``).
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    draft = _Draft(project, index, system)
    if kind == "application/vnd.pypi.simple.v1+json" or (kind == "application/json" and body[:1] == b"{"):
        _read_json(body, url, draft)
    elif kind in {"text/html", "application/vnd.pypi.simple.v1+html", "application/xhtml+xml", ""}:
        _read_html(_decode(body, parameters), url, draft)
    else:
        raise _bad_page(url, f"its content type is {kind}, neither HTML nor the Simple API's JSON")
    return Page(files=with_variants(draft.files, draft.described), skipped=tuple(draft.skipped))


def with_variants(files: list[IndexFile], described: Mapping[tuple[str, str], str]) -> tuple[IndexFile, ...]:
    """Return the files, the variant wheels among them with where their release's variants are described."""
    if not described:
        return tuple(files)
    return tuple(
        file._replace(variants=described.get((file.name, file.version), "")) if without_variant(file.filename) else file
        for file in files
    )


class _Draft:
    """A page while its links are read."""

    def __init__(self, project: str | None, index: str, system: System | None) -> None:
        self._system = system
        self.project = project
        self.index = index
        self.files: list[IndexFile] = []
        self.skipped: list[str] = []
        self.described: dict[tuple[str, str], str] = {}
        """Project and version -> what describes its variants, with its hash."""
        self._elsewhere: set[str] = set()
        self._ends: dict[str, bool] = {}
        """How wheels' names end, in their platforms, and whether they are elsewhere: a page repeats each often."""

    def repeats_elsewhere(self, filename: str) -> bool:
        """Whether this is one more wheel of a release that is for other systems than the one that is asked about.

        The first of a release is kept, so that the release is known. They are most of a large project's page, and
        what a lock takes longest to read.
        """
        if self._system is None:
            return False
        end = filename[filename.rfind("-") :]
        if end not in self._ends:
            self._ends[end] = self._system.is_elsewhere(end)
        if not self._ends[end]:
            return False
        if filename.count("-") >= _VARIANT_DASHES and without_variant(filename):
            return False  # a label says nothing of the system
        release = filename[: filename.find("-", filename.find("-") + 1)]
        if release in self._elsewhere:
            return True
        self._elsewhere.add(release)
        return False

    def add(
        self,
        filename: str,
        url: str,
        *,
        sha256: str | None,
        size: int | None,
        requires_python: str | None,
        yanked: str | None,
        upload_time: str | None,
        metadata_sha256: str | None,
    ) -> None:
        parsed = parse_listed(filename, self.project)
        if parsed is None:
            if release := described_release(filename):
                self.described[release] = f"{url}#sha256={sha256}" if sha256 else url
            elif filename:
                self.skipped.append(filename)
            return
        self.files.append(
            IndexFile(
                name=parsed[0],
                version=parsed[1],
                filename=filename,
                url=url,
                sha256=sha256,
                size=size,
                requires_python=_one_line(requires_python) or None,
                yanked=yanked is not None,
                yanked_reason=_one_line(yanked) or "",
                upload_time=(" ".join(upload_time.split()) if upload_time else None) or None,
                metadata_sha256=metadata_sha256,
                index=self.index,
            )
        )


# HTML


class NotPlainError(Exception):
    """The page has another form than the one that indexes write."""


def plain_links(text: str) -> Iterator[Link]:
    """Links of a page whose anchors all have the form ``<a href="..." name="value"...>``.

    Quotes part such an anchor into its pieces, and ``str.split`` is five times as fast as a regular expression.

    Raises:
        NotPlainError: Maybe after some links.
    """
    anchors = text.split('<a href="')
    if "='" in text or _NOT_PLAIN.search(text) or len(anchors) - 1 != len(_ANCHOR.findall(text)):
        raise NotPlainError
    for anchor in anchors[1:]:
        pieces = anchor.split('"')
        href, _, fragment = pieces[0].partition("#")
        if len(pieces) % 2 or not pieces.pop().lstrip().startswith(">") or "&" in href or "&" in fragment:
            raise NotPlainError
        requires = yanked = uploaded = core = dist_info = None
        for raw, value in zip(pieces[1::2], pieces[2::2], strict=True):
            name = _attribute_name(raw)
            said = _unescape(value) if "&" in value else value
            if name == "data-requires-python" and requires is None:
                requires = said
            elif name == "data-upload-time" and uploaded is None:
                uploaded = said
            elif name == "data-core-metadata" and core is None:
                core = said
            elif name == "data-dist-info-metadata" and dist_info is None:
                dist_info = said
            elif name == "data-yanked" and yanked is None:
                yanked = said
            elif name is None or name.startswith("data-"):
                raise NotPlainError
        yield href.strip(), fragment_hash(fragment), requires, yanked, uploaded, dist_info if core is None else core


@lru_cache(maxsize=256)
def _attribute_name(text: str) -> str | None:
    match = _ATTRIBUTE(text)
    return None if match is None or match[1] == "href" else match[1]


@lru_cache(maxsize=1024)
def _unescape(text: str) -> str:
    import html  # for the few pages with entities

    return html.unescape(text)


def _read_html(text: str, url: str, draft: _Draft) -> None:
    if "<" not in text and text.strip():
        raise _bad_page(url, "it holds no HTML")
    try:
        _add_links(plain_links(text), url, draft)
    except NotPlainError:
        draft.files.clear()
        draft.skipped.clear()
        draft.described.clear()
        from dataloader.index.pages.any_html import slow_links

        base, links = slow_links(text)
        _add_links(links, (_absolute(base, url) if base else None) or url, draft)


def _add_links(links: Iterable[Link], base: str, draft: _Draft) -> None:
    for href, sha256, requires_python, yanked, upload_time, core_metadata in links:
        link = _absolute(href, base)
        if not href or link is None:
            continue
        # The filename is the URL's last segment, as pip has it; the anchor's text only shows it.
        path = link.partition("?")[0] if "?" in link else link
        filename = path[path.rfind("/") + 1 :]
        if draft.repeats_elsewhere(filename):
            continue
        draft.add(
            unquote(filename) if "%" in filename else filename,
            link,
            sha256=sha256,
            size=None,
            requires_python=requires_python,
            yanked=yanked,
            upload_time=upload_time,
            metadata_sha256=_announced(core_metadata) if core_metadata else None,
        )


def _announced(value: str) -> str | None:
    """PEP 714: ``sha256=...``, or ``true`` without a hash."""
    if value.lower() == "false":
        return None
    return value[7:].lower() if value.startswith("sha256=") else ""


def _decode(body: bytes, parameters: str) -> str:
    charset = re.search(r"charset=\"?([\w-]+)", parameters, re.IGNORECASE)
    try:
        return body.decode(charset[1] if charset else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


# JSON


def _read_json(body: bytes, url: str, draft: _Draft) -> None:
    from dataloader.index.pages.plain_json import plain_files  # a lock whose pages are all cached reads none

    files: Iterable[File] | None = plain_files(body)
    if files is not None:
        return _add_files(files, url, draft)
    from dataloader.index.pages.any_json import BadPageError, slow_files

    try:
        return _add_files(slow_files(body), url, draft)
    except BadPageError as error:
        raise _bad_page(url, str(error)) from error


def _add_files(files: Iterable[File], url: str, draft: _Draft) -> None:
    for file in files:
        if draft.repeats_elsewhere(file.filename):
            continue
        link = _absolute(file.url.partition("#")[0], url)
        if link is None:
            draft.skipped.append(file.filename)
            continue
        yanked = file.yanked
        draft.add(
            file.filename,
            link,
            sha256=_sha256_of(file.hashes),
            size=file.size,
            requires_python=file.requires_python,
            yanked=yanked if isinstance(yanked, str) else ("" if yanked else None),
            upload_time=file.upload_time,
            metadata_sha256=_json_announced(file.announced),
        )


def _json_announced(value: Hashes | bool | None) -> str | None:
    if value is None or isinstance(value, bool):
        return "" if value else None
    return _sha256_of(value) or ""


def _sha256_of(hashes: Hashes | None) -> str | None:
    value = hashes.sha256 if hashes is not None else None
    return value.lower() if value is not None and len(value) == 64 else None


# both


def _absolute(href: str, base: str) -> str | None:
    """The whole URL of a link; None when it is none (an IPv6 address half written, say)."""
    try:
        link = href if href.startswith(("https://", "http://")) else urljoin(base, href)
        # Only these can hide a mistake that urlsplit refuses; most links are spared the cost of asking it.
        return without_credentials(link) if "@" in link or "[" in link or not link.isascii() else link
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())


def _bad_page(url: str, why: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"the page {redact(url)} cannot be read: {why}",
        code="index-bad-page",
        suggestions=("check that the index URL is the root of a Simple API, usually ending in /simple",),
    )
