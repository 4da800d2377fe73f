"""The files of the program that runs, and of all that it imports: so that a bundle can bring it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import dataloader
from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.process.distribution import own_distribution


def program_files() -> Iterator[tuple[str, Path]]:
    """Yield path below the program's folder, and file, of dataloader and what it needs on this machine's Python."""
    root = Path(dataloader.__file__).parent
    for file in _plain(root):
        yield f"dataloader/{file.relative_to(root)}", file
    yield from _beside(root)
    for needed in _needed():
        for recorded in needed.files or ():
            file = Path(str(needed.locate_file(recorded)))
            if ".." not in recorded.parts and "__pycache__" not in recorded.parts and file.is_file():
                yield recorded.as_posix(), file


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


def _needed() -> list[Distribution]:
    """Return the distributions that ours needs here, and they in turn; without it itself."""
    from packaging.requirements import Requirement

    ours = own_distribution()
    if ours is None:
        raise UsageError(
            "this dataloader was never installed, so what it needs is not known",
            code="program-unknown",
            suggestions=("leave it out: --no-program",),
        )
    found: dict[str, Distribution] = {}
    queue = [(ours, frozenset[str]())]
    while queue:
        current, extras = queue.pop()
        found[normalized(current.name)] = current
        for text in current.requires or ():
            need = Requirement(text)
            if need.marker is not None and not any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                continue
            if normalized(need.name) in found and not need.extras:
                continue
            # What a marker lets in is there, or the program would not run.
            queue.append((distribution(need.name), frozenset(need.extras)))
    del found[normalized(ours.name)]
    return list(found.values())
