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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader.verify.tables import Opening


def library_folders(root: str, paths: Iterable[str], versions: Mapping[str, str]) -> tuple[str, ...]:
    """The directories for LD_LIBRARY_PATH, relative to the environment, in the order of the facts.

    Args:
        root: The environment's tree.
        paths: Its files, relative to it.
        versions: Installed projects (normalised) and their versions: some facts hold for some versions only.
    """
    from dataloader.verify.tables import load_tables

    libraries: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        name = posixpath.basename(path)
        if ".so" in name:
            libraries[name].append(path)
    folders: dict[str, None] = {}
    for opening in load_tables().openings:
        if opening.by not in libraries or not _applies(opening, versions):
            continue
        for opener in sorted(libraries[opening.by]):
            reached = set(_search_folders(root, opener))
            for name in _opened(opening, libraries):
                if not any(posixpath.dirname(path) in reached for path in libraries[name]):
                    folders[posixpath.dirname(min(libraries[name]))] = None
    return tuple(folders)


def _applies(opening: Opening, versions: Mapping[str, str]) -> bool:
    from packaging.specifiers import SpecifierSet

    if opening.project is None:
        return True
    version = versions.get(opening.project)
    return version is not None and SpecifierSet(opening.specifier).contains(version, prereleases=True)


def _opened(opening: Opening, libraries: Mapping[str, list[str]]) -> Iterator[str]:
    """The names among ``libraries`` that the opener will ask for."""
    yield from (name for name in opening.opens if name in libraries)
    if opening.pattern:
        yield from (name for name in sorted(libraries) if re.fullmatch(opening.pattern, name))


def _search_folders(root: str, opener: str) -> Iterator[str]:
    """The directories inside the environment that a library's RUNPATH or RPATH names, relative to it (ld.so(8))."""
    from dataloader.verify.elf import MalformedElf, read_elf

    try:
        facts, _ = read_elf(Path(root, opener))
    except MalformedElf:
        return
    origin = posixpath.dirname(opener)
    for entry in (facts.runpath or facts.rpath or "").split(":"):
        if entry:
            expanded = re.sub(r"\$\{ORIGIN\}|\$ORIGIN\b", lambda _: os.path.join(root, origin), entry)  # noqa: PTH118
            relative = os.path.relpath(expanded, root)
            if not relative.startswith(".."):
                yield relative
