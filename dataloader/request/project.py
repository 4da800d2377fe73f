"""What a project's own file chooses: which file that is, which sets of it, for which machines, what it overrides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.prefix.locate import PYPROJECT
from dataloader.request.specs.applies import may_apply
from dataloader.request.specs.requirements import PypiRequirement, Requirement, Source
from dataloader.request.specs.sources import from_source

if TYPE_CHECKING:
    from dataloader.request.asked import Asked
    from dataloader.request.manifests.manifest import Manifest, ManifestEnvironment


def overridden(requirements: Iterable[Requirement], overrides: Sequence[PypiRequirement]) -> list[Requirement]:
    """Return requirements with what takes their place: overrides of a project stand for all that is asked of it."""
    names = {override.name for override in overrides}
    said = list(requirements)
    asked = {requirement.name for requirement in said if isinstance(requirement, PypiRequirement)}
    kept = [
        requirement
        for requirement in said
        if not isinstance(requirement, PypiRequirement) or requirement.name not in names
    ]
    extras: dict[str, set[str]] = {}
    for requirement in said:
        if isinstance(requirement, PypiRequirement):
            extras.setdefault(requirement.name, set()).update(requirement.extras)
    more = (
        replace(override, extras=tuple(sorted({*override.extras, *extras[override.name]})))
        for override in overrides
        if override.name in asked
    )
    return [*kept, *more]


def itself(
    manifest: Manifest | None, built: Collection[str], asked: Iterable[Requirement]
) -> Iterator[PypiRequirement]:
    """Yield the project whose file the manifest is, to be led to, where it may be built and none asks for it."""
    name = manifest.project if manifest else None
    if manifest is None or name is None or name not in built:
        return
    if all(requirement.name != name for requirement in asked if isinstance(requirement, PypiRequirement)):
        source = Source(kind="path", location=str(manifest.path.parent), editable=True)
        yield from_source(PypiRequirement(name=name, origin=str(manifest.path)), source)


def left_alone(manifest: Manifest | None, built: Collection[str]) -> Iterator[str]:
    """Yield what is told of a project that is not installed itself."""
    if manifest is not None and manifest.project and manifest.has_backend and manifest.project not in built:
        yield f"{manifest.project} itself is not installed, only what it needs: --build {manifest.project} builds it"


def marker_of(requirement: Requirement) -> str | None:
    """Return a requirement's marker; conda's have none."""
    return requirement.marker if isinstance(requirement, PypiRequirement) else None


def found_project(here: Path, lock: Path) -> Manifest | None:
    """Return the pyproject.toml that lies here, for a command that names no package and adds to no lock."""
    path = here / PYPROJECT
    if not path.is_file() or lock.exists():
        return None
    from dataloader.request.manifests.manifest import load_manifest

    manifest = load_manifest(path)
    return manifest if any(feature.requirements for feature in manifest.features.values()) else None


def project_here(here: Path) -> Path | None:
    """Return the pyproject.toml that lies here, if it is of a project, and says nothing to us yet."""
    path = here / PYPROJECT
    if not path.is_file():
        return None
    from dataloader.request.manifests.manifest import load_manifest

    try:
        manifest: Manifest | None = load_manifest(path)
    except DataloaderError:
        return None
    return path if manifest and (manifest.name or any(f.requirements for f in manifest.features.values())) else None


def groups_of(
    options: Asked, manifest: Manifest | None, lock: Path, environment: str, *, is_typed: bool
) -> tuple[str, ...]:
    """Return the extras and groups that are chosen: those that are said, else those of the lock that is there."""
    said = is_typed and (bool(options.extra or options.group) or options.all_extras is not None)
    named = (*options.requirements, *options.files)
    if manifest is None or (said and named):
        if said and not named:
            raise UsageError(
                "extras and groups are a project's, and there is no pyproject.toml",
                code="group-unknown",
                suggestions=("name it: `--manifest pyproject.toml`",),
            )
        return ()
    if said:
        return manifest.chosen(options.extra, options.group, all_extras=options.all_extras is True)
    if not manifest.sets() or not lock.is_file():
        return ()
    from dataloader.lockfile.yaml import groups_in

    return tuple(key for key in groups_in(lock.read_bytes(), environment) if key in manifest.features)


def check_conditions(manifest: Manifest, platforms: Collection[str]) -> None:
    """Refuse a machine that none of the project's markers holds for."""
    if manifest.conditions and not any(may_apply(marker, platforms) for marker in manifest.conditions):
        raise UsageError(
            f"{manifest.path} is for other machines",
            code="platform-unlisted",
            causes=tuple(f"environments: {marker}" for marker in manifest.conditions),
            suggestions=("add this machine's marker there",),
        )


def check_platform(manifest: Manifest, environment: ManifestEnvironment, platform: str) -> None:
    """Refuse a platform that the manifest does not name, as pixi does."""
    if environment.platforms and platform not in environment.platforms:
        raise UsageError(
            f"{manifest.path} is for {', '.join(environment.platforms)}, and not for {platform}",
            code="platform-unlisted",
            suggestions=(f'add "{platform}" to platforms there', "or name one of its platforms with --platform"),
        )
