"""What a source says of itself that no build can say otherwise: a PKG-INFO that vouches for it, and [project]."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from dataloader.base.core_metadata import parse_headers
from dataloader.base.errors import IntegrityError
from dataloader.index.model import WheelMetadata
from dataloader.index.wheels.metadata import parse_metadata

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_COMPILED = {".c", ".cc", ".cpp", ".cxx", ".c++", ".cu", ".pyx", ".f", ".f77", ".f90", ".rs", ".m", ".mm", ".go"}
"""Ends of files that compilers are for."""
_TOLD = {"requires-dist", "requires-python", "provides-extra"}
"""Fields of core metadata on which solving depends."""
_MATTER = {"version", "dependencies", "optional-dependencies", "requires-python"}
"""The same of [project]."""


def vouched(text: bytes, *, project: str, version: str) -> WheelMetadata | None:
    """Return the METADATA that a wheel will have, where PKG-INFO vouches for it (PEP 643)."""
    fields = parse_headers(text.decode("utf-8", "replace")) if text else {}
    said = fields.get("metadata-version", [""])[0]
    dynamic = {name.strip().lower() for name in fields.get("dynamic", ())}
    if not _at_least(said, (2, 2)) or dynamic & _TOLD:
        return None
    return parse_metadata(text, project=project, version=version)


def declared(tree: Path, title: str) -> WheelMetadata | None:
    """Return what the [project] of a tree says, where nothing that matters is left to its build.

    Raises:
        IntegrityError: ``source-malformed``; its pyproject.toml cannot be read.
    """
    project = pyproject(tree, title).get("project")
    if not isinstance(project, dict) or not isinstance(project.get("name"), str):
        return None
    if _MATTER & set(project.get("dynamic") or ()) or not isinstance(project.get("version"), str):
        return None
    try:
        requires = tuple(_requires(project))
        version = str(Version(project["version"]))
    except (InvalidRequirement, InvalidVersion, TypeError, AttributeError):
        return None  # its backend says what is wrong
    return WheelMetadata(
        name=canonicalize_name(project["name"]),
        version=version,
        requires_dist=requires,
        requires_python=project.get("requires-python"),
        extras=tuple(canonicalize_name(extra) for extra in project.get("optional-dependencies") or ()),
    )


def has_code_to_compile(tree: Path) -> bool:
    """Say whether a tree has files that a compiler is for; which of them are compiled, its build alone knows."""
    return any(path.suffix.lower() in _COMPILED for path in tree.rglob("*"))


def pyproject(tree: Path, title: str) -> dict[str, Any]:
    """Return a tree's pyproject.toml; empty where there is none.

    Raises:
        IntegrityError: ``source-malformed``.
    """
    try:
        return tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"the pyproject.toml of {title} cannot be read", code="source-malformed", causes=(str(error),)
        ) from error


def _requires(project: dict[str, Any]) -> Iterator[str]:
    """Yield Requires-Dist, as backends write it: what is of an extra has it in its marker."""
    for text in project.get("dependencies") or ():
        yield str(Pep508(text))
    for extra, texts in (project.get("optional-dependencies") or {}).items():
        for text in texts:
            requirement = Pep508(text)
            marker = f"({requirement.marker}) and " if requirement.marker else ""
            requirement.marker = None
            yield f"{requirement}{' ' if requirement.url else ''}; {marker}extra == '{canonicalize_name(extra)}'"


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    major, _, minor = version.strip().partition(".")
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) >= wanted
