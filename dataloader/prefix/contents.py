"""What the files of packages hold inside, as values."""

from __future__ import annotations

from typing import NamedTuple

from dataloader.base.names import World


class InnerLibrary(NamedTuple):
    """One library inside a package."""

    kind: World
    """Of the package."""
    package: str
    path: str
    """Relative to the prefix."""
    name: str
    """Without the mark of who put it into the wheel."""
    version: str | None
    """As its file name has it."""
    sha256: str | None
    """Of the file as it was installed."""
    gpu: tuple[str, ...]
    """GPU code in it: ``sm_90``, ``compute_90 (PTX 8.4)``."""
    is_module: bool
    """It is a Python extension module."""
    is_bundled: bool
    """It was made elsewhere, and put into the wheel."""


class Declared(NamedTuple):
    """One component that a package says it has inside, in a bill of materials of its own (PEP 770)."""

    kind: World
    package: str
    path: str
    """Of that bill, relative to the prefix."""
    name: str
    version: str | None
    purl: str | None
    """Where it is from: the package of a distribution, for the most part."""
