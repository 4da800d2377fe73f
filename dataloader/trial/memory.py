"""What package files turned out to contradict, kept in the cache and shared through it.

Layout below the cache directory::

    learned-2/RELEASE/contradictions/SHA256.json    of the package file with that hash

Entries are judgements of one release of this program, so each release keeps its own. One that cannot be read counts as
absent. They are written under a temporary name and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dataloader import __version__
from dataloader.base.cache import LEARNED
from dataloader.base.files import keep_file, read_kept
from dataloader.base.reporter import Reporter
from dataloader.trial.model import Contradiction, from_dict, to_dict


class Learned:
    """The facts of one writable cache over any number of read-only ones; ``None`` as cache knows and keeps nothing."""

    def __init__(self, cache: Path | None, layers: Sequence[Path] = (), reporter: Reporter | None = None) -> None:
        below = Path(LEARNED) / __version__
        self._places = [folder / below for folder in (cache, *layers) if folder is not None] if cache else []
        self._reporter = reporter or Reporter()
        self._here: list[Contradiction] = []

    def contradictions(self) -> tuple[Contradiction, ...]:
        """Everything known, sorted, so that equal caches give equal solves."""
        found = dict.fromkeys(self._here)
        for place in self._places:
            for path in sorted((place / "contradictions").glob("*.json")):
                found.update(dict.fromkeys(_read(path)))
        return tuple(
            sorted(
                found,
                key=lambda contradiction: (
                    contradiction.artefact.name,
                    contradiction.artefact.version,
                    contradiction.kind,
                    contradiction.why,
                ),
            )
        )

    @property
    def found_here(self) -> tuple[str, ...]:
        """What this process found out, in the user's terms."""
        return tuple(contradiction.why for contradiction in self._here)

    def add(self, new: Iterable[Contradiction]) -> tuple[Contradiction, ...]:
        """Remember contradictions; return those that were not known yet."""
        known = dict.fromkeys(self.contradictions())
        fresh = [contradiction for contradiction in dict.fromkeys(new) if contradiction not in known]
        self._here += fresh
        lasting = [contradiction for contradiction in self.contradictions() if contradiction.lasting] if fresh else []
        for sha256 in sorted({contradiction.artefact.sha256 for contradiction in fresh if contradiction.lasting}):
            self._keep(sha256, [contradiction for contradiction in lasting if contradiction.artefact.sha256 == sha256])
        return tuple(fresh)

    def _keep(self, sha256: str, contradictions: Sequence[Contradiction]) -> None:
        if not self._places:
            return
        path = self._places[0] / "contradictions" / f"{sha256}.json"
        error = keep_file(
            path, json.dumps([to_dict(contradiction) for contradiction in contradictions], indent=1).encode()
        )
        if error:
            self._reporter.debug(f"{path} cannot be written, so this will be found out again: {error.strerror}")


def _read(path: Path) -> Iterator[Contradiction]:
    try:
        yield from [from_dict(document) for document in json.loads(read_kept(path) or b"[]")]
    except (ValueError, TypeError, KeyError):
        return  # it will be found out again
