"""What a local tree says that its lock depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from dataloader.base.errors import ManifestError
from dataloader.base.origin import Origin
from dataloader.base.trees import METADATA_FILES
from dataloader.request.specs.requirements import PypiRequirement
from dataloader.request.toml import Document

_OF_OTHERS = ("dataloader", "pixi", "uv")
"""Tables of [tool] that say what environments are made of, and nothing of the project's wheel."""


def trees_of(requirements: Iterable[PypiRequirement]) -> dict[str, str]:
    """Return what says what local trees need, by their project: whoever changes that has it locked again."""
    origins = {requirement.name: Origin.of(requirement.url) for requirement in requirements if requirement.url}
    return {name: said_in(origin.folder()) for name, origin in sorted(origins.items()) if origin.kind == "tree"}


def said_in(folder: str) -> str:
    """Return a digest of what says what a tree's project needs, and how it is built; empty where nothing does."""
    lines = []
    for name in METADATA_FILES:
        try:
            text = Path(folder, name).read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            continue
        lines.append(f"{name} {_reduced(text) if name == 'pyproject.toml' else text}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest() if lines else ""


def _reduced(text: str) -> str:
    try:
        data = dict(Document(text, Path("pyproject.toml"), code="manifest-invalid", kind="pyproject.toml").data)
    except ManifestError:
        return text  # whoever builds it says what is wrong
    data.pop("dependency-groups", None)
    tools = data.get("tool")
    if isinstance(tools, dict):
        data["tool"] = {name: table for name, table in tools.items() if name not in _OF_OTHERS}
    return json.dumps(data, sort_keys=True, default=str)
