"""What followed code is in: the files it can look at, and the process in which it opens libraries. A protocol."""

from __future__ import annotations

import ast
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple, Protocol


class ParsedSource(NamedTuple):
    """One source, parsed: whoever imports it again follows the same tree."""

    tree: ast.Module | None
    """``None`` where it cannot be parsed."""
    size: int
    """Characters."""
    opens: bool
    """It mentions what opens libraries."""


class Surroundings(Protocol):
    """Answers what code asks, and does what it does. Paths are absolute."""

    prefix: str
    sites: Sequence[str]
    """Folders that modules are looked for in, in order."""
    version: tuple[int, int] | None
    """Of Python."""
    machine: str
    variables: Mapping[str, str]
    """Those of the process's environment that are known."""
    parsed: MutableMapping[str, ParsedSource]
    """Path -> source, of what was followed by anyone; added to."""

    def listing(self, folder: str) -> Sequence[str] | None:
        """Names in a folder, sorted; ``None`` where there is none."""

    def kind_of(self, path: str) -> str | None:
        """``file``, ``folder`` or ``""`` for nothing; ``None`` where it is not looked."""

    def text(self, path: str) -> str | None:
        """What a file of the prefix says; ``None`` where it cannot be read."""

    def takes_extension(self, file_name: str) -> bool:
        """Whether this Python imports an extension module from a file of that name."""

    def recorded(self, project: str) -> tuple[str, Sequence[str], str] | None:
        """Site folder, files and version of a distribution; ``None`` where it is not installed."""

    def find_library(self, name: str) -> str | None:
        """As ``ctypes.util.find_library``; ``None`` where it is not known what that gives."""

    def named_by_nvidia(self, name: str) -> Sequence[str]:
        """Files of NVIDIA's wheels that ``cuda.pathfinder`` would open for a name without ``lib``."""

    def follows(self, path: str) -> bool:
        """Whether the source at ``path`` is to be followed."""

    def bring(self, path: str, *, certain: bool) -> Sequence[str]:
        """Import a distribution that is not followed, by one of its files; gives the modules to be followed for it."""

    def open(self, path: str, *, certain: bool, everywhere: bool) -> bool | None:
        """``dlopen`` of a path or a bare name; ``None`` where it is not known whether it succeeds.

        Args:
            certain: It happens whatever is unknown.
            everywhere: With ``RTLD_GLOBAL``.
        """

    def open_unknown(self, where: str) -> None:
        """Something is opened, and what is not known.

        Args:
            where: The place in the code.
        """

    def import_extension(self, path: str, *, certain: bool, everywhere: bool) -> bool | None:
        """Import an extension module; ``None`` as above."""
