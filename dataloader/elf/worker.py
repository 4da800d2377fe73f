"""A process of :mod:`dataloader.elf.readers` that is no fork."""

from __future__ import annotations

import sys
from pathlib import Path


def main(cache_root: str) -> None:
    """Serve until standard input ends."""
    from dataloader.elf.cache import FactsCache
    from dataloader.elf.readers import serve

    serve(FactsCache(Path(cache_root)), sys.stdin, sys.stdout)
