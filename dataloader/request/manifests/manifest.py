"""The manifest: dataloader.toml, or pixi.toml and pyproject.toml with ours under [tool.dataloader] -> Manifest.

The tables are pixi's, plus [stack] and [resolution]. Unknown keys of ours are mistakes; pixi's are left to pixi.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from dataloader.base.errors import ManifestError, UsageError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.index.publishers import read_policy
from dataloader.machine.target import SystemRequirements
from dataloader.request.input_file import (
    Feature,
    PypiOptions,
    by_plain_name,
    join_pypi,
    join_system,
    with_feature,
)
from dataloader.request.manifests.resolution import ResolutionTable, read_resolution
from dataloader.request.manifests.tables import (
    pypi_requirements,
    read_environments,
    read_feature,
    read_pypi_options,
    read_solve_groups,
)
from dataloader.request.readers.pep621 import ProjectTable, extra_key, group_key, read_project
from dataloader.request.readers.unread import unread
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement
from dataloader.request.tasks import Task
from dataloader.request.toml import Document, Table

DEFAULT = "default"

_TABLES = {
    "activation",
    "constraints",
    "workspace",
    "project",
    "dependencies",
    "pypi-dependencies",
    "system-requirements",
    "pypi-options",
}
_PIXI_ONLY = {"host-dependencies", "build-dependencies", "tasks", "package", "dev", "tool"}
_OURS = {"stack", "resolution", "build", "attestations"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEnvironment:
    """What one environment of a manifest asks for, its features joined."""

    name: str
    channels: tuple[str, ...] | None
    """Most preferred first; None: nothing is said."""
    platforms: tuple[str, ...]
    replaceable: tuple[Requirement, ...]
    """What the tables say that a command adds to: those of its first feature."""
    fixed: tuple[Requirement, ...]
    """What the other tables say; it binds beside whatever a command says."""
    system: SystemRequirements
    pypi: PypiOptions
    stack: Mapping[str, str]
    gpus: tuple[str, ...]
    limits: tuple[CondaRequirement, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    feature: str = DEFAULT
    """The feature whose tables a command adds to."""
    tasks: Mapping[str, Task] = field(default_factory=dict)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Everything asked for; all of it binds."""
        return (*self.replaceable, *self.fixed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as read."""

    path: Path
    """Absolute."""
    name: str | None
    channel_priority: str | None
    features: Mapping[str, Feature]
    environments: Mapping[str, tuple[str, ...]]
    """Environment -> its features, most preferred first."""
    resolution: ResolutionTable
    attestations: Mapping[str, str] = field(default_factory=dict)
    """Normalised project (or ``*``) to who must have published it."""
    trusted_root: str | None = None
    """Absolute path of sigstore's trust anchors, where they are not the public ones."""
    notes: tuple[str, ...] = ()
    """What is not heeded and may change the packages."""
    unused: tuple[str, ...] = ()
    """What else is not used here."""
    project: str | None = None
    """Normalised name of the project whose pyproject.toml it is."""
    has_backend: bool = False
    """Whether that says how it is built."""
    is_plain: bool = False
    """A pyproject.toml that says nothing to us or to pixi."""
    conflicts: tuple[frozenset[str], ...] = ()
    """Sets of features of which no two go together."""
    conditions: tuple[str, ...] = ()
    """Markers of the machines that it is for; none: every machine."""
    named: tuple[str, ...] = (DEFAULT,)
    """The environments that a lock is for: those that it names itself, and the default one."""
    solve_groups: Mapping[str, str] = field(default_factory=dict)
    """Environment -> the group that shares its versions."""

    def solved_with(self, name: str, platform: str) -> tuple[str, ...]:
        """The other environments of an environment's group, those that are for a platform."""
        group = self.solve_groups.get(name)
        mates = (mate for mate, of in self.solve_groups.items() if group and of == group and mate != name)
        return tuple(mate for mate in mates if platform in (self.environment(mate, platform).platforms or (platform,)))

    def sets(self) -> tuple[str, ...]:
        """The extras and groups that there are, as ``extra:NAME`` and ``group:NAME``."""
        return tuple(key for key in self.features if key.startswith(("extra:", "group:")))

    def chosen(self, extras: Iterable[str], groups: Iterable[str], *, all_extras: bool) -> tuple[str, ...]:
        """Return the features of extras and groups that are named.

        Raises UsageError ``group-unknown``.
        """
        known = self.sets()
        wanted = [*map(extra_key, extras), *map(group_key, groups)]
        for key in wanted:
            if key not in known:
                kind, _, name = key.partition(":")
                there = [key.partition(":")[2] for key in known if key.startswith(f"{kind}:")]
                raise UsageError(
                    f"{self.path} has no {kind} {name}",
                    code="group-unknown",
                    causes=(f"it has: {', '.join(there)}" if there else f"it has no {kind}s at all",),
                )
        wanted += [key for key in known if all_extras and key.startswith("extra:")]
        return tuple(dict.fromkeys(wanted))

    def check_environment(self, name: str) -> None:
        """Raise UsageError ``environment-unknown``."""
        if name not in self.environments:
            known = ", ".join(sorted(self.environments))
            raise UsageError(
                f"{self.path} has no environment {name}", code="environment-unknown", causes=(f"it has: {known}",)
            )

    def environment(
        self, name: str = DEFAULT, platform: str = "linux-64", chosen: tuple[str, ...] = ()
    ) -> ManifestEnvironment:
        """Join the features of one environment, and those that are ``chosen`` besides, for one platform.

        Raises UsageError ``environment-unknown``, or ``groups-conflict`` for two that exclude each other.
        """
        self.check_environment(name)
        joined = tuple(dict.fromkeys((*self.environments[name], *chosen)))
        self._check_conflicts(joined)
        features = [self.features[feature] for feature in joined]
        named = [f.channels for f in features if f.channels is not None]
        channels = sorted((c for ranked in named for c in ranked), key=lambda channel: -channel[1])
        wanted = (platform, platform.split("-", 1)[0], "win" if platform.startswith("win") else "unix")
        own, special = features[0].on(wanted)
        others = [r for f in features[1:] for part in f.on(wanted) for r in part]
        return ManifestEnvironment(
            name=name,
            channels=tuple(dict.fromkeys(channel for channel, _ in channels)) if named else None,
            platforms=self._platforms(name, features),
            replaceable=own,
            fixed=(*others, *special, *(f.python for f in features if f.python)),
            system=join_system([f.system for f in features]),
            pypi=join_pypi([f.pypi for f in features]),
            stack={axis: value for f in reversed(features) for axis, value in f.stack.items()},
            gpus=tuple(dict.fromkeys(gpu for f in features for gpu in f.gpus)),
            limits=tuple(limit for f in features for limit in f.limits),
            variables={key: text for f in reversed(features) for key, text in f.variables.items()},
            feature=self.environments[name][0],
            tasks={key: task for f in reversed(features) for key, task in _tasks_on(f, wanted)},
        )

    def _platforms(self, name: str, features: Sequence[Feature]) -> tuple[str, ...]:
        """Return the platforms of an environment: those that all of its features are for; else the workspace's."""
        named = [f.platforms for f in features if f.platforms] or [self.features[DEFAULT].platforms]
        common = tuple(
            dict.fromkeys(platform for platform in named[-1] if all(platform in platforms for platforms in named))
        )
        if any(named) and not common:
            raise UsageError(
                f"the environment {name} is for no platform: no feature of it is for a platform of every other",
                code="platform-unlisted",
                causes=tuple(", ".join(platforms) for platforms in named),
                suggestions=(f"name one platform in each of them in {self.path}",),
            )
        return common

    def _check_conflicts(self, joined: tuple[str, ...]) -> None:
        for several in self.conflicts:
            both = [key for key in joined if key in several]
            if len(both) > 1:
                told = " and ".join(" ".join(key.split(":")) for key in both)
                raise UsageError(
                    f"{told} do not go together",
                    code="groups-conflict",
                    causes=(f"{self.path} says so: conflicts",),
                    suggestions=("choose one of them",),
                )


def _tasks_on(feature: Feature, platforms: tuple[str, ...]) -> Iterator[tuple[str, Task]]:
    """The tasks of a feature on a platform, those that count last; ``platforms`` are its names, most special first."""
    yield from feature.tasks.items()
    for platform in reversed(platforms):
        yield from feature.tasks_by_platform.get(platform, {}).items()


def missing_manifest(path: Path) -> ManifestError:
    """What is said of a manifest that was named and is not there."""
    return ManifestError(
        f"there is no manifest {path}", code="manifest-missing", suggestions=("`dataloader init` writes one",)
    )


def load_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises ManifestError ``manifest-missing``, or ``manifest-invalid`` with every mistake.
    """
    if path.exists() and not path.is_file():
        raise ManifestError(f"{path} is no file", suggestions=("`dataloader init` writes a manifest",))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise missing_manifest(path) from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}") from error
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path, *, kind: str | None = None) -> Manifest:
    """Read a manifest's text; where its kind is not said, its name tells it, and else what it holds.

    Raises ManifestError ``manifest-invalid`` with every mistake.
    """
    document = Document(text, path.absolute(), code="manifest-invalid", kind="manifest")
    root = document.root()
    kind = kind or kind_of(path.name, document.data)
    pixi, ours = _roots(root, kind)
    workspace = pixi.table("workspace" if "workspace" in pixi else "project")
    if ours is pixi:
        root_or_ours = root if kind == "dataloader.toml" else ours
        root_or_ours.only(_TABLES | _PIXI_ONLY | _OURS | {"feature", "environments", "target"})
    else:
        ours.only(_OURS | {"feature"})
    project = _project(root, reads_tools=ours is pixi) if kind == "pyproject.toml" else ProjectTable()
    default = with_feature(read_feature(pixi, ours, workspace), project.feature)
    default = replace(default, pypi=join_pypi([default.pypi, read_pypi_options(workspace.table("pypi-options"))]))
    sets = by_plain_name(project.features)
    features = {DEFAULT: default, **sets, **project.features, **_features(pixi, ours, sets)}
    if ours is not pixi:
        ours.table("feature").only(set(features))
    environments = dict(read_environments(pixi.table("environments"), set(features)))
    if ours is pixi:
        environments = {name: (name, DEFAULT) for name in sets} | environments
        environments[DEFAULT] = (*environments[DEFAULT], *project.included)
    resolution = read_resolution(ours.table("resolution"), workspace, ours.table("build"))
    manifest = Manifest(
        path=document.path,
        name=workspace.string("name") or project.name,
        channel_priority=workspace.choice("channel-priority", {"strict", "disabled"}),
        features=features,
        environments=environments,
        resolution=replace(
            resolution,
            constraints=(*resolution.constraints, *project.constraints),
            overrides=(*resolution.overrides, *project.overrides, *_overrides(pixi)),
            no_index=resolution.no_index or project.no_index,
            build_requires={**project.build_requires, **resolution.build_requires},
            unisolated=tuple(sorted({*resolution.unisolated, *project.unisolated, *_unisolated(pixi)})),
            exclude_newer=resolution.exclude_newer or project.exclude_newer,
        ),
        attestations=_attestations(ours.table("attestations")),
        trusted_root=_beside(document.path, ours.table("attestations").string("trusted-root")),
        project=normalized(project.name) if project.name else None,
        has_backend="build-system" in document.data,
        is_plain=kind == "pyproject.toml" and not {"pixi", "dataloader"} & set(root.table("tool")),
        conflicts=project.conflicts,
        conditions=project.conditions,
        named=tuple(dict.fromkeys((DEFAULT, *pixi.table("environments")))),
        solve_groups=read_solve_groups(pixi.table("environments")),
    )
    document.check()
    notes, unused = unread(document, pixi, kind)
    return replace(manifest, notes=(*project.notes, *notes), unused=unused)


def _features(pixi: Table, ours: Table, sets: Mapping[str, Feature]) -> dict[str, Feature]:
    """Read the features besides the default one; a set of the project with the name of one is joined to it."""
    features = {}
    for name in pixi.table("feature"):
        table = pixi.table("feature").table(name)
        feature = read_feature(table, ours.table("feature").table(name) if ours is not pixi else table, table)
        features[name] = with_feature(feature, sets[name]) if name in sets else feature
    return features


def _project(root: Table, *, reads_tools: bool) -> ProjectTable:
    """Read what a pyproject.toml asks for itself: the standard tables, and uv's and Poetry's where pixi has none."""
    project = read_project(root)
    tool = root.table("tool")
    if reads_tools and "poetry" in tool:
        from dataloader.request.readers.poetry import with_poetry

        project = with_poetry(project, tool.table("poetry"))
    if reads_tools and "uv" in tool:
        from dataloader.request.readers.uv import with_uv

        project = with_uv(project, tool.table("uv"))
    return project


def _unisolated(pixi: Table) -> tuple[str, ...]:
    """Return the projects of pixi's ``no-build-isolation``; said of all, it is left unread, and so named."""
    tables = (pixi.table("pypi-options"), pixi.table("workspace").table("pypi-options"))
    lists = (t.strings("no-build-isolation") for t in tables if isinstance(t.peek("no-build-isolation"), list))
    return tuple(normalized(name) for names in lists for name in names)


def _overrides(pixi: Table) -> tuple[PypiRequirement, ...]:
    """Return pixi's ``dependency-overrides``."""
    options = (pixi.table("pypi-options"), pixi.table("workspace").table("pypi-options"))
    return tuple(r for table in options for r in pypi_requirements(table.table("dependency-overrides")))


KINDS = ("dataloader.toml", "pixi.toml", "pyproject.toml")


def kind_of(filename: str, data: Mapping[str, object]) -> str:
    """Return which of KINDS a manifest is: by its name, and where that is another, by what it holds.

    >>> kind_of("dev.toml", {"stack": {}}), kind_of("dev.toml", {"tool": {"dataloader": {}}})
    ('dataloader.toml', 'pixi.toml')
    """
    if filename in KINDS:
        return filename
    tool = data.get("tool")
    tools = set(tool) if isinstance(tool, dict) else set()
    project = data.get("project")
    of_python = isinstance(project, dict) and not {"channels", "platforms"} & set(project)  # else pixi's old name
    if "pixi" in tools or "build-system" in data or of_python:
        return "pyproject.toml"
    return "pixi.toml" if "dataloader" in tools else "dataloader.toml"


def _roots(root: Table, filename: str) -> tuple[Table, Table]:
    """Where pixi's tables are, and where ours are."""
    if filename == "pyproject.toml":
        tool = root.table("tool")
        ours = tool.table("dataloader")
        return (tool.table("pixi"), ours) if "pixi" in tool else (ours, ours)
    if filename == "pixi.toml":
        return root, root.table("tool").table("dataloader")
    return root, root


def _attestations(table: Table) -> Mapping[str, str]:
    table.only({"require", "trusted-root"})
    required = table.table("require")
    found: dict[str, str] = {}
    for name in required:
        if publisher := required.string(name):
            try:
                found.update(read_policy({name: publisher}))
            except ValueError as error:
                required.mistake(name, str(error))
    return found


def _beside(manifest: Path, file: str | None) -> str | None:
    return str(manifest.parent / file) if file else None
