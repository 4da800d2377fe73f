"""[tool.poetry] of a pyproject.toml, versions 1 and 2: constraints are read by poetry-core, as Poetry does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.formats.poetry_versions import specifier_of
from dataloader.index.settings import DEFAULT_INDEX
from dataloader.request.input_file import Feature, PypiOptions
from dataloader.request.readers.pep621 import ProjectTable, extra_key, group_key
from dataloader.request.specs.requirements import PypiRequirement, Requirement
from dataloader.request.specs.sources import from_source, git_source, inside, is_wheel, source_at
from dataloader.request.specs.spec import by_wheel, parse_pypi
from dataloader.request.toml import Table

ABOUT = frozenset(
    [
        "name",
        "version",
        "description",
        "license",
        "authors",
        "maintainers",
        "readme",
        "homepage",
        "repository",
        "documentation",
        "keywords",
        "classifiers",
        "packages",
        "include",
        "exclude",
        "scripts",
        "urls",
        "build",
        "plugins",
        "requires-poetry",
        "package-mode",
        "requires-plugins",
        "build-constraints",
    ]
)
"""Keys that describe the project, and how it is built and published."""

_PLACES = ("git", "path", "file", "url")
_HEEDED = {
    *("version", "python", "platform", "markers", "extras", "optional", "source", *_PLACES),
    *("rev", "tag", "branch", "subdirectory", "develop"),
}


def with_poetry(project: ProjectTable, table: Table) -> ProjectTable:
    """Add what [tool.poetry] says."""
    for key in ABOUT:
        table.raw(key)
    options, indexes = _sources(table)
    reader = _Reader(indexes)
    listed = list(reader.table(table.table("dependencies"), python=False))
    by_name = {r.name: r for r, _ in listed}
    declared = {r.name for r in project.feature.requirements}
    declared |= {r.name for feature in project.features.values() for r in feature.requirements}
    # A project that has [project] says there what it needs; these lines then say more of the same (Poetry 2).
    enriches = bool(project.feature.requirements)
    own = [r for r, optional in listed if not optional and not enriches]
    features = {key: _enriched(f, by_name if enriches else {}) for key, f in project.features.items()}
    features |= _extras(table, listed, declared)
    included: list[str] = []
    for key, feature, optional in _groups(table, reader):
        before = features.get(key, Feature())
        features[key] = replace(before, requirements=(*before.requirements, *feature.requirements))
        included += [] if optional else [key]
    feature = _enriched(project.feature, by_name if enriches else {})
    python = reader.python(table.table("dependencies")) or feature.python
    return replace(
        project,
        name=project.name or table.string("name"),
        feature=replace(feature, requirements=(*feature.requirements, *own), python=python, pypi=options),
        features=features,
        included=(*project.included, *included),
        notes=(*project.notes, *reader.notes),
    )


def _enriched(feature: Feature, more: Mapping[str, PypiRequirement]) -> Feature:
    def met(requirement: Requirement) -> Requirement:
        said = more.get(requirement.name)
        if said is None or not isinstance(requirement, PypiRequirement) or requirement.url:
            return requirement
        if said.source or said.refusal:
            return replace(requirement, source=said.source, refusal=said.refusal)
        return replace(
            requirement,
            index=said.index or requirement.index,
            url=said.url,
            world=said.world if said.index else requirement.world,
        )

    return replace(feature, requirements=tuple(met(requirement) for requirement in feature.requirements))


def _groups(table: Table, reader: _Reader) -> Iterator[tuple[str, Feature, bool]]:
    """Yield key, requirements and optionality of each group, what it includes among them."""
    groups = table.table("group")
    own = {name: tuple(r for r, _ in reader.table(groups.table(name).table("dependencies"))) for name in groups}
    own = {normalized(name): listed for name, listed in own.items()}
    includes = {
        normalized(name): [normalized(i) for i in groups.table(name).strings("include-groups")] for name in groups
    }

    def members(name: str, outer: tuple[str, ...]) -> Iterator[PypiRequirement]:
        yield from own[name]
        for other in includes[name]:
            if other not in own or other in outer:
                groups.mistake(name, f"{other} includes itself" if other in outer else f"there is no group {other}")
            else:
                yield from members(other, (*outer, other))

    for name in groups:
        optional = bool(groups.table(name).boolean("optional"))
        yield group_key(name), Feature(requirements=tuple(members(normalized(name), (normalized(name),)))), optional
    if "dev-dependencies" in table:
        old = tuple(r for r, _ in reader.table(table.table("dev-dependencies")))
        yield group_key("dev"), Feature(requirements=old), False


def _extras(
    table: Table, listed: Iterable[tuple[PypiRequirement, bool]], declared: Iterable[str]
) -> dict[str, Feature]:
    """[tool.poetry.extras]: names of optional dependencies."""
    found: dict[str, Feature] = {}
    extras = table.table("extras")
    for name in extras:
        wanted = [normalized(text) for text in extras.strings(name)]
        members = tuple(r for r, _ in listed if r.name in wanted)
        missing = set(wanted) - {r.name for r in members} - set(declared)
        for dependency in sorted(missing):
            extras.mistake(name, f"there is no dependency {dependency}")
        found[extra_key(name)] = Feature(requirements=members)
    return found


def _sources(table: Table) -> tuple[PypiOptions, dict[str, str]]:
    """Return the indexes that are asked for everything, and all of them by name."""
    indexes: dict[str, str] = {}
    ranked: dict[str, list[str]] = {"primary": [], "supplemental": [], "explicit": []}
    for source in table.tables("source"):
        name = source.string("name") or ""
        url = source.string("url") or (DEFAULT_INDEX if name.lower() == "pypi" else None)
        if url is None:
            source.mistake("url", f"the source {name} has no URL")
            continue
        priority = source.choice("priority", {"primary", "default", "supplemental", "secondary", "explicit"})
        if source.boolean("default"):
            priority = "default"
        if source.boolean("secondary"):
            priority = "secondary"
        rank = {"default": "primary", "secondary": "supplemental"}.get(priority or "primary", priority or "primary")
        source.only({"name", "url", "priority", "default", "secondary"})
        indexes[name.lower()] = url
        ranked[rank] = [url, *ranked[rank]] if priority == "default" else [*ranked[rank], url]
    first, *others = ranked["primary"] or [""]
    return PypiOptions(index_url=first or None, extra_index_urls=(*others, *ranked["supplemental"])), indexes


_PRERELEASES = {"allow-prereleases", "allows-prereleases"}


class _Reader:
    """Dependencies in Poetry's words -> requirements."""

    def __init__(self, indexes: Mapping[str, str]) -> None:
        self._indexes = indexes
        self.notes: list[str] = []

    def table(self, table: Table, *, python: bool = True) -> Iterator[tuple[PypiRequirement, bool]]:
        """Yield what a table asks for, and whether it is optional; a list is several constraints of one project."""
        for name in table:
            if name.lower() == "python":
                if python:
                    table.raw(name)
                continue
            value = table.raw(name)
            constraints = table.tables(name) if isinstance(value, list) else [value]
            for constraint in constraints:
                inside = (
                    constraint
                    if isinstance(constraint, Table)
                    else table.table(name)
                    if isinstance(constraint, dict)
                    else None
                )
                try:
                    yield self._one(table, name, constraint if inside is None else inside)
                except (UsageError, ValueError) as error:
                    table.mistake(name, str(error).removeprefix(f"{table.where(name)}: "))

    def python(self, table: Table) -> PypiRequirement | None:
        """Return the Pythons that the project is for."""
        name = next((name for name in table if name.lower() == "python"), None)
        said = table.raw(name) if name else None
        if name is None or not isinstance(said, str):
            return None
        from poetry.core.constraints.version import parse_constraint

        try:
            specifier = specifier_of(parse_constraint(said))
        except ValueError as error:
            table.mistake(name, str(error))
            return None
        return parse_pypi(f"python{specifier}", origin=table.where(name))

    def _one(self, table: Table, name: str, value: Any) -> tuple[PypiRequirement, bool]:
        from poetry.core.factory import Factory

        origin = table.where(name)
        if not isinstance(value, str | Table):
            raise UsageError('expected a constraint such as "^1.2", or a table')
        said: dict[str, Any] = {"version": value} if isinstance(value, str) else {k: value.raw(k) for k in value}
        if _PRERELEASES & set(said):
            self.notes.append(f"allow-prereleases of {name} ({origin}) is not heeded: --prerelease=allow is for all")
        if unknown := sorted(set(said) - _HEEDED - _PRERELEASES):
            raise UsageError(f"there is no such key as {', '.join(unknown)}")
        fields = {k: v for k, v in said.items() if k in {"version", "python", "platform", "markers", "extras"}}
        dependency = Factory.create_dependency(name, {"version": "*", **fields})
        marker = str(dependency.marker)
        text = f"{name}{specifier_of(dependency.constraint)}"
        requirement = parse_pypi(text + (f" ; {marker}" if marker else ""), origin=origin)
        requirement = replace(requirement, extras=tuple(sorted(normalized(extra) for extra in said.get("extras", ()))))
        optional = bool(said.get("optional"))
        if isinstance(value, Table) and any(place in said for place in _PLACES):
            return self._placed(requirement, value), optional
        return self._from_index(requirement, said.get("source")), optional

    def _from_index(self, requirement: PypiRequirement, source: str | None) -> PypiRequirement:
        if source is None:
            return requirement
        if source.lower() not in self._indexes:
            if source.lower() == "pypi":
                return replace(requirement, index=DEFAULT_INDEX, world="pypi")
            raise UsageError(f"there is no [[tool.poetry.source]] of the name {source}")
        return replace(requirement, index=self._indexes[source.lower()], world="pypi")

    def _placed(self, requirement: PypiRequirement, value: Table) -> PypiRequirement:
        base = value.document.path.parent
        if "git" in value:
            return from_source(requirement, git_source(value, editable=bool(value.boolean("develop"))))
        location = value.string("path") or value.string("file") or value.string("url") or ""
        if is_wheel(location):
            return by_wheel(requirement, location, base=base)
        source = source_at(location, base=base, editable=bool(value.boolean("develop")))
        return from_source(requirement, replace(source, subdirectory=inside(value.string("subdirectory"))))
