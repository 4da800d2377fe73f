"""The environment.yml that a source stands for: what the user wrote, and what every notebook of the platform needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloader.base.errors import ManifestError
from dataloader.dataset.request import DatasetSource

DEFAULT_CHANNELS = ("defaults", "conda-forge")
APPENDED = ("pip", "ipykernel", "nb_conda_kernels", "notebook")
"""What the platform's notebooks need to find the environment and start kernels in it."""
_REPLACED = ("python=", "pip=", "ipykernel=", "nb_conda_kernels=")
"""Specs that begin so make room for the platform's own; ``python>=3.10`` does not begin so, and stays, as does
``python=3.11`` where the platform names no version."""


def read_environment(source: DatasetSource) -> dict[str, Any]:
    """The mapping in the source's file; an empty one where there is none, which the contract allows.

    Raises:
        ManifestError: it is no environment file.
    """
    import yaml

    try:
        data = yaml.safe_load(source.environment_yml.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"{source.environment_yml} cannot be read: {error}", code="environment-invalid") from error
    if data is not None and not isinstance(data, dict):
        raise ManifestError(f"{source.environment_yml} holds no mapping", code="environment-invalid")
    return data or {}


def completed(written: Mapping[str, Any], source: DatasetSource) -> dict[str, Any]:
    """What to lock: the user's file with the platform's packages, indexes, name and prefix."""
    replaced = _REPLACED if source.python else _REPLACED[1:]
    dependencies = [
        requirement
        for requirement in written.get("dependencies") or []
        if not (isinstance(requirement, str) and requirement.replace(" ", "").startswith(replaced))
    ]
    if source.python:
        dependencies.append(f"python={source.python}")
    dependencies += APPENDED
    index: list[str] = []
    if source.index_url:
        index.append(f"--index-url {source.index_url}")
    if source.extra_index_url:
        index.append(f"--extra-index-url {source.extra_index_url}")
    if index:
        dependencies.append({"pip": index})
    return {
        **written,
        "name": source.name,
        "prefix": source.target_prefix,
        "channels": list(written.get("channels") or DEFAULT_CHANNELS),
        "dependencies": _one_pip(dependencies),
    }


def _one_pip(dependencies: list[Any]) -> list[Any]:
    """The parts for pip joined: conda takes but one."""
    plain = [
        dependency for dependency in dependencies if not (isinstance(dependency, dict) and set(dependency) == {"pip"})
    ]
    lines = [
        line
        for dependency in dependencies
        if isinstance(dependency, dict) and set(dependency) == {"pip"}
        for line in dependency["pip"]
    ]
    return [*plain, {"pip": lines}] if lines else plain


def write_environment(document: Mapping[str, Any], path: Path) -> None:
    """Write it where the lock is made from it."""
    import yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
