"""Where the compatibility matrix lives: inside the installed wheel, else in the source tree."""

# ruff: noqa: PTH112, PTH118, PTH120
# As dataloader.prefix.locate: the short way of verify asks, and importing pathlib would take longer than its answer.

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from pathlib import Path


def matrix_folder() -> str:
    """:func:`matrix_dir` as a string."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    installed = os.path.join(package, "_compat_matrix")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "compat-matrix")


def matrix_dir() -> Path:
    """Return the folder of the reviewed data files."""
    from pathlib import Path

    return Path(matrix_folder())
