"""The files of the program that runs, and of all that it imports: so that a bundle can bring it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


def program_files() -> Iterator[tuple[str, Path]]:
    """Yield path below the program's folder, and file, of dataloader and what it needs on this machine's Python."""
    import dataloader

    root = Path(dataloader.__file__).parent
    for file in _plain(root):
        yield f"dataloader/{file.relative_to(root)}", file
    yield from _beside(root)
    for one in _needed("dataloader"):
        for each in one.files or ():
            file = Path(str(one.locate_file(each)))
            if ".." not in each.parts and "__pycache__" not in each.parts and file.is_file():
                yield each.as_posix(), file


def _plain(root: Path) -> Iterator[Path]:
    yield from (p for p in sorted(root.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)


def _beside(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield what a checkout has beside the package, and a wheel inside it."""
    for name, inside in (("compat-matrix", "_compat_matrix"), ("docs/errors.md", "_docs/errors.md")):
        source = root.parent / name
        if (root / inside).exists() or not source.exists():
            continue
        for file in _plain(source) if source.is_dir() else [source]:
            below = file.relative_to(source).as_posix() if source.is_dir() else ""
            yield "/".join(filter(None, ["dataloader", inside, below])), file


def _needed(name: str) -> list[Distribution]:
    """Return the distributions that one needs here, and they in turn; without it itself."""
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    queue = [(name, frozenset[str]())]
    while queue:
        current, extras = queue.pop()
        try:
            one = distribution(current)
        except PackageNotFoundError:
            continue
        key = re.sub(r"[-_.]+", "-", current).lower()
        if key in found and not extras:
            continue
        found[key] = one
        for text in one.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                queue.append((need.name, frozenset(need.extras)))
    found.pop(name, None)
    return list(found.values())
