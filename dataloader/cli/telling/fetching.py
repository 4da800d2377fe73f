"""How far all that is fetched is, by what the stages that fetch say: packages, and bytes where sizes are known."""

from __future__ import annotations

import time
from collections.abc import Callable

from dataloader.cli.telling.render import human_size, human_time

_ARCHIVES = (".whl", ".conda", ".tar.bz2")
_NAME = 24
"""Columns that the name of an archive may take."""
_STAGES = {"pypi": "download", "conda": "download-conda"}
"""Kind of package -> the stage that fetches such; both may be under way at once."""


class Fetching:
    """Wheels and conda packages together, while any of them are fetched."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._open: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self.packages, self.of_packages = 0, 0
        self.bytes, self.of_bytes = 0, 0
        self.is_sized = True
        """Whether the size of all of it is known."""
        self._began = self._now()

    @property
    def is_under_way(self) -> bool:
        """Whether anything is fetched now."""
        return bool(self._open)

    def heard(self, event: str, facts: dict[str, object]) -> bool:
        """Take an event in; say whether it was about this."""
        if event == "package":
            stage = _STAGES.get(str(facts.get("kind")))
            if stage not in self._open:
                return False  # it was in the cache before anything was fetched
            self.packages += 1
            if facts.get("source") not in ("network", "file"):
                self.bytes += _number(facts.get("bytes"))
            return True
        stage = str(facts.get("stage"))
        if stage not in _STAGES.values():
            return False
        if event == "stage-started":
            if not self._open:
                self._clear()
            self._open.add(stage)
            self.of_packages += _number(facts.get("total"))
            self.of_bytes += _number(facts.get("bytes"))
            self.is_sized &= isinstance(facts.get("bytes"), int)
        elif event == "stage-finished":
            self._open.discard(stage)
        return True

    def moved(self, label: str, amount: int) -> bool:
        """Count bytes of a piece of work, if it is a download of a package; say whether it is."""
        if not self._open or not label.endswith(_ARCHIVES):
            return False
        self.bytes += amount
        return True

    @property
    def count(self) -> str:
        """``12 of 39 packages``."""
        return f"{self.packages} of {self.of_packages} package{'s' if self.of_packages != 1 else ''}"

    def line(self) -> str:
        """All of it in one line, for where no bar can be drawn."""
        seconds = self._now() - self._began
        rate = self.bytes / seconds if seconds > 0 else 0.0
        words = [self.count, amount_of(self.bytes, self.of_bytes if self.is_sized else None)]
        if rate:
            words.append(f"{human_size(int(rate))}/s")
            if self.is_sized and self.of_bytes > self.bytes:
                words.append(f"{human_time((self.of_bytes - self.bytes) / rate)} left")
        return ", ".join(words)


def amount_of(done: int, total: int | None) -> str:
    """Bytes of bytes, in the unit of all.

    >>> amount_of(940_000_000, 2_400_000_000), amount_of(512, None), amount_of(0, 11_000)
    ('0.9 of 2.2 GiB', '512 B', '0.0 of 10.7 KiB')
    """
    if total is None:
        return human_size(done)
    size, unit = human_size(total).split(" ")
    part = done / total * float(size) if total else 0.0
    return f"{part:.0f} of {size} {unit}" if unit == "B" else f"{part:.1f} of {size} {unit}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def short(label: str) -> str:
    """Name an archive by its package and version, as far as there is room.

    >>> short("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl"), short("ca-certificates-2025.1-hb_0.conda")
    ('numpy 1.26.4', 'ca-certificates 2025.1')
    """
    if label.endswith(".whl"):
        label = " ".join(label.split("-")[:2])
    elif label.endswith((".conda", ".tar.bz2")) and label.count("-") > 1:
        label = " ".join(label.rsplit("-", 2)[:2])
    return label if len(label) <= _NAME else f"{label[: _NAME - 1]}…"
