"""What an unpacked conda package would put into an environment, read and judged before rattler links any of it.

rattler takes a package's word: ``info/paths.json`` says where files go, ``info/link.json`` which commands there are,
and a link is made to wherever it leads. ``bounds.py`` has the rules.
"""

# ruff: noqa: PTH115
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from dataloader.base.digests import LARGE, hex_digest
from dataloader.base.files import replace_file
from dataloader.base.values import dataclass
from dataloader.install.bounds import (
    DEEPEST,
    Refused,
    check_command,
    check_count,
    check_links,
    check_member,
    check_place,
    with_parents,
)
from dataloader.install.store.slips import Slip
from dataloader.lockfile.model import CondaPackage

INDEX, PATHS = "info/index.json", "info/paths.json"

_SLIPS = "published_otherwise"
"""Our key in a cached package's ``PATHS``: what was not true of it."""

_TYPES = {"hardlink": stat.S_IFREG, "softlink": stat.S_IFLNK, "directory": stat.S_IFDIR}
_SITE, _SCRIPTS = "site-packages/", "python-scripts/"
"""Where packages for any Python have what goes to this one's folders."""

ANY_SITE_PACKAGES = "lib/python/site-packages"
"""Where modules go as long as no Python is known: as deep as with one."""

_LARGEST_JSON = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What one package brings, by paths in its archive."""

    paths: tuple[str, ...]
    links: Mapping[str, str]
    """Those that are symbolic links, and their targets."""
    commands: tuple[str, ...]
    """Commands that are made when it is linked."""
    for_any_python: bool
    slips: Mapping[str, Slip] = field(default_factory=dict)
    """Of those that differ from what the package's own record said of them."""

    def placed(self, site_packages: str) -> tuple[str, ...]:
        """The paths in an environment."""
        if not self.for_any_python:
            return self.paths
        return tuple(_placed(path, site_packages) for path in self.paths)


def read_contents(entry: Path, package: CondaPackage) -> Contents:
    """Read what an unpacked package brings.

    Raises:
        Refused: it wants a place that is not a package's, is not the package that it should be, or no true one.
    """
    index = _json(entry, INDEX)
    for name in ("name", "version", "build"):
        if index.get(name) != getattr(package, name):
            raise Refused(f"has the {name} {index.get(name)!r} by its own {INDEX}", escapes=False)
    for_any_python = index.get("noarch") == "python"
    record = _record(entry)
    types = _types(entry, record)
    check_count(len(types))
    for path in types:
        check_member(path)
        if not (for_any_python and path.startswith((_SITE, _SCRIPTS))):
            check_place(path)
    root = os.fspath(entry)
    for folder in with_parents(path.rpartition("/")[0] for path in types):
        if not _is(f"{root}/{folder}", stat.S_IFDIR):
            raise Refused(f"has files below {folder}, which is no folder in its archive", escapes=True)
    _check_tree(root)
    links = {}
    for path, kind in types.items():
        mode = _mode(f"{root}/{path}")
        if kind is not None and mode != kind:
            raise Refused(f"does not hold {path} as the kind of file that {PATHS} says", escapes=False)
        if mode == stat.S_IFLNK:
            links[path] = os.readlink(f"{root}/{path}")
    commands = tuple(_commands(entry)) if for_any_python else ()
    contents = Contents(
        paths=tuple(types), links=links, commands=commands, for_any_python=for_any_python, slips=_slips(record or {})
    )
    check_together({package: contents}, ANY_SITE_PACKAGES)
    return contents


def with_true_record(entry: Path, contents: Contents, *, all_files: bool) -> Contents:
    """Make an unpacked package's ``info/paths.json`` say what is there; what it said before are its slips.

    Args:
        all_files: Hash large ones too, of which nobody has to know so soon: see ``LARGE``.
    """
    record = _record(entry)
    if record is None:
        return contents
    slips = dict(_mended(os.fspath(entry), record["paths"], all_files=all_files))
    if slips or _SLIPS in record:
        replace_file(entry / PATHS, json.dumps({**record, _SLIPS: slips}, indent=1).encode())
    return replace(contents, slips=slips)


def _slips(record: dict[str, Any]) -> dict[str, Slip]:
    """What the record of a package in a cache said before it was made true."""
    said = record.get(_SLIPS)
    pairs = said.items() if isinstance(said, dict) else ()
    return {
        path: Slip(*map(str, pair)) for path, pair in pairs if isinstance(pair, list) and len(pair) == len(Slip._fields)
    }


def _mended(root: str, rows: list[dict[str, Any]], *, all_files: bool) -> Iterator[tuple[str, Slip]]:
    for row in rows:
        path = row["_path"]
        status = os.lstat(f"{root}/{path}")
        if not stat.S_ISREG(status.st_mode):
            continue
        size, digest = row.get("size_in_bytes"), row.get("sha256")
        if digest is not None and (all_files or status.st_size <= LARGE):
            found = hex_digest(f"{root}/{path}")
            if found != digest:
                row |= {"sha256": found, "size_in_bytes": status.st_size}
                yield path, Slip(published=digest, installed=found)
                continue
        if size is not None and size != status.st_size:
            row["size_in_bytes"] = status.st_size
            yield path, Slip(published=f"{size} bytes", installed=f"{status.st_size} bytes")


def check_identity(package: CondaPackage) -> None:
    """Refuse what a lock (or the channel behind it) may not call a package: names of files are made of these.

    Raises:
        Refused: as it says.
    """
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", package.name):
        raise Refused("has a name that is none of a conda package", escapes=True)
    for text in (package.version, package.build):
        if not re.fullmatch(r"[A-Za-z0-9_.+!~-]+", text):
            raise Refused(f"has the version or build {text!r}, which is none", escapes=True)
    if package.python_site_packages_path is not None:
        check_member(package.python_site_packages_path)
        check_place(package.python_site_packages_path)


def check_together(contents: Mapping[CondaPackage, Contents], site_packages: str) -> list[str]:
    """Judge packages that are linked into one environment: what one brings may lead another's files outside.

    Returns:
        What the user should know of, in sentences.

    Raises:
        Refused: as it says; its fact names the package.
    """
    links: dict[str, str] = {}
    owners: dict[str, str] = {}
    folders: set[str] = set()
    for package, content in contents.items():
        placed = content.placed(site_packages)
        if content.for_any_python and len(set(placed)) != len(placed):
            raise Refused("holds one file in two places that are the same in an environment", escapes=False)
        folders.update(path.rpartition("/")[0] for path in placed)
        for path, target in content.links.items():
            here = _placed(path, site_packages) if content.for_any_python else path
            links[here], owners[here] = target, package.name
    for package, content in contents.items():
        for command in content.commands:
            if f"bin/{command}" in links:
                raise Refused(
                    f"has the command {command}, where {owners[f'bin/{command}']} of {package.name} has a link",
                    escapes=True,
                )
    return [
        f"{owners[path]} has the link {path} to {links[path]}, outside of the environment."
        for path in check_links(links, folders)
    ]


def _check_tree(root: str) -> None:
    """Refuse what no archive of a package has: devices and pipes, folders in folders without end."""
    todo = [(root, 0)]
    while todo:
        folder, depth = todo.pop()
        if depth > DEEPEST:
            raise Refused(f"holds {depth} folders in one another", escapes=False)
        with os.scandir(folder) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    todo.append((entry.path, depth + 1))
                elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink():
                    raise Refused(f"holds {entry.name!r}, which is no file but a device or a pipe", escapes=True)


def placed_in(site_packages: str, contents: Contents, path: str) -> str:
    """Where a path of an archive goes in an environment."""
    return _placed(path, site_packages) if contents.for_any_python else path


def _placed(path: str, site_packages: str) -> str:
    if path.startswith(_SITE):
        return f"{site_packages}/{path.removeprefix(_SITE)}"
    return f"bin/{path.removeprefix(_SCRIPTS)}" if path.startswith(_SCRIPTS) else path


def _record(entry: Path) -> dict[str, Any] | None:
    """What ``PATHS`` holds; ``None`` for a package from before 2017, which has no such file."""
    return _json(entry, PATHS) if os.path.lexists(entry / PATHS) else None


def _types(entry: Path, record: dict[str, Any] | None) -> dict[str, int | None]:
    """The paths of a package and what kind of file each is to be; ``None`` where that is left to the archive."""
    types: dict[str, int | None] = {}
    for path, kind in _rows(entry, record):
        if path in types:
            raise Refused(f"names {path} twice in {PATHS}", escapes=False)
        types[path] = kind
    return types


def _rows(entry: Path, record: dict[str, Any] | None) -> Iterator[tuple[str, int | None]]:
    if record is None:
        yield from ((line, None) for line in _read(entry, "info/files").decode("utf-8", "replace").splitlines() if line)
        return
    rows = record.get("paths")
    if not isinstance(rows, list):
        raise Refused(f"has no list of paths in {PATHS}", escapes=False)
    for row in rows:
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("_path"), str)
            or str(row.get("path_type")) not in _TYPES
        ):
            raise Refused(f"has a row in {PATHS} that names no file: {str(row)[:100]}", escapes=False)
        if row.get("prefix_placeholder") == "":
            raise Refused(f"has an empty placeholder for {row['_path']} in {PATHS}", escapes=False)
        yield row["_path"], _TYPES[row["path_type"]]


def _commands(entry: Path) -> Iterator[str]:
    link = _json(entry, "info/link.json").get("noarch")
    points = link.get("entry_points") or [] if isinstance(link, dict) and link.get("type") == "python" else None
    if not isinstance(points, list):
        raise Refused("is for any Python, and info/link.json does not say how", escapes=False)
    for point in points:
        name, equals, target = str(point).partition("=")
        if not equals or not re.fullmatch(r"\s*[\w.]+\s*:\s*[\w.]+\s*", target):
            raise Refused(f"has the entry point {point!r}, which is none", escapes=False)
        check_command(name.strip())
        yield name.strip()


def _json(entry: Path, path: str) -> dict[str, Any]:
    try:
        content = json.loads(_read(entry, path))
    except (ValueError, RecursionError) as error:
        raise Refused(f"has an {path} that is not JSON", escapes=False) from error
    if not isinstance(content, dict):
        raise Refused(f"has an {path} that is no object", escapes=False)
    return content


def _read(entry: Path, path: str) -> bytes:
    """A description of the package, which is a file of its own."""
    place = entry / path
    if not _is(os.fspath(place.parent), stat.S_IFDIR) or not _is(os.fspath(place), stat.S_IFREG):
        raise Refused(f"has no {path}", escapes=False)
    with place.open("rb") as stream:
        content = stream.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON:
        raise Refused(f"has an {path} of more than {_LARGEST_JSON} bytes", escapes=False)
    return content


def _is(path: str, kind: int) -> bool:
    return _mode(path) == kind


def _mode(path: str) -> int:
    """What kind of file is there, links not followed; 0 where there is none."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return 0
