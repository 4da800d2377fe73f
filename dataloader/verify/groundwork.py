"""What is known of a prefix before any of its libraries is looked into: records, files, and every check of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.digests import hexadecimal_of
from dataloader.base.state import State, text_of
from dataloader.elf.cache import FactsCache
from dataloader.elf.readers import read_into_cache
from dataloader.machine.target import Target
from dataloader.prefix.python import find_interpreter
from dataloader.prefix.records import InstalledPackage, InstalledPackages, Owners, RecordedFile, read_installed
from dataloader.prefix.walk import PrefixTree, SealedTree
from dataloader.verify.memory.hashes import FileHashes, cache_keys, hash_recorded
from dataloader.verify.options import VerifyOptions

if TYPE_CHECKING:
    from dataloader.compat.openings import Opening
    from dataloader.lockfile.model import Lockfile
    from dataloader.verify.findings import Finding
    from dataloader.verify.memory.relinked import Stamps


class Records(NamedTuple):
    """What packages recorded, and what there is."""

    installed: InstalledPackages
    tree: PrefixTree
    digests: Mapping[str, str]
    """SHA-256 of each file that was hashed, as RECORD writes it."""
    keys: Mapping[str, str]
    """Path of each file that may be a library -> its entry in the cache of facts."""


def read_records(
    prefix: Path,
    walked: Callable[[], PrefixTree],
    options: VerifyOptions,
    cache: FactsCache,
    known_keys: Mapping[str, str],
    *,
    remember: bool,
) -> Records:
    """Read what packages recorded, and hash what has changed.

    Args:
        walked: Gives what a walk over the prefix sees.
        known_keys: Path of each file whose content is known -> its entry in the cache of facts.
        remember: Take hashes from the last run over the prefix, and keep them for the next.
    """
    installed, tree = read_installed(prefix), walked()
    digests: Mapping[str, str] = {}
    if options.hashes:
        known = FileHashes.load(cache, prefix) if remember and not options.rehash else FileHashes()
        elf = frozenset(tree.elf)

        def then(path: str, key: str) -> None:
            """Read a library while it is in the processor's memory: there is a process at it."""
            if path in elf and not cache.has(key):
                read_into_cache(cache, f"{prefix}/{path}", key)

        digests, now = hash_recorded(prefix, installed, tree, known, options.progress, then)
        if remember and now is not known:
            now.store(cache, prefix)
    keys = cache_keys(cache, installed, tree, digests, known_keys)
    return Records(installed=installed, tree=tree, digests=digests, keys=keys)


class Groundwork(NamedTuple):
    """What needs no library to be opened in the model."""

    installed: InstalledPackages
    tree: SealedTree
    keys: Mapping[str, str]
    """As :attr:`Records.keys`."""
    recorded: Sequence[Sequence[str]]
    """Which of the same files each package recorded."""
    states: Mapping[str, State]
    """Of the same files."""
    libraries: dict[str, list[str]]
    """As :attr:`dataloader.elf.cache.Learnt.libraries`."""


class Checked(NamedTuple):
    """What every check comes to that asks no library."""

    findings: Mapping[Target, tuple[Finding, ...]]
    """Of metadata, records and files."""
    openings: Mapping[str, Sequence[Opening]]
    """As :func:`dataloader.verify.checks.opened.openings_by_soname` gives them."""
    opened: Mapping[str, list[str]]
    """As :func:`dataloader.verify.checks.opened.read_opened` gives it, of files named like the library looked for."""
    stamps: Stamps | None
    """Of the tree, where the report is to be kept: 10 ms, and this process is done before the one that judges."""


def lay_groundwork(
    prefix: Path,
    records: Callable[[], Records],
    targets: Sequence[Target],
    read_lock: Callable[[], Lockfile | None],
    opened: Mapping[str, list[str]],
    options: VerifyOptions,
) -> tuple[Groundwork, Callable[[], Checked]]:
    """What is known of the files, and what makes every check that asks no library.

    Args:
        records: Gives those of the prefix.
        opened: As :class:`Checked` has it, of the last run.
    """
    lock = read_lock()  # before the records, which wait for the walk
    read = records()
    states = read.tree.elf_states()
    groundwork = Groundwork(
        installed=read.installed,
        tree=read.tree.seal(),
        keys=read.keys,
        recorded=Owners.recorded(read.installed.packages, read.keys),
        states=states,
        libraries={
            path: [text_of(state), hexadecimal_of(read.digests[path])]
            for path, state in states.items()
            if path in read.digests
        },
    )
    return groundwork, partial(_check, prefix, read, targets, lock, opened, options)


def _check(
    prefix: Path,
    read: Records,
    targets: Sequence[Target],
    lock: Lockfile | None,
    opened: Mapping[str, list[str]],
    options: VerifyOptions,
) -> Checked:
    # Imported where they are asked: mostly in another process.
    from dataloader.verify.checks.opened import openings_by_soname, read_opened
    from dataloader.verify.memory.relinked import stamps_of
    from dataloader.verify.tables import load_tables

    openings = openings_by_soname(read.installed, load_tables(), lock.stack if lock is not None else {})
    named = ((path, key, path.rsplit("/", 1)[-1]) for path, key in read.keys.items())
    common = tuple(_common_findings(prefix, read, lock, options))
    return Checked(
        findings={target: (*common, *_target_findings(prefix, read, target, options)) for target in targets},
        openings=openings,
        opened=read_opened(prefix, named, openings, opened),
        stamps=stamps_of(read.tree.seal()) if options.reuse and options.cache is not None else None,
    )


def _common_findings(prefix: Path, read: Records, lock: Lockfile | None, options: VerifyOptions) -> Iterator[Finding]:
    from dataloader.compat.matrix import matrix_with
    from dataloader.compat.rules import rule_of
    from dataloader.prefix.state import read_state
    from dataloader.verify.checks.contents import (
        check_clobbers,
        check_contents,
        check_lost,
        check_records,
        check_slips,
    )
    from dataloader.verify.checks.looked_up import check_versions
    from dataloader.verify.checks.requires_dist import check_rules, check_together
    from dataloader.verify.tables import load_tables, load_together

    installed = read.installed
    yield from check_records(installed)
    yield from check_contents(installed, read.tree, read.digests, partial(_done_to, prefix, options))
    state = read_state(prefix)
    yield from check_slips(state.slips if state is not None else {})
    yield from check_lost(installed)
    yield from check_clobbers(installed, read.digests, frozenset(load_tables().providers))
    yield from check_versions(installed, read.digests, read.tree)
    if lock is not None:
        from dataloader.verify.checks.lock import check_lock

        yield from check_lock(installed, lock)
    yield from check_together(installed, load_together())
    yield from check_rules(installed, map(rule_of, matrix_with(options.matrix).rules))


def _done_to(prefix: Path, options: VerifyOptions, package: InstalledPackage, file: RecordedFile) -> str | None:
    """What was done to a library, where no more than that was; empty where it cannot be told; ``None`` otherwise."""
    from dataloader.elf.alteration import find_alteration, is_elf

    path = prefix / file.path
    if not is_elf(path):
        return None
    original = options.original_of(package, file)
    if original is None:
        return ""
    found = find_alteration(original, path)
    return found.words() if found is not None else None


def _target_findings(prefix: Path, read: Records, target: Target, options: VerifyOptions) -> Iterator[Finding]:
    from dataloader.verify.checks.conda_depends import check_conda_depends
    from dataloader.verify.checks.looked_up import check_interpreters, check_path_files, check_python_path
    from dataloader.verify.checks.requires_dist import check_requires_dist
    from dataloader.verify.checks.sources import SourceIndex
    from dataloader.verify.world import is_this_machine

    installed = read.installed
    described = options.described if options.described is not None else not is_this_machine(target)
    yield from check_path_files(prefix, installed, read.tree, elsewhere=described)
    if not described:
        if options.hashes:  # a tree that a sync judges lies elsewhere than it will
            yield from check_interpreters(prefix, installed, read.tree)
        yield from check_python_path(prefix, installed, dict(options.variables))
    python, sources = find_interpreter(prefix).version, SourceIndex(prefix, installed)
    yield from check_requires_dist(installed, target, python, sources.imports_project)
    yield from check_conda_depends(installed, dict(package[:2] for package in target.virtual_packages()))
