"""Which directories of an environment the loader has to be told of: those of libraries that are opened by name at run
time and that the opener's own RUNPATH does not reach. Who opens what is a fact of compat-matrix/.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dataloader.compat.openings import Opening, load_openings
from dataloader.elf.facts import read_runpath
from dataloader.elf.image import MalformedElf
from dataloader.elf.tokens import expanded


def library_folders(root: str, paths: Iterable[str], versions: Mapping[str, str]) -> tuple[str, ...]:
    """The directories for LD_LIBRARY_PATH, relative to the environment, in the order of the facts.

    Args:
        root: The environment's tree.
        paths: Its files, relative to it.
        versions: Installed projects (normalised) and their versions: some facts hold for some versions only.
    """
    libraries: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        name = path.rpartition("/")[2]
        if ".so" in name:
            libraries[name].append(path)
    folders: dict[str, None] = {}
    for opening in load_openings():
        if opening.by not in libraries or not _applies(opening, versions):
            continue
        opened = list(_opened(opening, libraries))
        for opener in sorted(libraries[opening.by]):
            reached = set(_search_folders(root, opener))
            missed = [name for name in opened if not any(posixpath.dirname(p) in reached for p in libraries[name])]
            # a framework opens its libraries from more than one of its own: once its RUNPATH misses one, name them all
            named = opened if missed and opening.project else missed
            folders |= {posixpath.dirname(min(libraries[name])): None for name in named}
    return tuple(folders)


def _applies(opening: Opening, versions: Mapping[str, str]) -> bool:
    project = opening.project
    return project is None or (project in versions and opening.is_of(project, versions[project]))


def _opened(opening: Opening, libraries: Mapping[str, list[str]]) -> Iterator[str]:
    """The names among ``libraries`` that the opener will ask for."""
    yield from (name for name in opening.opens if name in libraries)
    if opening.pattern:
        yield from (name for name in sorted(libraries) if re.fullmatch(opening.pattern, name))


def _search_folders(root: str, opener: str) -> Iterator[str]:
    """The directories inside the environment that a library's RUNPATH or RPATH names, relative to it (ld.so(8))."""
    origin = posixpath.join(root, posixpath.dirname(opener))
    for entry in _runpath(Path(root, opener)).split(":"):
        if entry:
            relative = os.path.relpath(expanded(entry, {"ORIGIN": origin}), root)
            if not relative.startswith(".."):
                yield relative


def _runpath(path: Path) -> str:
    """DT_RUNPATH, else DT_RPATH; empty when it has neither or is no library."""
    try:
        return read_runpath(path)
    except (OSError, MalformedElf):
        return ""  # verify says what is wrong with the file
