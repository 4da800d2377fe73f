"""requirements.txt with hashes, as pip's hash-checking mode reads it."""

from __future__ import annotations

from dataloader.export.formats import ExportOptions
from dataloader.export.sources import index_lines, pinned
from dataloader.lockfile.model import Lockfile


def requirements(lock: Lockfile, options: ExportOptions) -> str:
    """Every wheel with its version and, where pip can check all of them, its hash; and the indexes that have them."""
    del options
    python = f", Python {lock.python.version}" if lock.python.version else ""
    lines = [f"# For {lock.platform}{python}.", *index_lines(lock)]
    if all(package.sha256 for package in lock.pypi()):
        lines += [f"{pinned(package)} \\\n    --hash=sha256:{package.sha256}" for package in lock.pypi()]
    else:
        lines += ["# Without hashes: pip takes none where one is a repository or a tree.", *map(pinned, lock.pypi())]
    return "\n".join(lines) + "\n"
