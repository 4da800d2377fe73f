"""Where the lock, the environment and the manifest of a command are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.prefix.locate import (
    DEFAULT_ENVIRONMENT,
    locate_manifest,
    lock_in,
    lock_noted,
    names_environments,
    own_lock,
    prefix_in,
    root_of,
)

if TYPE_CHECKING:
    from dataloader.request.asked import Asked
    from dataloader.request.manifests.manifest import Manifest


def lock_path(options: Asked, here: Path) -> Path:
    """Return the lock that a command is about.

    Without a manifest an environment that is named follows the lock that it was made from, wherever that is.
    """
    if options.lockfile is not None:
        return options.lockfile
    if options.prefix is not None and manifest_path(options, here) is None and (noted := lock_noted(options.prefix)):
        return Path(noted)
    manifest = manifest_path(options, here)
    root = root_of(str(manifest) if manifest else None, str(here))
    return Path(lock_in(root, options.environment or DEFAULT_ENVIRONMENT, manifest=manifest is not None))


def environment_in(options: Asked, here: Path, lock: Path) -> str:
    """Return what the environment that a command is about is called in a lock: one of its own has no other name."""
    name = options.environment or DEFAULT_ENVIRONMENT
    is_own = lock.name == own_lock(name) or (manifest_path(options, here) is None and not names_environments(str(lock)))
    return DEFAULT_ENVIRONMENT if is_own else name


def checked_lock(path: Path) -> Path:
    """Refuse a device, a pipe or a folder in the place of a lock: it is read again, and put back where a command fails.

    Raises:
        UsageError: ``path-unusable``.
    """
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{path} is no file", code="path-unusable", suggestions=("name a file for the lock with --lockfile",)
        )
    return path


def prefix_path(options: Asked, here: Path) -> Path:
    """Return the environment that a command is about."""
    return options.prefix or Path(prefix_in(_root(options, here), options.environment or DEFAULT_ENVIRONMENT))


def _root(options: Asked, here: Path) -> str:
    path = manifest_path(options, here)
    return root_of(str(path) if path else None, str(here))


def manifest_path(options: Asked, here: Path) -> Path | None:
    """Return where the manifest is that a command stands under: most commands need no more of it than that.

    Raises:
        ManifestError: ``manifest-missing``, the one that was named.
    """
    if options.manifest is None:
        found = locate_manifest(str(here))
        return Path(found) if found else None
    if not options.manifest.exists():
        from dataloader.request.manifests.manifest import missing_manifest

        raise missing_manifest(options.manifest)
    return options.manifest


def find(options: Asked, here: Path) -> Manifest | None:
    """Return the manifest that a command stands under."""
    path = manifest_path(options, here)
    if path is None:
        return None
    from dataloader.request.manifests.manifest import load_manifest

    return load_manifest(path)


def matrix_path(options: Asked, here: Path) -> Path | None:
    """Return the file with rows on top of the compatibility matrix: what is said, else what the manifest names."""
    return options.matrix or matrix_in(manifest_path(options, here))


def matrix_in(manifest: Path | None) -> Path | None:
    """Return the file with rows that a manifest names: most name none, and are not read for that."""
    if manifest is None or b"matrix" not in manifest.read_bytes():
        return None
    from dataloader.request.manifests.manifest import load_manifest

    named = load_manifest(manifest).resolution.matrix
    return manifest.parent / named if named else None
