"""Cut samples of channel metadata down to what a few problems can reach.

    python tests/data/channels/sample.py SOURCE

``SOURCE`` holds ``<channel>/<subdir>/repodata.json.zst`` as the channels publish them. Records are kept as they are;
what falls away are names that the roots cannot reach and old versions that no root asks for. ``mlbench/`` beside this
folder is what a project of a public benchmark of package managers reaches (tests/bench/mixed.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

SUBDIRS = ("linux-64", "noarch")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """What is kept of channels: names that the roots reach, of each the newest builds or the versions named."""

    folder: Path
    channels: tuple[str, ...]
    roots: tuple[str, ...]
    kept: Mapping[str, tuple[str, ...]]
    """Name -> prefixes of the versions kept; of other names the newest builds are."""
    newest: int
    pythons: tuple[str, ...] = ()
    """Minor versions: what was built for others is left out."""

    def admits(self, record: Mapping[str, Any]) -> bool:
        abis = [spec.split(" ")[1] for spec in record["depends"] if spec.startswith("python_abi 3.")]
        return not self.pythons or all(abi.removesuffix(".*") in self.pythons for abi in abis)


SAMPLES = (
    Sample(
        folder=HERE,
        channels=("pytorch", "nvidia", "conda-forge"),
        roots=("pytorch", "pytorch-cuda", "python", "numpy", "cuda-version", "cudnn", "nccl", "pytorch-gpu"),
        kept={
            "python": ("3.10.", "3.11."),
            "pytorch": ("2.1.",),
            "libtorch": ("2.1.",),
            "numpy": ("1.26.", "2.0.", "2.2."),
        },
        newest=42,
    ),
    Sample(
        folder=HERE.parent / "mlbench",
        channels=("conda-forge",),
        roots=(
            *("python", "pytorch", "torchvision", "numpy", "scipy", "pandas", "opencv", "scikit-learn", "matplotlib"),
            *("h5py", "pillow", "tqdm", "jupyterlab", "protobuf", "pytest", "pytest-timeout"),
        ),
        kept={"python": ("3.11.", "3.12."), "pytorch": ("2.",), "libtorch": ("2.",), "torchvision": ("0.",)},
        newest=42,
        pythons=("3.11", "3.12"),
    ),
)


def main(source: Path) -> None:
    for sample in SAMPLES:
        records = {(c, s): read(source / c / s / "repodata.json.zst") for c in sample.channels for s in SUBDIRS}
        wanted = reachable(records, sample)
        for (channel, subdir), document in records.items():
            for kind in ("packages", "packages.conda"):
                document[kind] = trimmed(document[kind], sample, wanted)
            target = sample.folder / channel / subdir
            target.mkdir(parents=True, exist_ok=True)
            data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
            (target / "repodata.json.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))


def read(path: Path) -> dict[str, Any]:
    return json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))  # type: ignore[no-any-return]


def reachable(records: Mapping[tuple[str, str], dict[str, Any]], sample: Sample) -> set[str]:
    """Return the names that the kept records of the roots depend on, over and over."""
    depends: dict[str, set[str]] = {}
    for document in records.values():
        for kind in ("packages", "packages.conda"):
            for record in trimmed(document[kind], sample, None).values():
                names = {spec.split(" ")[0] for spec in record["depends"]}
                depends.setdefault(record["name"], set()).update(names)
    found, frontier = set(sample.roots), set(sample.roots)
    while frontier:
        frontier = {name for each in frontier for name in depends.get(each, ())} - found
        found |= frontier
    return found


def trimmed(packages: dict[str, Any], sample: Sample, wanted: set[str] | None) -> dict[str, Any]:
    by_name: dict[str, list[tuple[str, Any]]] = {}
    for file_name, record in packages.items():
        if (wanted is None or record["name"] in wanted) and sample.admits(record):
            by_name.setdefault(record["name"], []).append((file_name, record))
    kept: dict[str, Any] = {}
    for name, group in by_name.items():
        prefixes = sample.kept.get(name)
        if prefixes:
            chosen = [(f, r) for f, r in group if r["version"].startswith(prefixes)]
        else:
            group.sort(key=lambda pair: (pair[1].get("timestamp") or 0, pair[0]), reverse=True)
            chosen = group[: sample.newest]
        kept.update(chosen)
    return dict(sorted(kept.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
