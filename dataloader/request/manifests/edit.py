"""Text of manifests with more in them. Comments and formatting stay. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dataloader.base.errors import ManifestError, UsageError
from dataloader.base.names import normalized
from dataloader.lockfile.portable import relative_path
from dataloader.request.manifests.additions import Additions
from dataloader.request.manifests.manifest import DEFAULT, kind_of
from dataloader.request.public import public
from dataloader.request.specs.joined import title
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement, Source


def add_to_manifest(text: str, path: str | Path, additions: Additions, *, feature: str = DEFAULT) -> str:
    """The manifest with more in it; what is there of the same name is replaced.

    Args:
        text: The manifest, which parses.
        path: Its path: the name says where the tables are, the folder what paths are relative to.
        additions: What to write.
        feature: Whose tables.

    Raises UsageError ``requirement-unsupported`` for a requirement that a manifest cannot hold, ManifestError when
    the text is not TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ManifestError(f"{path} is not TOML: {error}") from error
    if not additions.is_empty:
        Editor(document, Path(path), feature).add(additions)
    return tomlkit.dumps(document)


_UV_SOURCES = ("tool", "uv", "sources")


class Editor:
    """One document, and where its tables are."""

    def __init__(self, document: Any, path: Path, feature: str) -> None:
        self._document, self._folder = document, path.parent
        self._kind = kind_of(path.name, document)
        of_pixi = "pixi" in document.get("tool", {})
        self._pixi = () if self._kind != "pyproject.toml" else ("tool", "pixi" if of_pixi else "dataloader")
        self._is_pixis = self._kind != "pyproject.toml" or of_pixi
        self._feature = feature
        self._ours = () if self._kind == "dataloader.toml" else ("tool", "dataloader")
        self._inside = () if feature == DEFAULT else ("feature", feature)

    def add(self, additions: Additions) -> None:
        """Write additions."""
        additions = public(additions)
        by_title: dict[str, list[Requirement]] = {}
        for requirement in additions.requirements:
            by_title.setdefault(title(requirement), []).append(requirement)
        for name in additions.gone:
            self._take_out(name)
        for group in by_title.values():
            self._put(group)
        for axis, value in additions.stack.items():
            self.ours_table("stack", inside=True)[axis] = value or "*"
        self._put_channels(additions.channels)
        self._put_options(additions)
        self._put_build(additions.build)
        for key, text in additions.variables.items():
            self.table("activation", "env")[key] = text
        if additions.constraints:
            resolution = self.ours_table("resolution")
            _extend(resolution, "constraints", [constraint.requirement for constraint in additions.constraints])
        if additions.overrides:
            _extend(
                self.ours_table("resolution"), "overrides", [override.requirement for override in additions.overrides]
            )
        for key, switch in additions.resolution.items():
            self.ours_table("resolution")[key] = switch
        for name, publisher in additions.require.items():
            self.ours_table("attestations", "require")[name] = publisher
        if additions.trusted_root:
            self.ours_table("attestations")["trusted-root"] = self._relative(additions.trusted_root)

    # -- where things are

    def table(self, *keys: str) -> Any:
        """Return a table of the feature, made where it is missing."""
        return _table(self._document, (*self._pixi, *self._inside, *keys))

    def ours_table(self, *keys: str, inside: bool = False) -> Any:
        """Return a table of ours, or (``inside``) of ours for the feature, made where it is missing."""
        return _table(self._document, (*self._ours, *(self._inside if inside else ()), *keys))

    def _relative(self, path: str) -> str:
        """A path below the manifest is one for everybody who has the project."""
        if not Path(path).is_absolute() or not self._folder.is_absolute():
            return path
        relative = os.path.relpath(path, self._folder)
        return path if relative.startswith("..") else f"./{relative}"

    def _beside(self, path: str) -> str:
        """The same for a source, which may lie beside the manifest's folder too."""
        return relative_path(path, self._folder, beside=True) or path

    # -- requirements

    def _put(self, group: Sequence[Requirement]) -> None:
        """One line for one project; several requirements of it are a list, which only we read."""
        requirement = group[0]
        values = [self.value_of(r) for r in group]
        if len(group) > 1 and self._kind != "dataloader.toml":
            raise UsageError(
                f"{self._kind} holds one requirement of {requirement.name}, and there are {len(group)}: "
                + " and ".join(str(r) for r in group),
                code="requirement-unsupported",
                causes=tuple(f"{r.origin}: {r}" for r in group),
                suggestions=("say it in one requirement", "or keep them in a dataloader.toml, which can hold both"),
            )
        if isinstance(requirement, PypiRequirement) and self._put_into_project(requirement):
            return
        table = self.table("dependencies" if isinstance(requirement, CondaRequirement) else "pypi-dependencies")
        table[_written_as(table, requirement.name)] = (
            values[0] if len(values) == 1 else [_inline(value) for value in values]
        )
        insists = (
            isinstance(requirement, PypiRequirement)
            and requirement.world == "pypi"
            and not (requirement.url or requirement.index)
        )
        if insists:
            _extend(self.ours_table("resolution"), "pypi-only", [requirement.name])

    def value_of(self, requirement: Requirement) -> Any:
        """Return what stands for a requirement behind its name."""
        return self._conda(requirement) if isinstance(requirement, CondaRequirement) else self._pypi(requirement)

    def _put_into_project(self, requirement: PypiRequirement) -> bool:
        """Write into a pyproject.toml's own list, if the project stands there, or pixi has no tables there."""
        lines = self._project_lines(requirement.name)
        if not lines and (self._is_pixis or self._list() is None or requirement.index or requirement.hashes):
            return False
        if requirement.index or requirement.hashes:
            raise UsageError(
                f"[project] dependencies cannot hold the index or the hashes of {requirement.name}",
                code="requirement-unsupported",
                suggestions=(f"take {requirement.name} out of [project] dependencies first",),
            )
        dependencies, text = self._list(), self._with_source(requirement).requirement
        if not lines:
            dependencies.append(text)
            return True
        dependencies[lines[0]] = text
        for index in reversed(lines[1:]):
            del dependencies[index]
        return True

    def _with_source(self, requirement: PypiRequirement) -> PypiRequirement:
        """Return the requirement as the list has it; its path, which PEP 508 has absolute alone, is where uv has it."""
        source, url = requirement.source, requirement.url or ""
        is_local = url.startswith("file://") or (source is not None and source.kind == "path")
        if not is_local or "poetry" in self._document.get("tool", {}):  # Poetry reads no table of uv's
            if source or url:
                self._drop_source(requirement.name)
            return requirement
        said = source_table(source, self._beside) if source else {"path": self._relative(_path(url))}
        sources = _table(self._document, _UV_SOURCES)
        sources[_written_as(sources, requirement.name)] = _inline(said)
        return replace(requirement, source=None, url=None)

    def _drop_source(self, name: str) -> None:
        """Take out what uv's table says of a project: it means nothing where nobody asks for it, or asks by URL."""
        sources = _read_table(self._document, _UV_SOURCES)
        sources.pop(_written_as(sources, name), None)

    def _is_named(self, name: str) -> bool:
        """Whether any list of a pyproject.toml asks for a project."""
        project, groups = self._document.get("project", {}), self._document.get("dependency-groups", {})
        lists = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values(), *groups.values()]
        lists.append(_read_table(self._document, ("tool", "uv")).get("dev-dependencies", []))
        return any(_name_in(line) == name for lines in lists for line in lines)

    def _list(self) -> Any:
        """Return a pyproject.toml's own list of what the feature needs; ``None`` where it has none."""
        if self._kind != "pyproject.toml":
            return None
        project = self._document.get("project", {})
        if not self._inside:
            return project.get("dependencies")
        for sets in (project.get("optional-dependencies", {}), self._document.get("dependency-groups", {})):
            for name in sets:
                if normalized(name) == self._feature and not self._is_pixis:
                    return sets[name]
        return None

    def _project_lines(self, name: str) -> list[int]:
        return [index for index, line in enumerate(self._list() or ()) if _name_in(line) == name]

    def _take_out(self, name: str) -> None:
        kind, _, plain = name.rpartition(":")
        if kind == "stack":
            _read_table(self._document, (*self._ours, *self._inside, "stack")).pop(plain, None)
            return
        key = "dependencies" if kind == "conda" else "pypi-dependencies"
        table = _read_table(self._document, (*self._pixi, *self._inside, key))
        table.pop(_written_as(table, plain), None)
        if kind:
            return
        only = _read_table(self._document, (*self._ours, "resolution")).get("pypi-only", [])
        for index in reversed([at for at, text in enumerate(only) if normalized(text) == plain]):
            del only[index]
        for index in reversed(self._project_lines(plain)):
            del self._list()[index]
        if self._kind == "pyproject.toml" and not self._is_named(plain):
            self._drop_source(plain)

    def _conda(self, requirement: CondaRequirement) -> Any:
        fields = {
            "version": requirement.version or "*",
            "build": requirement.build,
            "build-number": requirement.build_number,
            "channel": requirement.channel,
            "subdir": requirement.subdir,
            "md5": requirement.md5,
            "sha256": requirement.sha256,
        }
        if requirement.source:
            return _inline(source_table(requirement.source, self._beside))
        return _value({key: value for key, value in fields.items() if value is not None})

    def _pypi(self, requirement: PypiRequirement) -> Any:
        said: dict[str, Any] = {}
        if requirement.source:
            said |= source_table(requirement.source, self._beside)
        elif requirement.url and requirement.url.startswith("file://"):
            said["path"] = self._relative(_path(requirement.url))
        elif requirement.url:
            said["url"] = requirement.url
        else:
            said["version"] = requirement.specifier or "*"
        if requirement.extras:
            said["extras"] = list(requirement.extras)
        if requirement.marker:
            said["env-markers"] = requirement.marker
        if requirement.index:
            said["index"] = requirement.index
        if requirement.hashes and self._kind != "dataloader.toml":
            raise UsageError(
                f"{requirement.origin}: {self._kind} cannot hold the hashes of {requirement.name}",
                code="requirement-unsupported",
                suggestions=("keep it in a dataloader.toml, which can", "or leave them out; the lockfile has hashes"),
            )
        if requirement.hashes:
            said["hashes"] = list(requirement.hashes)
        return _value(said)

    # -- sources

    def _put_channels(self, channels: tuple[str, ...] | None) -> None:
        if channels is None:
            return
        names = [self._relative(c) if c.startswith("/") else c for c in channels]
        holder = self.table() if self._inside else self._workspace()
        before = [c for c in holder.get("channels", []) if _channel_name(c) not in names]
        holder["channels"] = [*names, *before]

    def _workspace(self) -> Any:
        pixi = _table(self._document, self._pixi)
        old = self._kind != "pyproject.toml" and "project" in pixi
        return self.table("project" if old and "workspace" not in pixi else "workspace")

    def _put_options(self, additions: Additions) -> None:
        if additions.index_url:
            self.table("pypi-options")["index-url"] = additions.index_url
        lists: dict[str, Sequence[object]] = {
            "extra-index-urls": additions.extra_index_urls,
            "find-links": [self._link(link) for link in additions.find_links],
        }
        for key, values in lists.items():
            if values:
                _extend(self.table("pypi-options"), key, values)
        for key, names in (("no-binary", additions.no_binary), ("no-build", additions.only_binary)):
            options = self.table("pypi-options") if names else {}
            if ":all:" in names:
                options[key] = True
            elif names and options.get(key) is not True:
                _extend(options, key, names)

    def _put_build(self, names: Sequence[str]) -> None:
        if names:
            _extend(self.ours_table("build"), "allow", names)

    def _link(self, link: str) -> dict[str, str]:
        return {"url": link} if "://" in link else {"path": self._relative(link)}


def _name_in(line: object) -> str:
    """Return which project a line of a list asks for; of a group's ``{include-group}``, none."""
    found = re.match(r"\s*([A-Za-z0-9._-]*)", str(line))
    return normalized(found[1]) if found else ""


def source_table(source: Source, relative: Callable[[str], str] = str) -> dict[str, Any]:
    """Return the keys of a source that pixi and uv have in common."""
    said: dict[str, Any] = {source.kind: relative(source.location) if source.kind == "path" else source.location}
    if source.rev:
        said[source.rev_kind] = source.rev
    if source.subdirectory:
        said["subdirectory"] = source.subdirectory
    if source.editable:
        said["editable"] = True
    return said


def _value(said: Mapping[str, Any]) -> Any:
    return said["version"] if set(said) == {"version"} else _inline(said)


def _inline(said: Any) -> Any:
    import tomlkit

    value = tomlkit.inline_table()
    value.update(said if isinstance(said, Mapping) else {"version": said})
    return value


def _extend(table: Any, key: str, values: Iterable[object]) -> None:
    """Put what is new before what is there, each once."""
    before = list(table.get(key, [])) if isinstance(table.get(key, []), list) else []
    new = [value for value in values if value not in before]
    if new or key not in table:
        table[key] = [*(_inline(v) if isinstance(v, Mapping) else v for v in new), *before]


def _channel_name(channel: Any) -> str:
    return str(channel.get("channel")) if isinstance(channel, Mapping) else str(channel)


def _table(document: Any, path: Sequence[str]) -> Any:
    """The table at ``path``, made where it is missing."""
    import tomlkit

    table = document
    for depth, key in enumerate(path):
        if key not in table:
            table[key] = tomlkit.table(is_super_table=depth + 1 < len(path))
        table = table[key]
    return table


def _read_table(document: Any, path: Sequence[str]) -> Any:
    """The table at ``path``; an empty one, of nobody's, where there is none."""
    table = document
    for key in path:
        table = table.get(key, {})
    return table


def _written_as(table: Any, name: str) -> str:
    """The key under which the project is already there, in whatever spelling."""
    return next((key for key in table if normalized(key) == name), name)


def _path(url: str) -> str:
    return str(Path(unquote(urlsplit(url).path)))
