"""A pyproject.toml that uv reads: what was asked for, bound to the locked versions and commits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dataloader.export.asked import asked_for
from dataloader.export.formats import ExportOptions
from dataloader.export.pylock import environment_marker
from dataloader.export.sources import PYPI, is_direct
from dataloader.lockfile.model import Lockfile
from dataloader.request.manifests.edit import source_table
from dataloader.request.specs.requirements import PypiRequirement, Source


def pyproject(lock: Lockfile, options: ExportOptions) -> str:
    """``[project]`` with the requirements, ``[tool.uv]`` with the locked versions as constraints, and the indexes."""
    import tomlkit

    asked = [requirement for requirement in asked_for(lock) if isinstance(requirement, PypiRequirement)]
    dependencies = [
        replace(requirement, source=None).requirement if requirement.source else requirement.requirement
        for requirement in asked
    ]
    project: dict[str, Any] = {"name": _project_name(options.name), "version": "0", "dependencies": dependencies}
    if lock.python.version:
        project["requires-python"] = f"=={'.'.join(lock.python.version.split('.')[:2])}.*"
    uv: dict[str, Any] = {"package": False}
    if marker := environment_marker(lock):
        uv["environments"] = [marker]
    if sources := {
        requirement.name: _source(requirement.source, lock, requirement.name)
        for requirement in asked
        if requirement.source
    }:
        uv["sources"] = sources
    uv["constraint-dependencies"] = [f"{p.name}=={p.version}" for p in lock.pypi() if not is_direct(p)]
    pages = [url for url in dict.fromkeys(p.index for p in lock.pypi()) if url and url not in lock.indexes]
    if pages:
        uv["find-links"] = pages
    if lock.indexes and lock.indexes != (PYPI,):
        uv["index"] = [{"url": url, **({"default": True} if not at else {})} for at, url in enumerate(lock.indexes)]
    return tomlkit.dumps({"project": project, "tool": {"uv": uv}})


def _source(source: Source, lock: Lockfile, name: str) -> dict[str, Any]:
    """Return ``[tool.uv.sources]`` of a project: a repository at the locked commit."""
    commit = next((p.origin.commit for p in lock.pypi() if p.name == name), None)
    return source_table(replace(source, rev=commit, rev_kind="rev") if commit else source)


def _project_name(name: str) -> str:
    """A name that PEP 508 allows."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")
    return plain or "environment"
