"""Where things are without being told: the manifest, the lock, the prefix, what is ours in it. Imports next to nothing.

A sync with nothing to do asks these questions and no others, in a few milliseconds.
"""

# ruff: noqa: PTH113, PTH118, PTH120
# Importing pathlib would cost more than the answers.

from __future__ import annotations

import os

MANIFEST_NAMES = ("dataloader.toml", "pixi.toml", "pyproject.toml")
"""In the order they are looked for in each directory."""

LOCK_NAME = "dataloader.lock"

DEFAULT_PREFIX = os.path.join(".dataloader", "envs", "default")
"""Relative to the directory of the manifest (or to the working directory)."""


STATE = ".dataloader/state.json"
"""Relative to the prefix; its presence says that the environment is ours."""

ACTIVATION = ".dataloader/activation.json"
"""What running inside takes, written when the environment is built; relative to the prefix."""

JOURNAL = ".dataloader/journal"
"""There while a mounted prefix is being switched, or when that was cut off; relative to the prefix."""


def locate_manifest(start: str) -> str | None:
    """Return the nearest manifest, in ``start`` or upward; a pyproject.toml must speak to us to count."""
    directory = start
    while True:
        for name in MANIFEST_NAMES:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and (name != "pyproject.toml" or _speaks_to_us(path)):
                return path
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _speaks_to_us(path: str) -> bool:
    # A cheap look that cannot fail on someone else's broken file; a true hit is parsed and checked later.
    with open(path, "rb") as stream:
        lines = (line.replace(b" ", b"").replace(b"\t", b"") for line in stream)
        return any(line.startswith((b"[tool.dataloader", b"[tool.pixi")) for line in lines)


OWN_FOLDER = ".dataloader"
"""The folder of an environment that belongs to us."""
