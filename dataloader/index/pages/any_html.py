"""Links of an HTML page of any form, by ``html.parser``; most pages are plainer (``dataloader.index.pages.simple``)."""

from __future__ import annotations

from html.parser import HTMLParser

from dataloader.index.pages.links import Link, fragment_hash


def slow_links(text: str) -> tuple[str | None, list[Link]]:
    """The page's base URL, if it has one, and its links, whatever form they have."""
    parser = _Links()
    parser.feed(text)
    parser.close()
    return parser.base, parser.links


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.links: list[Link] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, str] = {}
        for name, value in attrs:
            # Of a repeated attribute the first counts (HTML standard).
            found.setdefault(name, value or "")
        if "href" not in found:
            return
        if tag == "a":
            href, _, fragment = found["href"].strip().partition("#")
            requires, yanked, uploaded = map(found.get, ("data-requires-python", "data-yanked", "data-upload-time"))
            core = found.get("data-core-metadata", found.get("data-dist-info-metadata"))
            self.links.append((href.strip(), fragment_hash(fragment), requires, yanked, uploaded, core))
        elif tag == "base" and self.base is None:
            self.base = found["href"]
