"""A pyproject.toml's standard tables: [project] (PEP 621) and [dependency-groups] (PEP 735)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.request.input_file import Feature
from dataloader.request.specs.requirements import PypiRequirement
from dataloader.request.specs.spec import parse_pypi
from dataloader.request.toml import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTable:
    """What a project asks for by itself, whatever tool its file was written for."""

    name: str | None = None
    feature: Feature = field(default_factory=Feature)
    """What is always asked for."""
    features: Mapping[str, Feature] = field(default_factory=dict)
    """``extra:NAME`` and ``group:NAME`` -> what each adds."""
    included: tuple[str, ...] = ()
    """Those of ``features`` that go with the project unless something else is chosen."""
    conflicts: tuple[frozenset[str], ...] = ()
    """Sets of ``features`` of which no two go together."""
    conditions: tuple[str, ...] = ()
    """Markers of the machines that it is for; none: every machine."""
    constraints: tuple[PypiRequirement, ...] = ()
    overrides: tuple[PypiRequirement, ...] = ()
    build_requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Project -> what its build is given besides."""
    unisolated: tuple[str, ...] = ()
    """Projects whose builds see the environment."""
    no_index: bool = False
    exclude_newer: str | None = None
    notes: tuple[str, ...] = ()
    """What is not heeded and may change the packages."""


def extra_key(name: str) -> str:
    return f"extra:{normalized(name)}"


def group_key(name: str) -> str:
    return f"group:{normalized(name)}"


def read_project(root: Table) -> ProjectTable:
    """Read the standard tables."""
    project = root.table("project")
    feature = _with_python(Feature(requirements=pep508(project, "dependencies")), project, "requires-python")
    dynamic = project.strings("dynamic")
    features = {key: Feature(requirements=listed) for key, listed in sets_of(root).items()}
    notes: list[str] = []
    if dynamic:
        more, notes = _dynamic(root, dynamic)
        feature = replace(feature, requirements=(*feature.requirements, *more.pop("", ())))
        features |= {key: Feature(requirements=listed) for key, listed in more.items()}
    return ProjectTable(name=project.string("name"), feature=feature, features=features, notes=tuple(notes))


def _with_python(feature: Feature, table: Table, key: str) -> Feature:
    python = table.string(key)
    if not python:
        return feature
    try:
        wanted = parse_pypi(f"python{python}", origin=table.where(key))
    except UsageError as error:
        table.mistake(key, error.message.partition(": ")[2])
        return feature
    return replace(feature, python=wanted)


def sets_of(root: Table) -> dict[str, tuple[PypiRequirement, ...]]:
    """Return the extras and the groups, by ``extra:NAME`` and ``group:NAME``.

    What a set names of the project itself (``ours[cpu]``) stands for the extras of that name.
    """
    project = root.table("project")
    own = normalized(project.string("name") or "")
    extras = project.table("optional-dependencies")
    plain = {extra_key(name): pep508(extras, name) for name in extras} | dict(_groups(root.table("dependency-groups")))

    def members(key: str, outer: tuple[str, ...]) -> Iterator[PypiRequirement]:
        for requirement in plain[key]:
            if not own or requirement.name != own:
                yield requirement
                continue
            for extra in map(extra_key, requirement.extras):
                if extra in plain and extra not in outer:
                    yield from members(extra, (*outer, extra))

    return {key: tuple(members(key, (key,))) for key in plain}


def _groups(table: Table) -> Iterator[tuple[str, tuple[PypiRequirement, ...]]]:
    from packaging.dependency_groups import DependencyGroupResolver
    from packaging.errors import ExceptionGroup
    from packaging.requirements import InvalidRequirement

    raw = {name: table.raw(name) for name in table}
    try:
        resolver = DependencyGroupResolver(raw)
    except ExceptionGroup as error:
        for name in list(raw)[:1]:
            table.mistake(name, _first(error))
        return
    for name in raw:
        try:
            listed = [str(resolved) for resolved in resolver.resolve(name)]
        except (ExceptionGroup, InvalidRequirement) as error:
            table.mistake(name, _first(error))
            continue
        yield group_key(name), requirements(table, name, listed)


def _first(error: Exception) -> str:
    inner = getattr(error, "exceptions", None)
    return _first(inner[0]) if inner else " ".join(str(error).split())


def pep508(table: Table, key: str) -> tuple[PypiRequirement, ...]:
    """Return a list of PEP 508 texts as requirements; what cannot be read is a mistake of the file."""
    return requirements(table, key, table.strings(key))


def requirements(table: Table, key: str, texts: Iterable[str]) -> tuple[PypiRequirement, ...]:
    """Return texts that stand under ``key`` as requirements."""
    origin = table.where(key)
    found: list[PypiRequirement] = []
    for text in texts:
        try:
            found.append(parse_pypi(text, origin=origin, base=table.document.path.parent))
        except UsageError as error:
            table.mistake(key, error.message.removeprefix(f"{origin}: "))
    return tuple(found)


def _dynamic(root: Table, dynamic: Iterable[str]) -> tuple[dict[str, tuple[PypiRequirement, ...]], list[str]]:
    """Return what setuptools reads from files beside the project, by set (``""``: always), and what stays unknown."""
    found: dict[str, tuple[PypiRequirement, ...]] = {}
    notes: list[str] = []
    said = root.table("tool").table("setuptools").table("dynamic")
    where = root.table("project").where("dynamic")
    for key in sorted({"dependencies", "optional-dependencies"} & set(dynamic)):
        if key not in said:
            notes.append(f"{key} ({where}) are dynamic: whatever builds the project says them, and they are not read")
            continue
        tables = {"": said.table(key)}
        if key == "optional-dependencies":
            tables = {extra_key(name): said.table(key).table(name) for name in said.table(key)}
        for name, table in tables.items():
            found[name] = tuple(_of_files(table))
    return found, notes


def _of_files(table: Table) -> Iterator[PypiRequirement]:
    from dataloader.request.readers.requirements_txt import read_requirements

    files = [table.raw("file")] if isinstance(table.peek("file"), str) else table.strings("file")
    for file in files:
        try:
            read = read_requirements(Path(table.document.path.parent / file))
        except DataloaderError as error:
            table.mistake("file", " ".join((error.message, *error.causes[:1])))
            continue
        yield from (r for r in read.requirements if isinstance(r, PypiRequirement))
