"""Text of manifests: a new one, or one with more in it. Comments and formatting stay. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataloader.base.errors import ManifestError, UsageError
from dataloader.inputs.files import InputFile
from dataloader.inputs.model import CondaRequirement, PypiRequirement, Requirement
from dataloader.manifest import kind_of


def new_manifest(
    *, name: str, channels: Sequence[str], platform: str, pixi: bool = False, inputs: Sequence[InputFile] = ()
) -> str:
    """Text of a new manifest, dataloader.toml's or (``pixi``) pixi.toml's, with what ``inputs`` ask for in it.

    Raises UsageError ``requirement-unsupported`` for what a manifest cannot say.
    """
    import tomlkit

    document = tomlkit.document()
    workspace = tomlkit.table()
    workspace["name"] = next((one.name for one in inputs if one.name), name)
    named = [one.channels for one in inputs if one.channels is not None]
    workspace["channels"] = list(dict.fromkeys(c for each in named for c in each)) if named else list(channels)
    workspace["platforms"] = [platform]
    document["workspace"] = workspace
    options = _pypi_options(inputs)
    if options:
        document["pypi-options"] = options
    document["dependencies"] = _commented(tomlkit.table(), 'conda packages: python = "3.11.*"')
    document["pypi-dependencies"] = _commented(tomlkit.table(), 'Python distributions: numpy = ">=1.26,<2"')
    stack = _commented(tomlkit.table(), 'what to build on: cuda = "12.1", torch = "2.1.0"')
    if pixi:
        document["tool"] = tomlkit.table(is_super_table=True)
        document["tool"]["dataloader"] = tomlkit.table(is_super_table=True)
        document["tool"]["dataloader"]["stack"] = stack
    else:
        document["stack"] = stack
    filename = "pixi.toml" if pixi else "dataloader.toml"
    wanted = [requirement for one in inputs for requirement in one.requirements]
    return add_to_manifest(tomlkit.dumps(document), filename, wanted)


def add_to_manifest(
    text: str,
    filename: str,
    requirements: Iterable[Requirement],
    stack: Mapping[str, str] | None = None,
    *,
    gone: Iterable[str] = (),
) -> str:
    """The manifest with requirements and stack values added; what is there of the same name is replaced.

    Args:
        text: The manifest, which parses.
        filename: ``dataloader.toml``, ``pixi.toml`` or ``pyproject.toml``: it says where the tables are.
        requirements: To add.
        stack: Axis -> version; the empty string means any version.
        gone: What is taken out: projects, ``conda:NAME``, and stack axes as ``stack:AXIS``.

    Raises UsageError ``requirement-unsupported`` for a requirement that a manifest cannot hold, ManifestError when
    the text is not TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ManifestError(f"{filename} is not TOML: {error}") from error
    kind = kind_of(filename, document)
    pixi = ("tool", "pixi") if kind == "pyproject.toml" else ()
    ours = () if kind == "dataloader.toml" else ("tool", "dataloader")
    for requirement in requirements:
        if isinstance(requirement, CondaRequirement):
            _table(document, (*pixi, "dependencies"))[requirement.name] = _conda_value(requirement)
            continue
        table = _table(document, (*pixi, "pypi-dependencies"))
        table[_written_as(table, requirement.name)] = _pypi_value(requirement)
        if requirement.world == "pypi" and not requirement.url and not requirement.index:
            _insist(_table(document, (*ours, "resolution")), requirement.name)
    for axis, value in (stack or {}).items():
        _table(document, (*ours, "stack"))[axis] = value or "*"
    places = {"": (*pixi, "pypi-dependencies"), "conda": (*pixi, "dependencies"), "stack": (*ours, "stack")}
    for name in gone:
        kind, _, plain = name.rpartition(":")
        table = _table(document, places[kind])
        table.pop(_written_as(table, plain), None)
    return tomlkit.dumps(document)


def _table(document: Any, path: Sequence[str]) -> Any:
    """The table at ``path``, made where it is missing."""
    import tomlkit

    table = document
    for depth, key in enumerate(path):
        if key not in table:
            table[key] = tomlkit.table(is_super_table=depth + 1 < len(path))
        table = table[key]
    return table


def _written_as(table: Any, name: str) -> str:
    """The key under which the project is already there, in whatever spelling."""
    from dataloader.base.names import normalized

    return next((key for key in table if normalized(key) == name), name)


def _conda_value(requirement: CondaRequirement) -> Any:
    import tomlkit

    fields = {
        "version": requirement.version or "*",
        "build": requirement.build,
        "build-number": requirement.build_number,
        "channel": requirement.channel,
        "subdir": requirement.subdir,
        "md5": requirement.md5,
        "sha256": requirement.sha256,
    }
    said = {key: value for key, value in fields.items() if value is not None}
    if set(said) == {"version"}:
        return said["version"]
    value = tomlkit.inline_table()
    value.update(said)
    return value


def _pypi_value(requirement: PypiRequirement) -> Any:
    import tomlkit

    said: dict[str, Any] = {}
    if requirement.url and requirement.url.startswith("file://"):
        said["path"] = _path(requirement.url)
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
    if requirement.hashes and not requirement.url:
        raise UsageError(
            f"{requirement.origin}: a manifest cannot hold the hashes of {requirement.name}; the lockfile does",
            code="requirement-unsupported",
            suggestions=("Install from the file itself: `dataloader install -r FILE`.",),
        )
    if set(said) == {"version"}:
        return said["version"]
    value = tomlkit.inline_table()
    value.update(said)
    return value


def _path(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    return str(Path(unquote(urlsplit(url).path)))


def _insist(resolution: Any, name: str) -> None:
    """List a project under ``pypi-only``."""
    names = resolution.setdefault("pypi-only", [])
    if name not in names:
        names.append(name)


def _pypi_options(inputs: Sequence[InputFile]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if url := next((one.index_url for one in inputs if one.index_url), None):
        options["index-url"] = url
    if urls := list(dict.fromkeys(url for one in inputs for url in one.extra_index_urls)):
        options["extra-index-urls"] = urls
    if links := list(dict.fromkeys(link for one in inputs for link in one.find_links)):
        options["find-links"] = [{"url": link} if "://" in link else {"path": link} for link in links]
    return options


def _commented(table: Any, comment: str) -> Any:
    import tomlkit

    table.add(tomlkit.comment(comment))
    return table
