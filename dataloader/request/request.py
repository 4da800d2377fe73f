"""What one command asks for: flags, manifest and input files joined into one frozen value.

Precedence: what is typed, then ``DATALOADER_*`` (both arrive in the options), then the files named, then the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.platforms import check_known, detect_platform
from dataloader.base.values import dataclass
from dataloader.index.web.credentials import public_channel, without_credentials
from dataloader.lockfile.portable import relative_url
from dataloader.machine.target import SystemRequirements
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT
from dataloader.request.bound import Binding, Given, bind
from dataloader.request.places import checked_lock, environment_in, find, lock_path, prefix_path
from dataloader.request.project import (
    check_conditions,
    check_platform,
    found_project,
    groups_of,
)
from dataloader.request.solve_group import digests
from dataloader.request.specs.joined import together, together_conda
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement
from dataloader.request.supply import (
    ALL_PROJECTS,
    binaries,
    built_projects,
    check_addresses,
    index_manifest,
    named_channels,
    prerelease_of,
    said_sources,
    settings_of,
    with_their_own,
)

if TYPE_CHECKING:
    from dataloader.index.settings import IndexSettings
    from dataloader.request.asked import Asked, CondaMode, PrereleaseMode, StackAsked
    from dataloader.request.input_file import InputFile
    from dataloader.request.manifests.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An environment as asked for, from all sources."""

    manifest: Manifest | None
    lockfile: Path
    prefix: Path
    environment: str = DEFAULT_ENVIRONMENT
    """What it is called in the lock."""
    pypi: tuple[PypiRequirement, ...] = ()
    """As said, in several places perhaps: all of them bind."""
    conda: tuple[CondaRequirement, ...] = ()
    said: tuple[Requirement, ...] = ()
    """What this command said: one for each project, in the place of what was remembered of it."""
    pythons: tuple[str, ...] = ()
    """Who asks for which Python, as ``PLACE (VERSION)``."""
    told: tuple[str, ...] = ()
    """What takes the place of what, to be said."""
    constraints: tuple[PypiRequirement, ...] = ()
    limits: tuple[CondaRequirement, ...] = ()
    """Conda packages that are limited if something brings them in."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Set where the environment is active."""
    files: tuple[InputFile, ...] = ()
    """The files that the command names, as read."""
    channels: tuple[str, ...] = ()
    """Base URLs, most preferred first."""
    channels_said: bool = False
    """Whether somebody named channels; else they are the default ones."""
    channel_priority: str = "strict"
    conda_mode: CondaMode = "auto"
    stack: Mapping[str, str] = field(default_factory=dict)
    """Axis or framework -> what was asked (``""``: any version)."""
    system: SystemRequirements = field(default_factory=SystemRequirements)
    gpus: tuple[str, ...] = ()
    target_file: Path | None = None
    platform: str = field(default_factory=detect_platform)
    """conda subdir that is solved for."""
    platforms: tuple[str, ...] = ()
    """Those that the manifest names for the environment; ``platform`` is one of them."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Addresses of requirements with a user and a password, which stand nowhere else."""
    read_settings: Callable[[], IndexSettings] = field(repr=False, compare=False)
    """Settings of the network edge: a plan reads none."""
    prerelease: PrereleaseMode = "if-necessary"
    exclude_newer: str | None = None
    """As said: a day, a time, a duration, or ``framework`` (``dataloader.request.dates``)."""
    no_binary: tuple[str, ...] = ()
    """Projects whose wheels are not used (normalised); ``:all:`` for every project but those of ``only_binary``."""
    only_binary: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    """Projects that may be built from source, where there is no wheel (normalised, sorted)."""
    build_requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Project -> what its build is given beyond what it asks for itself."""
    sources: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Where distributions come from, as was said for an environment without a manifest (``supply.said_sources``)."""
    build_limits: Mapping[str, str] = field(default_factory=dict)
    """What a build may take of the machine, as said; nothing of it is in a lock."""
    build_registry: str | None = None
    """The repository that has wheels which were built, as said; nothing of it is in a lock."""
    unisolated: tuple[str, ...] = ()
    """Projects whose builds see what the environment has."""
    require_hashes: bool = False
    """Whether every wheel has to be one whose hash was written down."""
    groups: tuple[str, ...] = ()
    """Extras and groups of the project that were chosen, as ``extra:NAME`` and ``group:NAME``."""
    overrides: tuple[PypiRequirement, ...] = ()
    """Take the place of whatever is asked of a project, by whomever."""
    prefer: tuple[Path, ...] = ()
    """Locks of other tools whose versions a first lock prefers."""
    mates: tuple[Request, ...] = ()
    """What the environments ask for that share versions with this one (pixi's solve-group)."""
    left_out: tuple[Requirement, ...] = ()
    """What would have to be built, and is left out as was asked."""
    matrix: Path | None = None
    unused: tuple[str, ...] = ()
    """What the manifest says for other tools."""
    notes: tuple[str, ...] = ()
    """What was read and has no effect, to be said."""

    @property
    def known(self) -> tuple[str, ...]:
        """Addresses whose users and passwords serve what lies below them, besides those of the settings."""
        return (*self.channels, *self.secrets)

    @property
    def settings(self) -> IndexSettings:
        """How indexes are asked.

        Raises:
            UsageError: ``setting-invalid``; when they are read for the first time.
        """
        return self.read_settings()

    @property
    def requested(self) -> tuple[str, ...]:
        """Names that were asked for directly, as the lock has them."""
        return tuple(sorted({r.name for r in self.pypi} | {f"conda:{r.name}" for r in self.conda}))

    def inputs(self) -> dict[str, object]:
        """What a lock of this request is made from, in plain values: compared later to tell staleness."""
        from dataloader.request.trees import trees_of  # reads TOML and hashes: 10 ms of a plan's 80

        indexes = [url for url in (self.settings.index_url, *self.settings.extra_index_urls) if url]
        options = {
            "conda": self.conda_mode,
            "channel-priority": self.channel_priority,
            "prerelease": self.prerelease,
            "exclude-newer": self.exclude_newer,
            "no-binary": ",".join(self.no_binary) or None,
            "only-binary": ",".join(self.only_binary) or None if ALL_PROJECTS in self.no_binary else None,
            "build": ",".join(self.built) or None,
            "build-requires": {name: list(texts) for name, texts in sorted(self.build_requires.items())} or None,
            "no-build-isolation": ",".join(self.unisolated) or None,
            "require-hashes": self.require_hashes or None,
            "left-out": ",".join(sorted(r.name for r in self.left_out)) or None,
        }
        inputs: dict[str, object] = {
            "requirements": sorted(map(self._portable, together(self.pypi))),
            "conda": sorted(r.match_spec for r in together_conda(self.conda)),
            "constraints": sorted(str(r) for r in together(self.constraints)),
            "conda-constraints": sorted(r.match_spec for r in together_conda(self.limits)),
            "variables": dict(sorted(self.variables.items())),
            "channels": [public_channel(url) for url in self.channels],
            "indexes": [without_credentials(url) for url in indexes],
            "sources": dict(self.sources),
            "stack": dict(sorted(self.stack.items())),
            "options": {key: value for key, value in options.items() if value is not None},
            "groups": sorted(self.groups),
            "overrides": sorted(str(r) for r in self.overrides),
            "trees": trees_of(self.pypi),
            "project": self.manifest.path.name if self.manifest and self.manifest.is_plain else None,
            "solve-group": digests(self.mates) if self.mates else None,
        }
        return {key: value for key, value in inputs.items() if value}

    def _portable(self, requirement: PypiRequirement) -> str:
        """Return a requirement as it stands in the lock: files of the project relative to it."""
        if requirement.url is None or self.manifest is None:
            return str(requirement)
        return str(replace(requirement, url=relative_url(requirement.url, self.manifest.path.parent)))


def make_request(
    options: Asked,
    specs: Iterable[str],
    flags: StackAsked | None,
    *,
    environ: Mapping[str, str],
    here: Path,
    remembered: Mapping[str, object] | None = None,
    manifest: Manifest | None = None,
) -> Request:
    """Join everything that a command was given.

    Args:
        options: What is said besides.
        specs: PEP 508, ``conda:`` and ``pypi:`` specs from the command line.
        flags: What is said of the stack.
        environ: The process's environment.
        here: Directory that relative paths and the search for a manifest start from.
        remembered: ``inputs`` of an earlier lock that this request adds to, where no manifest holds them.
        manifest: Takes the place of the one that the options, or ``here``, lead to.

    Raises:
        ManifestError, UsageError: something cannot be read.
    """
    specs = tuple(specs)
    is_said = bool(specs or options.requirements or options.files or (flags and flags.frameworks))
    manifest = manifest or find(options, here)
    if remembered is None and manifest is None and not is_said:
        manifest = found_project(here, lock_path(options, here))
    name = options.environment or DEFAULT_ENVIRONMENT
    given = _read(options, environ, here, remembered, manifest, name)
    bound = bind(given, specs, flags.asked() if flags else {}, here)
    mates = manifest.solved_with(name, given.platform) if manifest else ()
    return _request(
        options,
        given,
        bound,
        environ,
        here,
        environment_in(options, here, lock_path(options, here)),
        tuple(_mate(mate, options, environ, here, manifest) for mate in mates),
    )


def _mate(name: str, options: Asked, environ: Mapping[str, str], here: Path, manifest: Manifest | None) -> Request:
    """Return what an environment of the same solve-group asks for, whatever was typed for another."""
    given = _read(options, environ, here, None, manifest, name, is_mate=True)
    return _request(options, given, bind(given, (), {}, here), environ, here, name)


def _read(
    options: Asked,
    environ: Mapping[str, str],
    here: Path,
    remembered: Mapping[str, object] | None,
    manifest: Manifest | None,
    name: str,
    *,
    is_mate: bool = False,
) -> Given:
    """Read the files that are named, and choose the manifest's environment of a name."""
    lock, platform = lock_path(options, here), platform_of(options)
    groups = groups_of(
        options, manifest, lock, name if is_mate else environment_in(options, here, lock), is_typed=not is_mate
    )
    environment = manifest.environment(name, platform, groups) if manifest else None
    if manifest and environment:
        check_platform(manifest, environment, platform)
        check_conditions(manifest, (platform,))
    resolution = manifest.resolution if manifest else None
    return Given(
        manifest=manifest,
        environment=environment,
        files=_read_files(options, environ, platform) if not is_mate else [],
        remembered=remembered,
        groups=groups,
        built=built_projects(options, resolution, remembered),
        skip=options.skip_unbuildable or (resolution is not None and resolution.skip_unbuildable),
        platform=platform,
        root=manifest.path.parent if manifest else here,
    )


def _request(
    options: Asked,
    given: Given,
    bound: Binding,
    environ: Mapping[str, str],
    here: Path,
    name: str,
    mates: tuple[Request, ...] = (),
) -> Request:
    manifest, environment, files, resolution = given.manifest, given.environment, given.files, given.resolution
    channels = named_channels(options, files, environment, given.remembered, here, given.root)
    check_addresses(options, files, channels or ())
    held_sources = index_manifest(environment, files, manifest, given.sources)
    return Request(
        manifest=manifest,
        lockfile=checked_lock(lock_path(options, here)),
        prefix=prefix_path(options, here),
        environment=name,
        mates=mates,
        pypi=bound.pypi,
        secrets=bound.secrets,
        pythons=bound.pythons,
        conda=bound.conda,
        said=bound.said,
        told=bound.told,
        constraints=bound.constraints,
        limits=environment.limits if environment else (),
        variables=given.variables,
        files=tuple(files),
        channels=with_their_own(channels, bound.conda, given.root),
        channels_said=channels is not None,
        channel_priority=(manifest.channel_priority if manifest else None) or "strict",
        conda_mode=options.conda or given.conda or "auto",  # type: ignore[arg-type]
        stack=bound.stack,
        system=environment.system if environment else SystemRequirements(),
        gpus=environment.gpus if environment else (),
        target_file=options.target,
        platform=given.platform,
        platforms=environment.platforms if environment else (),
        read_settings=cache(lambda: settings_of(options, held_sources, environ, here)),
        sources={} if manifest else said_sources(options, files, given.sources, here),
        prerelease=prerelease_of(options, files, resolution.prerelease if resolution else None, environment),
        exclude_newer=_exclude_newer(options, manifest),
        **binaries(options, files, environment),
        built=given.built,
        build_requires=resolution.build_requires if resolution else {},
        build_limits=resolution.build_limits if resolution else {},
        build_registry=resolution.build_registry if resolution else None,
        unisolated=resolution.unisolated if resolution else (),
        require_hashes=any(f.require_hashes for f in files) or (resolution is not None and resolution.require_hashes),
        matrix=options.matrix or (given.root / resolution.matrix if resolution and resolution.matrix else None),
        groups=given.groups,
        overrides=given.overrides,
        left_out=bound.left_out,
        prefer=tuple(given.root / name for name in resolution.prefer) if resolution else (),
        unused=manifest.unused if manifest else (),
        notes=(*given.notes, *bound.notes),
    )


def platform_of(options: Asked) -> str:
    """Return the platform that is solved for: the one that is named, the first of a target file, or this machine's.

    Raises:
        UsageError: ``platform-unknown``, or ``platform-unlisted``: the target file describes no machine of it.
    """
    if options.platform is not None:
        check_known(options.platform)
    if options.target is None:
        return options.platform or detect_platform()
    from dataloader.request.target_file import platforms_in

    described = platforms_in(options.target)
    if options.platform not in (None, *described):
        raise UsageError(
            f"{options.target} describes no machine of {options.platform}",
            code="platform-unlisted",
            causes=(f"it describes: {', '.join(described)}",),
            suggestions=("leave --platform out, or describe one there",),
        )
    return options.platform or described[0]


def _read_files(options: Asked, environ: Mapping[str, str], platform: str) -> list[InputFile]:
    paths = (*options.requirements, *options.files)
    if not paths:
        return []
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.readers import has_sets, read_file

    said = bool(options.extra or options.group) or options.all_extras is not None
    if said and not any(map(has_sets, paths)):
        raise UsageError(
            f"extras and groups are of projects and their locks: {', '.join(map(str, paths))} has none",
            code="group-unknown",
            suggestions=("leave them out",),
        )
    return [
        _as_input(read, options, platform) if isinstance(read, Manifest) else read
        for read in (read_file(path, environ=environ, platform=platform, parts=options) for path in paths)
    ]


def _as_input(manifest: Manifest, options: Asked, platform: str) -> InputFile:
    from dataloader.request.readers.as_input import input_of

    chosen = manifest.chosen(options.extra, options.group, all_extras=options.all_extras is True)
    return input_of(manifest, platform, chosen)


def _exclude_newer(options: Asked, manifest: Manifest | None) -> str | None:
    """Return what was said of ``--exclude-newer``, as it was said; it is read here so that mistakes show at once."""
    held = manifest.resolution.exclude_newer if manifest else None
    said = options.exclude_newer or held
    if said is not None:
        from dataloader.request.dates import cutoff_of

        origin = "--exclude-newer" if said == options.exclude_newer or manifest is None else str(manifest.path)
        cutoff_of(said, now=datetime.now(timezone.utc), origin=origin)
    return said
