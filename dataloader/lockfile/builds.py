"""The key of a build: what decides which wheel comes of a source. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dataloader.lockfile.model import Build, PypiPackage

_FORMAT = 1
"""Another one when what a key is made of, or how a build is run, changes."""


def build_of(
    package: PypiPackage,
    *,
    python: str,
    platform: str,
    glibc: str | None = None,
    requires: Iterable[str] = (),
    against: Mapping[str, str] | None = None,
    abi: Mapping[str, str] | None = None,
    isolated: bool = True,
) -> Build:
    """Return how a source is built, with its key.

    Which releases of its build requirements are taken is no part of it, but for the frameworks that it is compiled
    against; nor are a compiler and processors: a key would then be of one machine.
    """
    said = Build(
        key="",
        python=python,
        platform=platform,
        glibc=glibc,
        requires=tuple(sorted(requires)),
        against=dict(sorted((against or {}).items())),
        abi=dict(sorted((abi or {}).items())),
        isolated=isolated,
    )
    return replace(said, key=_key(package, said))


def has_its_key(package: PypiPackage) -> bool:
    """Say whether the key of a source's build is that of what stands beside it."""
    return package.build is not None and package.build.key == _key(package, package.build)


def _source(package: PypiPackage) -> str:
    """Return what stands for a source without a hash: a commit, or for a tree nothing, wherever it lies."""
    origin = package.origin
    return f"{origin.commit} {origin.subdirectory or ''}" if origin.commit else f"tree {origin.editable}"


def _key(package: PypiPackage, build: Build) -> str:
    facts = {
        "format": _FORMAT,
        "name": package.name,
        "version": package.version,
        "source": package.sha256 or _source(package),
        "python": build.python,
        "platform": build.platform,
        "glibc": build.glibc,
        "requires": list(build.requires),
        "against": dict(build.against),
        **({"abi": dict(build.abi)} if build.abi else {}),
        **({} if build.isolated else {"isolated": False}),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
