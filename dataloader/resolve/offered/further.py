"""Wheels of indexes that nobody configured: announced by the matrix, looked up where a solution wants one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from dataloader.base.errors import IndexUnavailable
from dataloader.compat.model import Announced
from dataloader.index.model import IndexFile


class FurtherIndexes:
    """What is known of them so far."""

    def __init__(self, announced: Mapping[str, tuple[Announced, ...]], exclude_newer: str | None) -> None:
        self.announced, self._exclude_newer = announced, exclude_newer
        self.opened: set[tuple[str, str]] = set()
        """Project and URL of the indexes that were asked."""
        self.silent: dict[str, IndexUnavailable] = {}
        """Host of an index that did not answer -> why."""
        self.as_if_heard = False
        """Offer what indexes announce that did not answer: would it help?"""

    @property
    def grown(self) -> int:
        """A number that changes with what is known."""
        return len(self.opened) + len(self.silent) + self.as_if_heard

    def unopened(self, name: str) -> tuple[Announced, ...]:
        """Return what is announced of a project, and was not looked up."""
        return tuple(
            announced
            for announced in self.announced.get(name, ())
            if (name, announced.index) not in self.opened
            and (self.as_if_heard or urlsplit(announced.index).netloc not in self.silent)
            and not self._is_late(announced)
        )

    def not_asked(self, name: str) -> Iterator[Announced]:
        """Yield what is announced of a project by indexes that have not shown it."""
        return (build for build in self.announced.get(name, ()) if (name, build.index) not in self.opened)

    def due(self, chosen: Iterable[Announced]) -> Iterator[tuple[str, str]]:
        """Yield project and URL of what is to be looked up; a host that does not answer is asked no more."""
        for project, url in sorted({(announced.project, announced.index) for announced in chosen} - self.opened):
            if urlsplit(url).netloc not in self.silent:
                yield project, url

    def note_silent(self, url: str, error: IndexUnavailable) -> None:
        """Note that the host of an index did not answer."""
        self.silent.setdefault(urlsplit(url).netloc, error)

    def is_in_time(self, file: IndexFile) -> bool:
        """Say whether a file of an index that gives no times is of a release that the matrix knows to be old enough."""
        if self._exclude_newer is None or file.upload_time:
            return True
        return any(
            announced.version == file.version and not self._is_late(announced)
            for announced in self.announced[file.name]
        )

    def _is_late(self, announced: Announced) -> bool:
        """Say whether a wheel was published too late; one of which nobody knows when is no candidate either."""
        return self._exclude_newer is not None and (
            not announced.released or announced.released >= self._exclude_newer[:10]
        )
