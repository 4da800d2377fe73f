"""What a cache may hold: every name that this program, or rattler for it, gives to something below a cache directory.

The one list, for ``cache prune``, ``verify`` and ``info``, for what a sync clears up, and for docs/cache.md. What has
no name here is somebody else's: it is left alone, and named.
"""

# ruff: noqa: PTH118
# There may be ten thousands of facts: paths stay plain strings.

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator
from functools import cache as cached
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from dataloader.base.cache import EXPORTS, FACTS, LEARNED, LIBRARIES, PREFIXES, WHEEL_LIBRARIES
from dataloader.install.store.users import STALE_SECONDS, Users, is_at_work, users_of
from dataloader.install.switch.owner import is_dead, signature_of

Stay: TypeAlias = Literal["package", "record", "archive", "lease", "temporary", "lock", "outdated"]
"""How long something stays: see :func:`is_left_over`."""

HOUR = 3600.0
DAY = 24 * HOUR

_ARCHIVES = ("whl", "conda", "tar.bz2", "layer", "conda-archive")
"""Ends of their names; the last one's is of an earlier version."""

_TOKENS = {
    "xx": "[0-9a-f]{2}",
    "sha256": "[0-9a-f]{64}",
    "hash": "[0-9a-f]{8,64}",
    "key": "[0-9a-f]{16}",
    "start": "(?:[0-9a-f]{16})?",
    "n": "[0-9]+",
    "maker": r"[0-9a-f]{12}\.\d+-\d+-[0-9a-f]{8}(?:-[0-9a-f]{8}(?:-b)?)?",  # the end is a scout's (settle.py)
    "package": "[^/.][^/]*-[^/-]+-[^/-]+",
    "name": "[^/]+",
    "folders": "(?:[^/]+/)*",
    "below": ".+",
}


class Holding(NamedTuple):
    """One kind of thing in a cache."""

    kind: str
    paths: tuple[str, ...]
    """Below the cache. ``<word>`` stands for what ``_TOKENS`` says; a folder's content belongs to it."""
    stay: Stay
    about: str
    is_sealed: bool = True
    """Of a record, and of what belongs to a package: whether it is ours, with a checksum (``base/sealed.py``)."""


HOLDINGS: tuple[Holding, ...] = (
    Holding("temporary file", ("<folders>.<name>.<key>.tmp",), "temporary", "a file on its way to its name"),
    Holding("wheel", ("wheels/<xx>/<sha256>",), "package", "one wheel, unpacked; named after its archive's sha256"),
    Holding("wheel being unpacked", ("wheels/<xx>/.new-<maker>",), "temporary", "an entry until it is whole"),
    Holding(
        "entry being removed",
        ("wheels/<xx>/.old-<name>", "layers/<xx>/.old-<name>", "pkgs/.old-<name>"),
        "temporary",
        "an entry on its way out",
    ),
    Holding("layer", ("layers/<xx>/<sha256>",), "package", "one layer of an image, unpacked; named after its digest"),
    Holding("layer being unpacked", ("layers/<xx>/.new-<maker>",), "temporary", "an entry until it is whole"),
    Holding("layer being packed", ("packed/.new-<maker>",), "temporary", "on its way to a registry"),
    Holding("note of a layer", ("packed/<sha256>",), "record", "the digest of what was packed; it is not packed again"),
    Holding(
        "lock of a conda package", ("pkgs/<package>.lock",), "lock", "rattler's, beside the package", is_sealed=False
    ),
    Holding(
        "lock of the conda packages", ("pkgs/.cache.lock",), "record", "rattler's, held while it links", is_sealed=False
    ),
    Holding(
        "conda package being unpacked",
        ("pkgs/.new-<maker>", "pkgs/.<package>"),
        "temporary",
        "until it is whole and judged",
    ),
    Holding("conda package", ("pkgs/<package>",), "package", "one conda package, unpacked (rattler's cache)"),
    Holding("temporary file", ("pkgs-seen/<package>-<start>.json.<n>",), "temporary", "of an earlier version"),
    Holding("note of a conda package", ("pkgs-seen/<package>-<start>.json",), "lock", "sizes and times of its files"),
    Holding("archive being unpacked", ("downloads/conda-<maker>",), "temporary", "of an earlier version"),
    Holding(
        "lease", ("downloads/<sha256>.lease", "downloads/<sha256>.lease-<maker>"), "lease", "who fetches an archive"
    ),
    Holding(
        "archive",
        (
            *(f"downloads/<sha256>.{kind}{end}" for kind in _ARCHIVES for end in ("", ".part")),
            *(f"downloads/<sha256>.{kind}.<n>-<hash>.part" for kind in _ARCHIVES),
        ),
        "archive",
        "an archive that came slowly, or was not unpacked as it came; resumed by the next sync that needs it",
    ),
    Holding(
        "served archive",
        ("served/<sha256>", "served/<sha256>.part", "served/<sha256>.<n>-<hash>.part"),
        "archive",
        "what `cache serve` gives to peers",
    ),
    Holding("note of a sync", ("users/<maker>",), "lease", "the packages that a running sync needs"),
    Holding("environment thrown away", ("warming-<name>",), "temporary", "of `cache warm`"),
    Holding("build under way", ("building-<name>",), "temporary", "a source, and the environment that builds it"),
    Holding(
        "wheel that was asked",
        ("asked/<sha256>.<name>",),
        "archive",
        "built to ask what it needs; the next sync takes it",
    ),
    Holding("lease", ("git/<hash>.lease", "git/<hash>.lease-<maker>"), "lease", "who fetches a repository"),
    Holding("repository", ("git/<hash>",), "record", "a repository that something is built from", is_sealed=False),
    Holding("log of a build", ("builds/<name>",), "record", "what a build printed", is_sealed=False),
    Holding("unpacked bundle", ("bundle-<name>",), "temporary", "of `unbundle`"),
    Holding("facts", (f"{FACTS}/{LIBRARIES}/<sha256>.elf",), "record", "what `verify` read of one library"),
    Holding(
        "facts of a prefix",
        (
            *(f"{FACTS}/{PREFIXES}/<sha256>.{end}" for end in ("json", "memo.json", "stamps", "hashes", "inodes")),
            f"{FACTS}/{PREFIXES}/<n>-<n>.answer",
        ),
        "record",
        "what `verify` said of it last, and what that depends on",
    ),
    Holding(
        "facts of another version",
        (f"{FACTS}/elf-<n>", f"{FACTS}/prefix-<n>", "learned-<n>"),
        "outdated",
        "not read any more",
    ),
    Holding("exports", (f"{EXPORTS}/<sha256>.exports",), "record", "what `abi` read of one library of a release"),
    Holding(
        "libraries of a wheel",
        (f"{WHEEL_LIBRARIES}/<sha256>.json",),
        "record",
        "what they say of CUDA, read before the wheel was fetched",
    ),
    Holding("page", ("index/pages/<hash>",), "record", "a project's page of an index"),
    Holding("metadata", ("index/metadata/<xx>/<hash>",), "record", "METADATA of one wheel"),
    Holding("provenance", ("index/provenance/<sha256>",), "record", "attestations of one file"),
    Holding("digest", ("index/digests/<hash>",), "record", "the sha256 of a file that its index gave none for"),
    Holding(
        "file of an index",
        ("index/files/<hash>", "index/files/<hash>.part", "index/files/<hash>.<n>-<hash>.part"),
        "archive",
        "a wheel that had to be fetched to be solved for; the next sync takes it",
    ),
    Holding("temporary file", (".interpreters.json.<n>",), "temporary", "of an earlier version"),
    Holding("interpreters", ("interpreters.json",), "record", "what the Pythons of this machine say they are"),
    Holding(
        "contradiction",
        (f"{LEARNED}/<name>/contradictions/<sha256>.json",),
        "record",
        "what a package file turned out to contradict",
    ),
    Holding("proof", (f"{LEARNED}/<name>/proofs/<sha256>",), "record", "a set of packages that loads"),
    Holding(
        "script",
        ("scripts/<sha256>",),
        "record",
        "manifest, lock and environment of scripts that say what they need (`dataloader run script.py`)",
        is_sealed=False,
    ),
    Holding("temporary file", ("repodata/.tmp<name>",), "temporary", "rattler's"),
    Holding(
        "channel",
        (
            *(f"repodata/<hash>.{end}" for end in ("json", "info.json", "lock", "shards-cache-v1")),
            "repodata/shards-v1/<below>",
        ),
        "record",
        "repodata of one channel (rattler's)",
        is_sealed=False,
    ),
)


class Found(NamedTuple):
    """Something in a cache."""

    path: str
    """Below the cache."""
    holding: Holding | None
    """``None``: it is not ours."""

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]


def holding_of(path: str) -> Holding | None:
    """What lies at ``path`` below a cache, by its name; the first that fits."""
    found = _names().fullmatch(path)
    return HOLDINGS[int(found.lastgroup[1:])] if found and found.lastgroup else None


def survey(cache: Path, *, but: Collection[str] = ()) -> Iterator[Found]:
    """All that a cache holds, folder by folder; packages and other whole folders as one.

    Args:
        but: Names in the cache's own folder that are passed over.
    """
    root = os.fspath(cache)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue  # another process has just removed it; or there is no cache yet
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if path in but:
                continue
            if _folders().fullmatch(path) and entry.is_dir():
                folders.append(path)
            else:
                yield Found(path, holding_of(path))


def is_left_over(cache: Path, found: Found, users: Users | None = None) -> bool:
    """Whether something is of no use to anybody, so that whoever finds it removes it.

    - a package, a record: never (what is not needed is for ``cache prune`` to judge)
    - something temporary: its maker is dead; or cannot be judged from here, and has shown no life for as long as one is
      waited for; or is not named, and it is an hour old
    - a lease: its maker is dead; or cannot be judged from here, and it is an hour old
    - an archive: nobody at work needs it, and it is an hour old
    - what belongs to a package: that is gone, for an hour
    - what only another version of this program reads: unchanged for a day
    """
    if found.holding is None or found.holding.stay in {"package", "record"}:
        return False
    users = users_of(cache) if users is None else users
    path = cache / found.path
    try:
        age = time.time() - path.lstat().st_mtime
        match found.holding.stay:
            case "temporary":
                return _is_abandoned(found, users, age)
            case "lease":
                return _is_over(path, age)
            case "archive":
                return age > HOUR and not users.need(found.name.partition(".")[0])
            case "lock":
                return age > HOUR and not any(
                    (cache / "pkgs" / name).exists() or users.need(name) for name in _owners(path)
                )
            case _:
                return age > DAY
    except OSError:
        return False  # it is gone


def _is_abandoned(found: Found, users: Users, age: float) -> bool:
    dead = is_dead(found.name)
    if dead is not None:
        return dead
    if maker := signature_of(found.name):
        return age > STALE_SECONDS and maker not in users.makers
    # rattler puts six letters behind the name of a package that it unpacks.
    return age > HOUR and not users.need(found.name[1:-6])


def _is_over(path: Path, age: float) -> bool:
    if path.parent.name == "users":
        return not is_at_work(path)
    dead = is_dead(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="utf-8", errors="replace"))
    return age > HOUR if dead is None else dead


def _owners(path: Path) -> Iterator[str]:
    """The conda package that a lock, or a note of its files, is of."""
    yield path.name.removesuffix(".lock")
    yield path.name.removesuffix(".json").rpartition("-")[0]


@cached
def _names() -> re.Pattern[str]:
    rows = ("|".join(_pattern(path) for path in holding.paths) for holding in HOLDINGS)
    return re.compile("|".join(f"(?P<h{number}>{row})" for number, row in enumerate(rows)))


@cached
def _folders() -> re.Pattern[str]:
    """The folders that lead to what a cache holds."""
    parents = {"repodata/shards-v1"}
    for holding in HOLDINGS:
        for path in holding.paths:
            parts = path.split("/")
            parents.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return re.compile("|".join(sorted(_pattern(parent) for parent in parents)))


def _pattern(path: str) -> str:
    parts = re.split(r"<(\w+)>", path)
    return "".join(_TOKENS[part] if position % 2 else re.escape(part) for position, part in enumerate(parts))
