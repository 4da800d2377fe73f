"""pixi's files: its lock, by rattler's model of it, and a workspace."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dataloader.export.formats import ExportOptions
from dataloader.export.sources import PYPI
from dataloader.lockfile.model import Lockfile
from dataloader.lockfile.parts import beside
from dataloader.request.specs.requirements import CondaRequirement, Requirement


def pixi_lock(lock: Lockfile, options: ExportOptions) -> str:
    """The lock as rattler writes it (format 7), which pixi reads."""
    import rattler

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.lock", Path(folder) / "pixi.lock"
        ours.write_text(pixi_lock_6(lock, options), encoding="utf-8")
        rattler.LockFile.from_path(ours).to_path(theirs)
        return theirs.read_text(encoding="utf-8")


def pixi_lock_6(lock: Lockfile, options: ExportOptions) -> str:
    """Our lock, which is in format 6, without what is ours alone."""
    from dataloader.lockfile.yaml import dump_locks

    text = dump_locks(beside(options.others, [lock]))
    return text[: text.index("\ndataloader:\n") + 1]


def pixi_toml(lock: Lockfile, options: ExportOptions) -> str:
    """A workspace that asks for what was asked for here. pixi solves it anew; pixi.lock holds the exact packages."""
    import tomlkit

    from dataloader.export.asked import asked_for
    from dataloader.request.manifests.additions import Additions
    from dataloader.request.manifests.edit import add_to_manifest
    from dataloader.request.manifests.new import new_manifest

    channels = [url.rstrip("/") for url in lock.channels] or ["conda-forge"]
    text = new_manifest(name=options.name, channels=channels, platform=lock.platform, pixi=True)
    asked: list[Requirement] = list(asked_for(lock))
    if lock.python.source == "host" and all(requirement.name != "python" for requirement in asked):
        # pixi takes its Python from a channel; here it was this machine's.
        asked.append(CondaRequirement(name="python", version=f"{lock.python.version}.*"))
    document = tomlkit.parse(add_to_manifest(text, "pixi.toml", Additions(requirements=tuple(asked))))
    if cuda := lock.stack.get("cuda"):
        document["system-requirements"] = {"cuda": cuda}
    if links := [url for url in dict.fromkeys(p.index for p in lock.pypi()) if url and url not in lock.indexes]:
        document["pypi-options"] = {"find-links": [{"url": url} for url in links]}
    if lock.indexes and lock.indexes != (PYPI,):
        options_table = document.setdefault("pypi-options", {})
        options_table["index-url"] = lock.indexes[0]
        if lock.indexes[1:]:
            options_table["extra-index-urls"] = list(lock.indexes[1:])
    return tomlkit.dumps(document)
