"""One more process that reads ELF files: ``[path, key]`` lines in, ``[null]`` (kept in the cache) or a problem out."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(cache_root: str) -> None:
    """Serve until standard input ends."""
    from dataloader.verify.cache import FactsCache
    from dataloader.verify.scan import read_into_cache

    cache = FactsCache(Path(cache_root))
    for line in sys.stdin:
        path, key = json.loads(line)
        facts, problem = read_into_cache(cache, path, key)
        sys.stdout.write(json.dumps([None] if facts else problem) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    main(sys.argv[1])
