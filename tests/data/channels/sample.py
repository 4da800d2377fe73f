"""Cut a sample of channel metadata down to what a few problems can reach.

    python tests/data/channels/sample.py SOURCE

``SOURCE`` holds ``<channel>/<subdir>/repodata.json.zst`` as the channels publish them. Records are kept as they are;
what falls away are names that the roots cannot reach and old versions that no root asks for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import zstandard

CHANNELS = ("pytorch", "nvidia", "conda-forge")
SUBDIRS = ("linux-64", "noarch")
HERE = Path(__file__).parent
ROOTS = ("pytorch", "pytorch-cuda", "python", "numpy", "cuda-version", "cudnn", "nccl", "pytorch-gpu")
KEPT = {"python": ("3.10.", "3.11."), "pytorch": ("2.1.",), "libtorch": ("2.1.",), "numpy": ("1.26.", "2.0.", "2.2.")}
"""Name -> prefixes of the versions kept; of other names the newest builds are."""
NEWEST = 14


def main(source: Path) -> None:
    records = {(c, s): read(source / c / s / "repodata.json.zst") for c in CHANNELS for s in SUBDIRS}
    wanted = reachable(records)
    for (channel, subdir), document in records.items():
        for kind in ("packages", "packages.conda"):
            document[kind] = trimmed(document[kind], wanted)
        target = HERE / channel / subdir
        target.mkdir(parents=True, exist_ok=True)
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        (target / "repodata.json.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))


def read(path: Path) -> dict[str, Any]:
    return json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))  # type: ignore[no-any-return]


def reachable(records: dict[tuple[str, str], dict[str, Any]]) -> set[str]:
    """Return the names that the kept records of the roots depend on, over and over."""
    depends: dict[str, set[str]] = {}
    for document in records.values():
        for kind in ("packages", "packages.conda"):
            for record in trimmed(document[kind], None).values():
                names = {spec.split(" ")[0] for spec in record["depends"]}
                depends.setdefault(record["name"], set()).update(names)
    found, frontier = set(ROOTS), set(ROOTS)
    while frontier:
        frontier = {name for each in frontier for name in depends.get(each, ())} - found
        found |= frontier
    return found


def trimmed(packages: dict[str, Any], wanted: set[str] | None) -> dict[str, Any]:
    by_name: dict[str, list[tuple[str, Any]]] = {}
    for file_name, record in packages.items():
        if wanted is None or record["name"] in wanted:
            by_name.setdefault(record["name"], []).append((file_name, record))
    kept: dict[str, Any] = {}
    for name, group in by_name.items():
        prefixes = KEPT.get(name)
        if prefixes:
            chosen = [(f, r) for f, r in group if r["version"].startswith(prefixes)]
        else:
            group.sort(key=lambda pair: (pair[1].get("timestamp") or 0, pair[0]), reverse=True)
            chosen = group[: NEWEST * 3]
        kept.update(chosen)
    return dict(sorted(kept.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
