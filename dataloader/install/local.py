"""Local trees of a lock, as they are now: a lock says where they are, and a sync what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from dataloader.base.errors import UsageError
from dataloader.base.origin import Origin
from dataloader.base.trees import content_digest, stamp
from dataloader.lockfile.model import Lockfile, Package, PypiPackage


def with_trees(lock: Lockfile) -> Lockfile:
    """Return a lock whose local trees have a digest of what is in them.

    Raises:
        UsageError: ``tree-missing``; one is not there, or cannot be read.
    """
    packages = tuple(map(_with_content, lock.packages))
    return lock if packages == lock.packages else replace(lock, packages=packages)


def _with_content(package: Package) -> Package:
    if not isinstance(package, PypiPackage) or package.build is None or package.content:
        return package
    origin = package.origin
    if origin.kind != "tree":
        return package
    try:
        # Before the content: what is changed in between is seen by the next sync.
        seen = stamp(origin.folder(), editable=origin.editable)
        return replace(package, content=content_digest(origin.folder(), editable=origin.editable), seen=seen)
    except OSError as error:
        raise UsageError(
            f"{package.name} is built from {origin.folder()}, which cannot be read: {error.strerror or error}",
            code="tree-missing",
            suggestions=("put it there again, or lock without it: `dataloader lock`",),
        ) from error


def stamps(lock: Lockfile) -> tuple[tuple[str, bool, str], ...]:
    """Return folder, whether it is led to, and stamp of each local tree of a lock that ``with_trees`` saw."""
    return tuple((p.origin.folder(), p.origin.editable, p.seen) for p in lock.pypi() if p.build is not None and p.seen)


def direct_url(package: PypiPackage, lock: Lockfile) -> bytes | None:
    """Return ``direct_url.json`` (PEP 610) of a package that was asked for by its URL; ``None`` for others."""
    origin = package.origin
    if package.build is not None and origin.kind != "archive":
        said: dict[str, object] = {"url": origin.location}
        if origin.kind == "git":
            asked = _by_url(lock).get(package.name)
            ref = Origin.of(asked).ref if asked else None
            said["vcs_info"] = {
                "vcs": "git",
                "commit_id": origin.commit,
                **({"requested_revision": ref} if ref else {}),
            }
        else:
            said["dir_info"] = {"editable": True} if origin.editable else {}
    elif package.index is None and package.name in _by_url(lock):
        said = {"url": origin.location, "archive_info": {"hashes": {"sha256": package.sha256}}}
    else:
        return None
    if origin.subdirectory:
        said["subdirectory"] = origin.subdirectory
    return json.dumps(said, sort_keys=True).encode()


def _by_url(lock: Lockfile) -> dict[str, str]:
    """Return the projects that a lock was asked for by a URL, to that."""
    return dict(_named(lock.inputs.get("requirements")))


def _named(requirements: object) -> Iterator[tuple[str, str]]:
    for text in requirements if isinstance(requirements, list | tuple) else ():
        name, at, url = str(text).removeprefix("pypi:").partition(" @ ")
        if at:
            yield name.partition("[")[0].strip(), url.partition(" ;")[0].strip()
