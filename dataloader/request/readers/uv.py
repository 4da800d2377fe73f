"""[tool.uv] of a pyproject.toml: what it says of a project's packages, in uv's own meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.request.input_file import Feature, PypiOptions
from dataloader.request.readers.pep621 import ProjectTable, extra_key, group_key, pep508, requirements
from dataloader.request.specs.markers import Condition
from dataloader.request.specs.requirements import PypiRequirement, Requirement, Source
from dataloader.request.specs.sources import from_source, git_source, inside, is_wheel, name_of, source_at
from dataloader.request.specs.spec import by_wheel, parse_pypi
from dataloader.request.toml import Table

OF_UV = frozenset(
    [
        "required-version",
        "system-certs",
        "native-tls",
        "offline",
        "no-cache",
        "cache-dir",
        "preview",
        "preview-features",
        "python-preference",
        "python-downloads",
        "concurrent-downloads",
        "concurrent-builds",
        "concurrent-installs",
        "keyring-provider",
        "http-proxy",
        "https-proxy",
        "no-proxy",
        "config-settings",
        "config-settings-package",
        "no-build-isolation",
        "require-build-hashes",
        "extra-build-variables",
        "build-constraint-dependencies",
        "link-mode",
        "compile-bytecode",
        "upgrade",
        "upgrade-package",
        "reinstall",
        "reinstall-package",
        "python-install-mirror",
        "pypy-install-mirror",
        "graalpy-install-mirror",
        "pyodide-install-mirror",
        "python-downloads-json-url",
        "publish-url",
        "trusted-publishing",
        "check-url",
        "add-bounds",
        "audit",
        "pip",
        "cache-keys",
        "managed",
        "package",
        "build-backend",
    ]
)
"""Keys of how uv works, and how it builds: they say nothing of which packages there are."""

NOT_HEEDED = frozenset(
    [
        "index-strategy",
        "resolution",
        "prerelease-package",
        "fork-strategy",
        "dependency-metadata",
        "exclude-newer-package",
        "no-sources-package",
        "torch-backend",
        "required-environments",
        "minimum-libc-version",
        "allow-insecure-host",
    ]
)
"""Keys that may change the packages, and have no counterpart here."""

_DEFAULTS = {"resolution": "highest"}
"""What some of them say that is so here anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    name: str | None
    url: str
    explicit: bool
    default: bool
    flat: bool


def with_uv(project: ProjectTable, table: Table) -> ProjectTable:
    """Add what [tool.uv] says."""
    indexes = list(_indexes(table))
    project = _with_dev(project, table)
    if not table.boolean("no-sources"):
        project = _with_sources(project, table, {i.name: i.url for i in indexes if i.name})
    feature = replace(project.feature, pypi=_options(table, indexes))
    excluded = [f"{name} ; sys_platform == 'never'" for name in table.strings("exclude-dependencies")]
    return replace(
        project,
        feature=feature,
        features=_with_pythons(project.features, table.table("dependency-groups")),
        included=(*project.included, *_default_groups(project, table)),
        conflicts=(*project.conflicts, *_conflicts(table, project.name)),
        conditions=(*project.conditions, *_conditions(table)),
        constraints=(*project.constraints, *pep508(table, "constraint-dependencies")),
        overrides=(
            *project.overrides,
            *pep508(table, "override-dependencies"),
            *requirements(table, "exclude-dependencies", excluded),
        ),
        build_requires=_build_requires(table.table("extra-build-dependencies")),
        unisolated=tuple(map(normalized, table.strings("no-build-isolation-package"))),
        no_index=bool(table.boolean("no-index")),
        exclude_newer=table.date("exclude-newer"),
        notes=(*project.notes, *_notes(table)),
    )


def _notes(table: Table) -> Iterator[str]:
    for key in table:
        if key in OF_UV:
            table.raw(key)
        elif key in NOT_HEEDED and table.raw(key) != _DEFAULTS.get(key):
            yield f"[tool.uv.{key}] ({table.where(key)}) is not heeded"
    mode = table.peek("prerelease")
    if mode in ("disallow", "explicit"):
        yield f'[tool.uv.prerelease] ({table.where("prerelease")}): "{mode}" is not heeded'


def _build_requires(table: Table) -> dict[str, tuple[str, ...]]:
    """Return what builds are given besides; what is to match the environment's version does so here anyway."""
    found = {}
    for name in table:
        said = table.items(name)
        told = (entry.get("requirement") if isinstance(entry, dict) else entry for entry in said)
        texts = [text for text in told if isinstance(text, str)]
        if len(texts) < len(said):
            table.mistake(name, "expected requirements, or {requirement = ..., match-runtime = true}")
            continue
        requirements(table, name, texts)
        found[normalized(name)] = tuple(sorted(texts))
    return found


# -- indexes


def _indexes(table: Table) -> Iterator[_Index]:
    known = {"name", "url", "explicit", "default", "format"}
    of_uv = ("publish-url", "authenticate", "ignore-error-codes", "cache-control", "hash-algorithm", "exclude-newer")
    for index in table.tables("index"):
        url = index.string("url")
        for key in (*of_uv, *(key for key in index if key.startswith("proxy"))):
            index.raw(key)
        index.only({*known, *of_uv, *(key for key in index if key.startswith("proxy"))})
        if url is None:
            index.mistake("url", "an index has a URL")
            continue
        yield _Index(
            name=index.string("name"),
            url=_located(url, table.document.path.parent),
            explicit=bool(index.boolean("explicit")),
            default=bool(index.boolean("default")),
            flat=index.choice("format", {"simple", "flat"}) == "flat",
        )


def _located(url: str, base: Path) -> str:
    return url if "://" in url else (base / url).absolute().as_uri()


def _options(table: Table, indexes: Iterable[_Index]) -> PypiOptions:
    asked = [index for index in indexes if not index.explicit]
    simple = [index for index in asked if not index.flat]
    further = [index.url for index in simple if not index.default]
    base = table.document.path.parent
    links = [link if "://" in link else str((base / link).resolve()) for link in table.strings("find-links")]
    none = (":all:",) if table.boolean("no-binary") else ()
    only = (":all:",) if table.boolean("no-build") else ()
    mode = table.choice("prerelease", {"allow", "if-necessary", "if-necessary-or-explicit", "disallow", "explicit"})
    return PypiOptions(
        index_url=next((index.url for index in simple if index.default), None) or table.string("index-url"),
        extra_index_urls=(*further, *table.strings("extra-index-url")),
        find_links=(*links, *(index.url for index in asked if index.flat)),
        no_binary=(*none, *map(normalized, table.strings("no-binary-package"))),
        only_binary=(*only, *map(normalized, table.strings("no-build-package"))),
        prerelease=mode == "allow",
    )


# -- sources


def _with_sources(project: ProjectTable, table: Table, indexes: Mapping[str | None, str]) -> ProjectTable:
    sources, members = table.table("sources"), _members(table)
    entries = {
        normalized(name): sources.tables(name) if isinstance(sources.peek(name), list) else (sources.table(name),)
        for name in sources
    }
    if not entries:
        return project
    reader = _Sources(entries, indexes, members)

    def changed(key: str, feature: Feature) -> Feature:
        return replace(feature, requirements=tuple(reader.placed(key, feature.requirements)))

    return replace(
        project,
        feature=changed("", project.feature),
        features={key: changed(key, feature) for key, feature in project.features.items()},
    )


class _Sources:
    """[tool.uv.sources]: which requirements each entry takes the place of the indexes for."""

    def __init__(
        self,
        entries: Mapping[str, tuple[Table, ...]],
        indexes: Mapping[str | None, str],
        members: Mapping[str, Path],
    ) -> None:
        self._entries, self._indexes, self._members = entries, indexes, members

    def placed(self, key: str, said: Iterable[Requirement]) -> Iterator[Requirement]:
        """Yield the requirements of one set, each met by its sources; several sources part it by their markers."""
        for requirement in said:
            entries = [e for e in self._entries.get(requirement.name, ()) if _is_for(e, key)]
            if not entries or not isinstance(requirement, PypiRequirement) or requirement.url or requirement.source:
                yield requirement
                continue
            rest = Condition(requirement.marker)
            for entry in entries:
                marker = entry.string("marker")
                here = rest.and_(marker)
                if not here.never:
                    yield self._found(replace(requirement, marker=here.text), entry)
                rest = Condition(never=True) if marker is None else rest.and_(marker, negated=True)
            if not rest.never:
                yield replace(requirement, marker=rest.text)

    def _found(self, requirement: PypiRequirement, entry: Table) -> PypiRequirement:
        """Return a requirement met by a source; what could never be one is a mistake of the file."""
        try:
            return self._met(requirement, entry)
        except UsageError as error:
            key = next((key for key in ("git", "url", "path") if key in entry), "")
            entry.mistake(key, error.message)
            return requirement

    def _met(self, requirement: PypiRequirement, entry: Table) -> PypiRequirement:
        base = entry.document.path.parent
        if "index" in entry:
            name = entry.string("index")
            if name not in self._indexes:
                entry.mistake("index", f"there is no [[tool.uv.index]] of the name {name}")
                return requirement
            return replace(requirement, index=self._indexes[name], world="pypi")
        if entry.boolean("workspace"):
            member = self._members.get(requirement.name)
            return from_source(
                requirement, Source(kind="path", location=str(member or base / requirement.name), editable=True)
            )
        if "git" in entry:
            entry.raw("lfs")
            return from_source(requirement, git_source(entry, editable=bool(entry.boolean("editable"))))
        location = entry.string("url") or entry.string("path")
        if location is None:
            entry.mistake("", "a source has an index, a git repository, a url, a path or a workspace")
            return requirement
        if is_wheel(location):
            return by_wheel(requirement, location, base=base)
        entry.raw("package")
        source = source_at(location, base=base, editable=bool(entry.boolean("editable")))
        below = inside(entry.string("subdirectory")) or source.subdirectory
        return from_source(requirement, replace(source, subdirectory=below))


def _is_for(entry: Table, key: str) -> bool:
    extra, group = entry.string("extra"), entry.string("group")
    if extra is not None:
        return key == extra_key(extra)
    return group is None or key == group_key(group)


def _members(table: Table) -> dict[str, Path]:
    """Return the projects of the workspace, by name."""
    workspace, base = table.table("workspace"), table.document.path.parent
    workspace.only({"members", "exclude"})
    excluded = {path for pattern in workspace.strings("exclude") for path in base.glob(pattern)}
    found = {path for pattern in workspace.strings("members") for path in base.glob(pattern)} - excluded
    trees = [path for path in sorted(found) if (path / "pyproject.toml").is_file()]
    return {name_of(str(path), Source(kind="path", location=str(path))): path for path in trees}


# -- sets


def _with_dev(project: ProjectTable, table: Table) -> ProjectTable:
    """``dev-dependencies``, uv's older way to say the group ``dev``."""
    listed = pep508(table, "dev-dependencies")
    if not listed:
        return project
    key = group_key("dev")
    before = project.features.get(key, Feature())
    features = {**project.features, key: replace(before, requirements=(*before.requirements, *listed))}
    return replace(project, features=features)


def _with_pythons(features: Mapping[str, Feature], table: Table) -> dict[str, Feature]:
    found = dict(features)
    for name in table:
        group, key = table.table(name), group_key(name)
        python = group.string("requires-python")
        if key not in found:
            table.mistake(name, "there is no such dependency group")
        elif python:
            wanted = parse_pypi(f"python{python}", origin=group.where("requires-python"))
            found[key] = replace(found[key], python=wanted)
    return found


def _default_groups(project: ProjectTable, table: Table) -> tuple[str, ...]:
    groups = [key for key in project.features if key.startswith("group:")]
    if "default-groups" not in table:
        return tuple(key for key in groups if key == group_key("dev"))
    if table.peek("default-groups") == "all":
        table.raw("default-groups")
        return tuple(groups)
    found = [group_key(name) for name in table.strings("default-groups")]
    for key in found:
        if key not in groups:
            table.mistake("default-groups", f"there is no dependency group {key.partition(':')[2]}")
    return tuple(key for key in found if key in groups)


def _conflicts(table: Table, name: str | None) -> Iterator[frozenset[str]]:
    for several in table.items("conflicts"):
        if not isinstance(several, list):
            table.mistake("conflicts", f"{several!r} is no list of extras and groups")
            continue
        keys = [key for conflict in several if (key := _conflict_key(conflict, name))]
        if len(keys) > 1:
            yield frozenset(keys)


def _conflict_key(value: Any, name: str | None) -> str | None:
    if not isinstance(value, dict) or normalized(value.get("package") or name or "") != normalized(name or ""):
        return None
    if isinstance(value.get("extra"), str):
        return extra_key(value["extra"])
    return group_key(value["group"]) if isinstance(value.get("group"), str) else None


def _conditions(table: Table) -> tuple[str, ...]:
    from packaging.markers import InvalidMarker, Marker

    said = table.raw("environments")
    texts = (said,) if isinstance(said, str) else table.strings("environments")
    found = []
    for text in texts:
        try:
            found.append(str(Marker(text)))
        except InvalidMarker as error:
            table.mistake("environments", f"{text!r}: {' '.join(str(error).splitlines()[:1])}")
    return tuple(found)
