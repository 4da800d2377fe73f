"""Variables of a process that decide what it loads. Imports nothing: quick answers ask for them."""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTED = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")
"""Those that are heeded."""


def counted(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment block is heeded: variables that are set and not empty, in a fixed order."""
    return {name: environ[name] for name in COUNTED if environ.get(name)}


def library_folders(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The folders of LD_LIBRARY_PATH, ``:`` or ``;`` between them; one below the working directory is left out."""
    folders = variables.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    return tuple(folder for folder in folders if folder.startswith("/"))


def preloaded(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What LD_PRELOAD names, blanks or ``:`` between them."""
    return tuple(variables.get("LD_PRELOAD", "").replace(":", " ").split())
