"""Who is using what of a cache: a note of each sync at work, so that nobody removes what it is about to link.

    users/MAKER     the names of the packages it needs, one a line, touched while it runs

A sync writes its note before it looks for the first package. Who removes one renames it away first and looks at the
notes then: either the note is seen and the package put back, or the sync comes later, misses it and fetches it again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dataloader.base.files import replace_file
from dataloader.base.values import dataclass
from dataloader.install.switch.owner import is_dead, signature_of, signed

FOLDER = "users"
_BEAT_SECONDS = 30.0
STALE_SECONDS = 900.0
"""Since the last beat of a sync that cannot be judged from here. Clocks of machines that share a volume may differ."""


class InUse:
    """``with InUse(cache, names):`` while the packages of those names are needed.

    A cache that cannot be written keeps no note: what is missed then is fetched again.
    """

    def __init__(self, cache: Path, names: Iterable[str]) -> None:
        self._path = cache / FOLDER / signed("")
        self._names = sorted(set(names))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> InUse:  # noqa: PYI034  (Self came with Python 3.11)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, "".join(f"{name}\n" for name in self._names).encode())
            self._thread = threading.Thread(target=self._beat, name="in-use", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path)


@dataclass(frozen=True, slots=True)
class Users:
    """The syncs that are at work on a cache, as far as can be told from here."""

    names: frozenset[str]
    """What they need: the sha256 of a wheel's or an archive's bytes, the folder name of a conda package."""
    makers: frozenset[str]
    """Their signatures (``owner.signature_of``)."""

    def need(self, name: str) -> bool:
        """Whether one of them needs the package of that name."""
        return name in self.names


def users_of(cache: Path) -> Users:
    """Read the notes."""
    names: set[str] = set()
    makers: set[str] = set()
    try:
        notes = [path for path in (cache / FOLDER).iterdir() if not path.name.startswith(".")]
    except OSError:
        notes = []
    for note in notes:
        with suppress(OSError):  # it has just ended
            if is_at_work(note):
                names.update(note.read_text(encoding="utf-8", errors="replace").splitlines())
                makers.add(signature_of(note.name))
    return Users(frozenset(names), frozenset(makers))


def is_at_work(note: Path) -> bool:
    """Whether the sync that wrote a note is; OSError when the note is gone."""
    dead = is_dead(note.name)
    return not dead if dead is not None else time.time() - note.lstat().st_mtime < STALE_SECONDS
