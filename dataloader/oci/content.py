"""What of an environment goes into which layer of its image.

A large package has a layer of its own; the small ones share a few, each always in the same one, so that a package that
changes takes as little as possible along. What the environment itself made comes last. Files that no package brought
stay behind: an image is what its lock says. Nothing depends on the machine or the day: times are fixed, root owns all.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dataloader.base.digests import hex_digest
from dataloader.base.errors import IntegrityError, PrefixError
from dataloader.base.files import walk
from dataloader.base.values import dataclass
from dataloader.prefix.locate import ACTIVATION, OWN_FOLDER, STATE
from dataloader.prefix.records import InstalledPackage, read_installed
from dataloader.prefix.state import State

LOCK = f"{OWN_FOLDER}/dataloader.lock"
"""Where an image has the lock that it was made from; relative to the prefix."""
ENVIRONMENT = "environment"
"""The layer of what no package brought."""
EPOCH = 315_532_800
"""The time of every file, in seconds: 1980, the first that a zip archive can hold."""
PIN = ("_dataloader_generation.py", "00-dataloader-generation.pth")
"""What keeps processes in a generation; whoever makes one of an image adds it."""

_LARGE = 1 << 20
"""Bytes from which a package has a layer of its own."""
_MOST_LARGE = 72
"""Of those. A container runtime takes 127 layers, of which a base image has some."""
_GROUPS = 12
"""Layers that small packages share."""
_OF_THE_MACHINE = ("extracted_package_dir", "package_tarball_full_path", "link")
"""Keys of a conda record that say where the cache of the machine was that linked it."""


class ContentEntry(NamedTuple):
    """One file, or symbolic link. A tuple, because an environment has ten thousands."""

    path: str
    """Relative to the prefix, with ``/``."""
    size: int
    sha256: str = ""
    """Hexadecimal; empty for a link."""
    executable: bool = False
    mtime: int = EPOCH
    """Seconds."""
    target: str | None = None
    """Of a link."""
    content: bytes | None = None
    """Where it is not the file's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One layer to be."""

    name: str
    packages: tuple[str, ...]
    """``name version``, sorted."""
    entries: tuple[ContentEntry, ...]
    """Sorted by path."""

    def key(self, prefix: str, how: str) -> str:
        """What its bytes are made of, in hexadecimal: the same key, the same layer.

        Args:
            prefix: Where the environment is in the image.
            how: Stands for the way it is packed.
        """
        lines = [f"{prefix} {how}"]
        lines += [repr((e.path, e.size, e.sha256, e.executable, e.mtime, e.target)) for e in self.entries]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContent:
    """An environment, as layers."""

    groups: tuple[Group, ...]
    left_out: tuple[str, ...]
    """Files that nobody recorded, but for bytecode: relative to the prefix."""


def read_content(tree: Path, state: State, lock: bytes) -> ImageContent:
    """Sort the files of an environment into layers.

    Args:
        tree: Where it is on disk.
        state: Its own note.
        lock: The bytes of its lock.

    Raises:
        PrefixError: a file that a package recorded is gone (``prefix-damaged``).
    """
    installed = read_installed(tree)
    claims = _claims(installed.packages)
    times = _times(tree, claims)
    by_package: dict[str, list[ContentEntry]] = defaultdict(list)
    seen: set[str] = set()
    for path, (owner, digest) in claims.items():
        entry = _entry(tree, path, digest, times.get(path, EPOCH), owner)
        if entry is not None and entry.path not in seen:
            seen.add(entry.path)
            by_package[owner].append(entry)
    own = _own_entries(tree, state, lock, seen)
    seen.update(entry.path for entry in own)
    labels = {_label(package): f"{package.name} {package.version}" for package in installed.packages}
    groups = [*_grouped(by_package, labels), Group(name=ENVIRONMENT, packages=(), entries=_sorted(own))]
    return ImageContent(groups=tuple(groups), left_out=tuple(_others(tree, seen, state)))


def _label(package: InstalledPackage) -> str:
    return f"{package.kind}:{package.name}"


def _claims(packages: Iterable[InstalledPackage]) -> dict[str, tuple[str, str | None]]:
    """Path -> the package that has it, and its sha256 where one alone vouches for it."""
    claims: dict[str, tuple[str, str | None]] = {}
    for package in packages:
        owner = _label(package)
        if package.kind == "conda":
            claims.setdefault(package.path, (owner, None))
        for file in package.files:
            known = claims.get(file.path)
            digest = file.sha256 if known is None or known[1] == file.sha256 else None
            claims[file.path] = (known[0] if known else owner, digest)
    return claims


def _times(tree: Path, paths: Iterable[str]) -> dict[str, int]:
    """The times that packages' bytecode names: a source of another time would be compiled at each start."""
    found = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if not name.endswith(".pyc") or folder.rpartition("/")[2] != "__pycache__":
            continue
        try:
            with open(tree / path, "rb") as file:
                head = file.read(16)
        except OSError:
            continue  # it is Python's to make again
        if len(head) == 16 and head[4:8] == b"\0\0\0\0":  # checked by time (PEP 552)
            found[f"{folder.rpartition('/')[0]}/{name.partition('.')[0]}.py".lstrip("/")] = struct.unpack(
                "<I", head[8:12]
            )[0]
    return found


def _entry(tree: Path, path: str, digest: str | None, mtime: int, owner: str) -> ContentEntry | None:
    place = tree / path
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if path.endswith((".pyc", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
            return None
        raise PrefixError(
            f"{place}, which belongs to {owner.partition(':')[2]}, is gone",
            code="prefix-damaged",
            suggestions=("`dataloader sync --reinstall` makes the environment anew",),
        ) from None
    real = _without_links(tree, path)
    if stat.S_ISLNK(status.st_mode):
        return ContentEntry(real, 0, target=os.readlink(place))  # noqa: PTH115 -- a text
    if stat.S_ISDIR(status.st_mode):
        return None
    if path.startswith("conda-meta/") and path.endswith(".json"):
        return _given(real, _portable(place.read_bytes()))
    executable = bool(status.st_mode & 0o100)
    return ContentEntry(real, status.st_size, digest or hex_digest(place), executable, mtime)


def _without_links(tree: Path, path: str) -> str:
    """A path without the links among its folders: lib64 of a virtual environment leads to lib."""
    folder, slash, name = path.rpartition("/")
    if not slash or not any((tree / parent).is_symlink() for parent in _above(folder)):
        return path
    return f"{os.path.relpath(os.path.realpath(tree / folder), os.path.realpath(tree))}/{name}"


def _above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _portable(record: bytes) -> bytes:
    """A conda record without what is the machine's."""
    content = json.loads(record)
    kept = {key: value for key, value in content.items() if key not in _OF_THE_MACHINE}
    return (json.dumps(kept, indent=2, sort_keys=True) + "\n").encode()


def _given(path: str, content: bytes) -> ContentEntry:
    return ContentEntry(path, len(content), hashlib.sha256(content).hexdigest(), content=content)


def _own_entries(tree: Path, state: State, lock: bytes, seen: set[str]) -> list[ContentEntry]:
    """What the environment itself made, its lock, and the note of it as it will be true elsewhere."""
    generated = tuple(path for path in state.generated if path.rpartition("/")[2] not in PIN)
    found = []
    for path in (*generated, ACTIVATION):
        if path not in seen and os.path.lexists(tree / path):
            entry = _entry(tree, path, None, EPOCH, ":the environment")
            found += [entry] if entry else []
    # Where lock and manifest were is the machine's; what was asked for stands in the lock.
    noted = replace(state, fingerprint="", lockfile=None, manifest=None, inputs={})
    noted = replace(noted, generated=generated, lock_digest=hashlib.sha256(lock).hexdigest())
    return [*found, _given(STATE, noted.to_bytes()), _given(LOCK, lock)]


def _others(tree: Path, seen: set[str], state: State) -> Iterator[str]:
    """Files that nobody recorded. What Python writes by itself is no file of anybody's."""
    root = os.fspath(tree)
    for folder, _, names in walk(tree):
        inside = folder[len(root) + 1 :]
        if inside == OWN_FOLDER or inside.rpartition("/")[2] == "__pycache__":
            continue
        for name in names:
            path = f"{inside}/{name}" if inside else name
            if path not in seen and path not in state.generated:
                yield path


def _grouped(by_package: Mapping[str, list[ContentEntry]], labels: Mapping[str, str]) -> list[Group]:
    sizes = {owner: sum(entry.size for entry in entries) for owner, entries in by_package.items()}
    large = sorted((o for o in sizes if sizes[o] >= _LARGE), key=lambda o: (-sizes[o], o))[:_MOST_LARGE]
    shared: dict[int, list[str]] = defaultdict(list)
    for owner in sorted(by_package.keys() - set(large)):
        shared[int(hashlib.sha256(owner.encode()).hexdigest()[:8], 16) % _GROUPS].append(owner)
    members = {owner.partition(":")[2]: [owner] for owner in sorted(large)}
    if len(members) < len(large):  # one name in both worlds
        members = {owner: [owner] for owner in sorted(large)}
    members |= {f"small-{number}": owners for number, owners in sorted(shared.items())}
    return [
        Group(
            name=name,
            packages=tuple(sorted(labels[owner] for owner in owners)),
            entries=_sorted(entry for owner in owners for entry in by_package[owner]),
        )
        for name, owners in members.items()
    ]


def _sorted(entries: Iterable[ContentEntry]) -> tuple[ContentEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.path))


def changed(path: Path) -> IntegrityError:
    """The error for a file that is not what its package recorded."""
    return IntegrityError(
        f"{path} is not the file that its package recorded; nothing was pushed under a name",
        code="prefix-changed",
        suggestions=("`dataloader verify` tells what was changed", "`dataloader sync --reinstall` puts it right"),
    )
