"""Where the compatibility matrix lives: inside the installed wheel, else in the source tree."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def matrix_dir() -> Path:
    """Return the folder of the reviewed data files."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_compat_matrix"
    return installed if installed.is_dir() else package.parent / "compat-matrix"
