"""The METADATA that has been read of wheels, and what is presumed of those whose has not."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from operator import itemgetter

from packaging.version import Version

from dataloader.index.model import WheelMetadata
from dataloader.resolve.words.projects import Wheel


class KnownMetadata:
    """METADATA by wheel.

    A candidate that has not been read is taken to need nothing, so that a conflict with one release of a project leads
    to the next, and on through all that there are. Of a project in ``presuming`` an unread release is taken to need
    what the next newer one needs that was read: releases seldom differ. What is chosen is read all the same, and where
    nothing fits so, nothing is presumed.
    """

    def __init__(self) -> None:
        self.presuming: set[str] = set()
        """Projects."""
        self._own: dict[str, WheelMetadata] = {}
        self._by_version: dict[tuple[str, str, str], WheelMetadata] = {}
        self._by_project: defaultdict[str, list[tuple[Version, WheelMetadata]]] = defaultdict(list)

    def add(self, wheel: Wheel, metadata: WheelMetadata) -> None:
        """Take in what was read."""
        self._own[wheel.file.url] = metadata
        key = _release(wheel)
        if key not in self._by_version:
            self._by_version[key] = metadata
            known = self._by_project[wheel.file.name]
            known.insert(bisect_left(known, wheel.version, key=itemgetter(0)), (wheel.version, metadata))

    def of(self, wheel: Wheel) -> WheelMetadata | None:
        """Return a wheel's own METADATA, if it is known."""
        return self._own.get(wheel.file.url)

    def presumed(self, wheel: Wheel) -> WheelMetadata | None:
        """Return a wheel's METADATA, else that of another wheel of its version, else what may be presumed."""
        found = self._own.get(wheel.file.url) or self._by_version.get(_release(wheel))
        if found is None and wheel.file.name in self.presuming and (known := self._by_project[wheel.file.name]):
            place = bisect_left(known, wheel.version, key=itemgetter(0))
            found = known[min(place, len(known) - 1)][1]
        return found

    def stamp(self, name: str) -> tuple[int, bool]:
        """Return what changes whenever something else is known or presumed of a project."""
        return len(self._by_project[name]) if name in self._by_project else 0, name in self.presuming


def _release(wheel: Wheel) -> tuple[str, str, str]:
    """Return what wheels share that need the same: project, version and variant."""
    return wheel.file.name, wheel.text, wheel.variant.label if wheel.variant else ""
