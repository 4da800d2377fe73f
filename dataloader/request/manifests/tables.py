"""The tables of a manifest -> Feature. The names and meanings are pixi's; [stack] is ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.base.platforms import platform_mistake
from dataloader.machine.target import SystemRequirements
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT
from dataloader.request.input_file import Feature, PypiOptions
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement, Source
from dataloader.request.specs.sources import from_source, git_source, inside, is_wheel, of_conda, source_at
from dataloader.request.specs.spec import axis_mistake, by_wheel, conda_version, parse_conda, parse_pypi
from dataloader.request.tasks import read_tasks
from dataloader.request.toml import Table

T = TypeVar("T", PypiRequirement, CondaRequirement)

STACK_AXES = ("cuda", "cudnn", "nccl", "gcc", "python", "torch", "tensorflow", "jax", "driver")
_MATCH_SPEC_KEYS = ("version", "build", "build-number", "channel", "subdir", "md5", "sha256")


def read_feature(table: Table, ours: Table, general: Table) -> Feature:
    stack = ours.table("stack")
    stack.only({*STACK_AXES, "gpus"})
    values = {axis: stack.string(axis) for axis in STACK_AXES}
    for axis, value in values.items():
        if value is not None and (mistake := axis_mistake(axis, value)):
            stack.mistake(axis, f"{value!r}: {mistake}")
    targets = table.table("target")
    return Feature(
        channels=_channels(general),
        platforms=_platforms(general),
        requirements=_requirements(table),
        by_platform={name: _requirements(targets.table(name)) for name in targets},
        limits=_each(table.table("constraints"), _conda),
        system=_system(table.table("system-requirements")),
        pypi=read_pypi_options(table.table("pypi-options")),
        stack={axis: "" if value == "*" else value for axis, value in values.items() if value is not None},
        gpus=stack.strings("gpus"),
        variables=_variables(table.table("activation").table("env")),
        tasks=read_tasks(table.table("tasks")),
        tasks_by_platform={
            name: read_tasks(targets.table(name).table("tasks")) for name in targets if "tasks" in targets.table(name)
        },
    )


def _channels(table: Table) -> tuple[tuple[str, int], ...] | None:
    if "channels" not in table:
        return None
    channels = []
    for value in table.items("channels"):
        if isinstance(value, str):
            channels.append((value, 0))
        elif (
            isinstance(value, dict)
            and isinstance(value.get("channel"), str)
            and isinstance(value.get("priority", 0), int)
        ):
            channels.append((value["channel"], value.get("priority", 0)))
        else:
            table.mistake("channels", f"{value!r} is neither a channel's name nor {{channel = ..., priority = ...}}")
    return tuple(channels)


def _variables(table: Table) -> Mapping[str, str]:
    return {name: value for name in table if (value := table.string(name)) is not None}


def _platforms(table: Table) -> tuple[str, ...]:
    """Names, or tables that tell more of one, whose ``platform`` is it."""
    found = []
    for value in table.items("platforms"):
        name = value.get("platform", value.get("name")) if isinstance(value, dict) else value
        if not isinstance(name, str):
            table.mistake("platforms", f"{value!r} is not a platform such as linux-64")
        elif mistake := platform_mistake(name):
            table.mistake("platforms", mistake)
        else:
            found.append(name)
    return tuple(found)


def _requirements(table: Table) -> tuple[Requirement, ...]:
    return (*_each(table.table("dependencies"), _conda), *_each(table.table("pypi-dependencies"), _pypi))


def _each(table: Table, read: Callable[[Table, str, Any], T]) -> tuple[T, ...]:
    """Read each line of a table of requirements; a line may be a list of several of one project."""
    found: list[T] = []
    for name in table:
        value = table.raw(name)
        inline = (
            table.tables(name) if isinstance(value, list) else [table.table(name)] if isinstance(value, dict) else []
        )
        for written in inline or [value]:
            try:
                found.append(read(table, name, written))
            except UsageError as error:
                detail = "".join(f" ({cause})" for cause in error.causes[:1])
                table.mistake(name, error.message.removeprefix(f"{table.where(name)}: ") + detail)
    return tuple(found)


def _conda(table: Table, name: str, value: str | Table) -> CondaRequirement:
    """A line of [dependencies]: a version spec, or a table of match-spec fields."""
    origin = table.where(name)
    if isinstance(value, str):
        return parse_conda(f"{name} {value}" if value.strip() not in {"", "*"} else name, origin=origin)
    if not isinstance(value, Table):
        raise UsageError('expected a version such as ">=2.1,<3", or a table')
    if {"git", "path", "url"} & set(value):
        source = _source(value)
        return CondaRequirement(name=name, origin=origin, source=source, refusal=of_conda(name, source, origin))
    said = {key: value.raw(key, None) for key in _MATCH_SPEC_KEYS}  # looked at, there or not: what else stands is told
    fields = {key.replace("-", "_"): str(text) for key, text in said.items() if text is not None}
    version = conda_version(fields.pop("version", "*"))
    inside = "".join(f", {key}='{text}'" for key, text in fields.items())
    return parse_conda(f"{name}[version='{version or '*'}'{inside}]", origin=origin)


def _pypi(table: Table, name: str, value: str | Table) -> PypiRequirement:
    """A line of [pypi-dependencies]: a specifier, or a table."""
    origin = table.where(name)
    if isinstance(value, str):
        return parse_pypi(f"{name}{_specifier(value)}", origin=origin)
    if not isinstance(value, Table):
        raise UsageError('expected a specifier such as ">=2.1,<3", or a table')
    marker = value.string("env-markers") or value.string("markers")
    text = f"{name}[{','.join(value.strings('extras'))}]{_specifier(str(value.raw('version', '*')))}"
    requirement = parse_pypi(text + (f" ; {marker}" if marker else ""), origin=origin)
    requirement = replace(requirement, hashes=value.strings("hashes"))
    location = value.peek("url") or value.peek("path")
    if "git" in value or (isinstance(location, str) and not is_wheel(location)):
        return from_source(requirement, _source(value))
    if location := value.string("url") or value.string("path"):
        return by_wheel(requirement, location, base=table.document.path.parent)
    if index := value.string("index"):
        return replace(requirement, index=index, world="pypi")
    return requirement


def _source(value: Table) -> Source:
    """Read pixi's keys of a source."""
    editable = bool(value.boolean("editable"))
    if "git" in value:
        return git_source(value, editable=editable)
    found = source_at(value.string("url") or value.string("path") or "", base=value.document.path.parent)
    below = inside(value.string("subdirectory")) or found.subdirectory
    return replace(found, subdirectory=below, editable=found.editable or editable)


def _specifier(text: str) -> str:
    text = text.strip()
    if text in {"", "*"}:
        return ""
    if text[0].isdigit():
        raise UsageError(f'{text!r} has no operator; write "=={text}", or "=={text}.*" for the whole series')
    return text


def _version(table: Table, key: str) -> str | None:
    """A version that pixi lets people write as a number too."""
    value = table.peek(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(table.raw(key)) if is_number else table.string(key)


def _system(table: Table) -> SystemRequirements:
    family, libc = "glibc", None
    if isinstance(table.raw("libc"), dict):
        details = table.table("libc")
        family, libc = details.choice("family", {"glibc", "musl"}) or "glibc", _version(details, "version")
    else:
        libc = _version(table, "libc")
    return SystemRequirements(
        cuda=_version(table, "cuda"),
        libc=libc,
        libc_family=family,
        linux=_version(table, "linux"),
        macos=_version(table, "macos"),
        archspec=table.string("archspec"),
    )


def read_pypi_options(table: Table) -> PypiOptions:
    return PypiOptions(
        index_url=table.string("index-url"),
        extra_index_urls=table.strings("extra-index-urls"),
        find_links=tuple(_find_links(table)),
        only_binary=_projects(table, "no-build"),
        no_binary=_projects(table, "no-binary"),
        strict_records=bool(table.boolean("strict-records")),
        prerelease=_allows_prereleases(table),
    )


def _allows_prereleases(table: Table) -> bool:
    """uv's modes, of which we have two; another is left unread, and so named."""
    modes = {"allow": True, "if-necessary": False, "if-necessary-or-explicit": False}
    return "prerelease-mode" in table and table.peek("prerelease-mode") in modes and modes[table.raw("prerelease-mode")]


def _find_links(table: Table) -> Iterator[str]:
    base = table.document.path.parent
    for value in table.items("find-links"):
        entry: dict[str, Any] = value if isinstance(value, dict) else {"path": value}
        if isinstance(entry.get("url"), str):
            yield entry["url"]
        elif isinstance(path := entry.get("path"), str):
            yield path if "://" in path else str((base / path).resolve())
        else:
            table.mistake("find-links", f"{value!r} is neither {{path = ...}} nor {{url = ...}}")


def _projects(table: Table, key: str) -> tuple[str, ...]:
    """``true`` for all projects, or a list of them."""
    if isinstance(table.raw(key), list):
        return tuple(normalized(name) for name in table.strings(key))
    return (":all:",) if table.boolean(key) else ()


def pypi_requirements(table: Table) -> tuple[PypiRequirement, ...]:
    """Return the lines of a table such as [pypi-dependencies]."""
    return _each(table, _pypi)


def read_solve_groups(table: Table) -> Mapping[str, str]:
    """Return environment -> the group that shares its versions, of [environments]."""
    tables = {name: table.table(name) for name in table if isinstance(table.peek(name), dict)}
    return {name: group for name, table in tables.items() if (group := table.string("solve-group"))}


def read_environments(table: Table, features: set[str]) -> Mapping[str, tuple[str, ...]]:
    """Return environment -> its features, most preferred first, of [environments]."""
    environments: dict[str, tuple[str, ...]] = {DEFAULT_ENVIRONMENT: (DEFAULT_ENVIRONMENT,)}
    for name in table:
        value = table.raw(name)
        inside = table.table(name) if isinstance(value, dict) else table
        wanted = inside.strings("features" if isinstance(value, dict) else name)
        for feature in wanted:
            if feature not in features:
                table.mistake(name, f"there is no feature {feature}")
        for feature in sorted({f for f in wanted if wanted.count(f) > 1}):
            table.mistake(name, f"the feature {feature} is there twice")
        with_default = not (isinstance(value, dict) and inside.boolean("no-default-feature"))
        joined = (
            *(f for f in wanted if f in features and f != DEFAULT_ENVIRONMENT),
            *([DEFAULT_ENVIRONMENT] if with_default else []),
        )
        environments[name] = (
            (DEFAULT_ENVIRONMENT, *joined[:-1]) if name == DEFAULT_ENVIRONMENT and with_default else joined
        )
    return environments
