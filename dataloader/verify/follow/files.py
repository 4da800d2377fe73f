"""Paths and files as followed code sees them: ``os``, ``os.path``, ``glob``, ``fnmatch`` and ``pathlib``."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from dataloader.verify.follow.follower import RTLD_GLOBAL, Follower
from dataloader.verify.follow.natives import constant, of_first, on_path, pure
from dataloader.verify.follow.values import (
    UNKNOWN,
    FileValue,
    Native,
    Raised,
    Recorded,
    Unknown,
    text_of,
)

_FOUND: Final = 5000
"""Files that one look at folders gives at most."""


def _is(*kinds: str) -> Callable[[Follower, str], Any]:
    def ask(follower: Follower, path: str) -> Any:
        kind = follower.around.kind_of(path)
        return UNKNOWN if kind is None else kind in kinds

    return ask


def _listdir(follower: Follower, path: str) -> Any:
    names = follower.around.listing(path)
    if names is None:
        if follower.around.kind_of(path) is None:
            return UNKNOWN
        raise Raised(FileNotFoundError, path)
    return list(names)


def _scandir(follower: Follower, path: str) -> Any:
    names = _listdir(follower, path)
    return names if isinstance(names, Unknown) else [PurePosixPath(path, name) for name in names]


def _walk(follower: Follower, top: str) -> Any:
    if follower.around.kind_of(top) is None:
        return UNKNOWN
    return [(folder, folders, files) for folder, folders, files in _folders(follower, top)]


def _folders(follower: Follower, top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    pending, count = [top], 0
    while pending and count < _FOUND:
        folder = pending.pop(0)
        names = follower.around.listing(folder) or ()
        inside = [name for name in names if follower.around.listing(f"{folder}/{name}") is not None]
        yield folder, inside, [name for name in names if name not in inside]
        pending += [f"{folder}/{name}" for name in inside]
        count += len(names)


def _glob(follower: Follower, pattern: str, *, recursive: bool) -> list[str] | Unknown:
    """Paths that match an absolute pattern, below the prefix."""
    parts = pattern.split("/")
    fixed = next((n for n, part in enumerate(parts) if any(char in part for char in "*?[")), len(parts))
    top = "/".join(parts[:fixed])
    if fixed == len(parts):
        kind = follower.around.kind_of(top)
        return UNKNOWN if kind is None else [top] if kind else []
    if not pattern.startswith("/") or follower.around.kind_of(top) is None:
        return UNKNOWN
    found = [top]
    for number, part in enumerate(parts[fixed:], fixed):
        if part == "**" and recursive:
            found = [folder for start in found for folder, _, _ in _folders(follower, start)]
            if number == len(parts) - 1:
                found = [f"{folder}/{name}" for folder in found for name in follower.around.listing(folder) or ()]
            continue
        names = ((folder, name) for folder in found for name in follower.around.listing(folder) or ())
        found = [
            f"{folder}/{name}"
            for folder, name in names
            if fnmatch.fnmatchcase(name, part) and (name[:1] != "." or part[:1] == ".")
        ][:_FOUND]
    return found


def _glob_glob(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    pattern, root = text_of(arguments[0]) if arguments else None, text_of(keywords.get("root_dir", ""))
    if pattern is None or root is None:
        return UNKNOWN
    found = _glob(follower, f"{root}/{pattern}" if root else pattern, recursive=bool(keywords.get("recursive")))
    return [path.removeprefix(f"{root}/") for path in found] if root and isinstance(found, list) else found


def _path_glob(prefix: str) -> Native:
    def call(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        del keywords
        base, pattern = text_of(arguments[0]), text_of(arguments[1]) if len(arguments) > 1 else None
        if base is None or pattern is None:
            return UNKNOWN
        found = _glob(follower, f"{base}/{prefix}{pattern}", recursive=True)
        return [PurePosixPath(path) for path in found] if isinstance(found, list) else found

    return Native("glob", call)


def _read(follower: Follower, path: str) -> Any:
    text = follower.around.text(path)
    return UNKNOWN if text is None else text


def _realpath(path: str) -> str:
    return os.path.realpath(path) if path.startswith("/") else path


def _resolved(follower: Follower, path: str) -> Any:
    del follower
    return PurePosixPath(_realpath(path)) if path.startswith("/") else UNKNOWN


def _absolute(path: Any) -> Any:
    text = text_of(path) or ""
    return posixpath.normpath(text) if text.startswith("/") else UNKNOWN


def _locate(path: Any) -> Any:
    return PurePosixPath(path.site, path) if isinstance(path, Recorded) else UNKNOWN


_METHODS: Final[Mapping[str, Any]] = {
    "exists": on_path("exists", _is("file", "folder")),
    "is_file": on_path("is_file", _is("file")),
    "is_dir": on_path("is_dir", _is("folder")),
    "is_symlink": constant(UNKNOWN),
    "iterdir": on_path("iterdir", _scandir),
    "glob": _path_glob(""),
    "rglob": _path_glob("**/"),
    "resolve": on_path("resolve", _resolved),
    "absolute": on_path("absolute", lambda _, path: PurePosixPath(path)),
    "expanduser": on_path("expanduser", lambda _, path: UNKNOWN if path[:1] == "~" else PurePosixPath(path)),
    "read_text": on_path("read_text", _read),
    "open": on_path("open", lambda _, path: FileValue(path)),
    "locate": of_first(_locate),
}
"""Of paths, beside those that ask nothing but the path."""


def file_modules() -> dict[str, dict[str, Any]]:
    path = {
        "join": pure("join", lambda *parts: posixpath.join(*(text_of(part) or "" for part in parts))),
        "dirname": pure("dirname", lambda path: posixpath.dirname(text_of(path) or "")),
        "basename": pure("basename", lambda path: posixpath.basename(text_of(path) or "")),
        "split": pure("split", lambda path: posixpath.split(text_of(path) or "")),
        "splitext": pure("splitext", lambda path: posixpath.splitext(text_of(path) or "")),
        "normpath": pure("normpath", lambda path: posixpath.normpath(text_of(path) or "")),
        "relpath": pure("relpath", lambda path, start: posixpath.relpath(str(path), str(start))),
        "isabs": pure("isabs", lambda path: posixpath.isabs(text_of(path) or "")),
        "abspath": pure("abspath", _absolute),
        "expanduser": on_path("expanduser", lambda _, path: UNKNOWN if path[:1] == "~" else path),
        "realpath": pure("realpath", lambda path: _realpath(text_of(path) or "")),
        "exists": on_path("exists", _is("file", "folder")),
        "lexists": on_path("lexists", _is("file", "folder")),
        "isfile": on_path("isfile", _is("file")),
        "isdir": on_path("isdir", _is("folder")),
        "sep": "/",
        "pardir": "..",
        "curdir": ".",
    }
    system = {
        "name": "posix",
        "sep": "/",
        "pathsep": ":",
        "listdir": on_path("listdir", _listdir),
        "scandir": on_path("scandir", _scandir),
        "walk": on_path("walk", _walk),
        "fspath": pure("fspath", text_of),
        "fsdecode": pure("fsdecode", text_of),
        "RTLD_GLOBAL": RTLD_GLOBAL,
        "RTLD_LOCAL": 0,
        "RTLD_LAZY": 1,
        "RTLD_NOW": 2,
        "RTLD_DEEPBIND": 8,
        "RTLD_NODELETE": 0x1000,
    }
    glob = Native("glob", _glob_glob)
    a_path = pure("Path", PurePosixPath)
    return {
        "os": system,
        "os.path": path,
        "posixpath": path,
        "glob": {"glob": glob, "iglob": glob},
        "fnmatch": {"fnmatch": pure("fnmatch", fnmatch.fnmatchcase), "filter": pure("filter", fnmatch.filter)},
        "pathlib": dict.fromkeys(("Path", "PurePath", "PosixPath", "PurePosixPath"), a_path),
        "": dict(_METHODS),
    }
