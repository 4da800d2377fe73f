"""One look at a prefix: its records and its libraries, each read while the other is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache as cache_once
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.state import State, states_of
from dataloader.elf.cache import FactsCache, Learnt
from dataloader.elf.scan import Reading, ScannedFile
from dataloader.machine.target import Target
from dataloader.prefix.walk import PrefixTree
from dataloader.process.beside import BEHIND, BesideInTwo
from dataloader.verify.groundwork import Checked, Groundwork, Records, lay_groundwork, read_records
from dataloader.verify.memory.hashes import recall_keys
from dataloader.verify.options import VerifyOptions

if TYPE_CHECKING:
    from dataloader.loader.disk import Disk
    from dataloader.lockfile.model import Lockfile
    from dataloader.verify.judgement import Inspection
    from dataloader.verify.libraries import Libraries
    from dataloader.verify.memory.relinked import Stamps


class Survey(NamedTuple):
    """What is in a prefix, and what each target makes of it."""

    groundwork: Groundwork
    scanned: Sequence[ScannedFile]
    disk: Disk
    inspections: Sequence[Inspection]
    """For each target."""
    stamps: Stamps | None
    """As :class:`Checked` has them."""

    @property
    def counts(self) -> dict[str, int]:
        """How many packages, files and libraries there are."""
        return {
            "packages": len(self.groundwork.installed.packages),
            "files": self.groundwork.tree.count,
            "libraries": sum(1 for file in self.scanned if file.facts),
        }


def survey(
    prefix: Path,
    *,
    targets: Sequence[Target],
    options: VerifyOptions,
    cache: FactsCache,
    walked: Callable[[], PrefixTree],
    read_lock: Callable[[], Lockfile | None] = lambda: None,
    learnt: Learnt | None = None,
    libraries: Mapping[str, str] = MappingProxyType({}),
) -> Survey:
    """Read a prefix, and judge for each target.

    Every check of records is made by another process meanwhile. Where something is known of the libraries, it reads the
    records too: those that have not changed since they were hashed are opened at once, and again only if others came.

    Args:
        walked: Gives what a walk over the prefix sees.
        read_lock: Gives the lock that the prefix is held against.
        learnt: What the last run learnt; added to. ``None`` takes nothing from it, and keeps nothing of the prefix.
        libraries: Key of the facts of those whose content is known; most likely they were read already.
    """
    remember, learnt = learnt is not None, learnt or Learnt()
    read_here: Callable[[], Records] = partial(
        read_records, prefix, walked, options, cache, libraries, remember=remember
    )
    options = options._replace(progress=None)  # another process has nobody to tell
    records: Callable[[], Records] = partial(read_records, prefix, walked, options, cache, libraries, remember=remember)
    keys, states = _known_keys(prefix, libraries, learnt, options)
    # To read libraries and to open them takes longer, and the groundwork is asked for after that.
    niceness = 0 if libraries else BEHIND
    if not keys:
        read = read_here()
        records, keys, states = (lambda: read), read.keys, read.tree.elf_states()
    groundwork_of = partial(lay_groundwork, prefix, records, targets, read_lock, learnt.opened, options)
    reading = Reading(prefix, cache, options.jobs)
    reading.expect(keys)
    with BesideInTwo(groundwork_of, niceness=niceness) as beside, reading:
        reading.begin(states)
        # Other processes are starting, and reading: what judges is imported meanwhile.
        from dataloader.verify.checks.opened import read_opened
        from dataloader.verify.judgement import inspect
        from dataloader.verify.libraries import open_libraries

        scanned = reading.finish(keys, states)
        open_these = partial(open_libraries, prefix, targets=targets, options=options, cache=cache, learnt=learnt)
        opened = open_these(scanned)
        groundwork = beside.first()
        now = reading.finish(groundwork.keys, groundwork.states)
        opened = _opened_now(prefix, scanned, opened, now, open_these)

        @cache_once
        def checked() -> Checked:
            found = beside.second()
            by_soname = ((file.path, file.key, file.facts.soname or "") for file in now if file.facts)
            known = {**learnt.opened, **found.opened}
            learnt.opened.update(read_opened(prefix, by_soname, found.openings, known))
            return found._replace(opened=learnt.opened)

        inspections = [inspect(bare, opened.disk, groundwork, checked, options) for bare in opened.bare]
    if options.hashes:
        learnt.libraries = groundwork.libraries
    stamps = checked().stamps
    return Survey(groundwork=groundwork, scanned=now, disk=opened.disk, inspections=inspections, stamps=stamps)


def _known_keys(
    prefix: Path, libraries: Mapping[str, str], learnt: Learnt, options: VerifyOptions
) -> tuple[Mapping[str, str], Mapping[str, State]]:
    """Return the libraries that need no record to be known, with the keys of their facts, and their states."""
    if libraries:
        states = states_of(prefix, libraries)
        return {path: libraries[path] for path in states}, states
    states = states_of(prefix, learnt.libraries) if options.hashes and not options.rehash else {}
    return recall_keys(states, learnt.libraries), states


def _opened_now(
    prefix: Path,
    before: Sequence[ScannedFile],
    opened: Libraries,
    now: Sequence[ScannedFile],
    open_these: Callable[[Sequence[ScannedFile]], Libraries],
) -> Libraries:
    """Return what was opened, where the records bear it out; the rest is opened besides, or all of it again."""
    from dataloader.verify.libraries import open_more

    known = {file.path: file for file in before}
    others = [file for file in now if known.get(file.path) != file]
    if len(now) - len(others) < len(before):  # some are gone, or are not what they were
        return open_these(now)
    return open_more(prefix, opened, others) if others else opened
