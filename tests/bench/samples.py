"""Sampled metadata of conda channels."""

from __future__ import annotations

from pathlib import Path

import zstandard


def unpack_sample(sample: Path, target: Path) -> Path:
    """Unpack sampled channels: ``file://`` channels are read from plain repodata."""
    for packed in sample.rglob("repodata.json.zst"):
        folder = target / packed.parent.relative_to(sample)
        folder.mkdir(parents=True, exist_ok=True)
        data = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
        (folder / "repodata.json").write_bytes(data)
    return target
