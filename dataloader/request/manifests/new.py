"""Text of a new manifest: what files of other tools ask for, and whole manifests with their features. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloader.base.platforms import PLATFORMS
from dataloader.machine.target import SystemRequirements
from dataloader.request.input_file import Feature, InputFile
from dataloader.request.manifests.additions import Additions, joined, of_files
from dataloader.request.manifests.edit import Editor
from dataloader.request.manifests.manifest import DEFAULT, Manifest
from dataloader.request.manifests.resolution import ResolutionTable
from dataloader.request.public import public
from dataloader.request.python import is_python
from dataloader.request.specs.applies import worth_keeping
from dataloader.request.specs.joined import both
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement
from dataloader.request.tasks import Task


def new_manifest(
    *,
    name: str,
    channels: Sequence[str],
    platform: str,
    pixi: bool = False,
    inputs: Sequence[InputFile] = (),
    manifests: Sequence[Manifest] = (),
    skip_unbuildable: bool = False,
    prefer: Sequence[str] = (),
    folder: Path = Path(),
) -> str:
    """Text of a new manifest, dataloader.toml's or (``pixi``) pixi.toml's, with what ``inputs`` ask for in it.

    Args:
        name: Of the environment, where no input has one.
        channels: Where no input names any.
        platform: Where no manifest names any.
        pixi: Write pixi's file.
        inputs: Files of requirements.
        manifests: Whole manifests: their features and environments too.
        skip_unbuildable: Say that what would have to be built is left out.
        prefer: Locks of other tools, relative to it, whose versions the first lock prefers.
        folder: Where it will lie: an absolute one has paths written relative to it.

    Raises UsageError ``requirement-unsupported`` for what a manifest cannot say.
    """
    import tomlkit

    manifests = public(tuple(manifests))
    asked = of_files(
        [replace(read, requirements=worth_keeping(read.requirements, _platforms(platform))) for read in inputs]
    )
    document = tomlkit.document()
    workspace = tomlkit.table()
    workspace["name"] = next(filter(None, [*(i.name for i in inputs), *(m.name for m in manifests)]), name)
    own = [m.features[DEFAULT] for m in manifests]
    said = asked.channels is not None or any(f.channels is not None for f in own)
    workspace["channels"] = [] if said else list(channels)
    workspace["platforms"] = list(dict.fromkeys(platform for f in own for platform in f.platforms)) or [platform]
    document["workspace"] = workspace
    document["dependencies"] = _commented(tomlkit.table(), 'conda packages: python = "3.11.*"')
    document["pypi-dependencies"] = _commented(tomlkit.table(), 'Python distributions: numpy = ">=1.26,<2"')
    _our_tables(document, pixi=pixi)["stack"] = _commented(
        tomlkit.table(), 'what to build on: cuda = "12.1", torch = "2.1.0"'
    )
    path = folder / ("pixi.toml" if pixi else "dataloader.toml")
    _editor(document, path).add(replace(asked, requirements=_written(asked.requirements)))
    for manifest in manifests:
        _put(document, path, manifest)
    for key, value in (("skip-unbuildable", skip_unbuildable), ("prefer", list(prefer))):
        if value:
            _editor(document, path).ours_table("resolution")[key] = value
    return tomlkit.dumps(document)


def _our_tables(document: Any, *, pixi: bool) -> Any:
    """Return the table of a new document that holds what is ours."""
    import tomlkit

    if not pixi:
        return document
    document["tool"] = tomlkit.table(is_super_table=True)
    document["tool"]["dataloader"] = tomlkit.table(is_super_table=True)
    return document["tool"]["dataloader"]


def not_written(manifest: Manifest) -> Iterator[str]:
    """Yield what a manifest says and the new one has no place for."""
    if manifest.conflicts:
        told = "; ".join(" and ".join(sorted(several)) for several in manifest.conflicts)
        yield f"{manifest.path}: conflicts are not taken over ({told}): each environment is solved by itself"
    if manifest.conditions:
        yield f"{manifest.path}: environments are not taken over ({'; '.join(manifest.conditions)}): see platforms"
    for feature in manifest.features.values():
        for tasks in (feature.tasks, *feature.tasks_by_platform.values()):
            for task in tasks.values():
                if task.unsupported:
                    yield f"{task.origin}: {', '.join(task.unsupported)} of the task {task.name} is not taken over"
    yield from manifest.notes


def _editor(document: Any, path: Path, feature: str = DEFAULT) -> Editor:
    return Editor(document, path, feature)


def _put(document: Any, path: Path, manifest: Manifest) -> None:
    """Put a whole manifest into a new one."""
    names = [name for name in manifest.features if ":" not in name]
    for name in names:
        _put_feature(_editor(document, path, name), manifest.features[name], is_default=name == DEFAULT)
    environments: dict[str, Any] = {}
    for name, features in manifest.environments.items():
        wanted = [f.partition(":")[2] or f for f in features if f != DEFAULT]
        if name == DEFAULT and not wanted:
            continue
        said: dict[str, Any] = {"features": wanted}
        if DEFAULT not in features:
            said["no-default-feature"] = True
        if group := manifest.solve_groups.get(name):
            said["solve-group"] = group
        environments[name] = wanted if len(said) == 1 else _table(said)
    if environments:
        document["environments"] = environments
    resolution = manifest.resolution
    switches: dict[str, str | bool] = {
        key: value
        for key, value in {
            "conda": resolution.conda,
            "prerelease": resolution.prerelease,
            "exclude-newer": resolution.exclude_newer,
            "require-hashes": resolution.require_hashes,
            "no-index": resolution.no_index,
            "skip-unbuildable": resolution.skip_unbuildable,
        }.items()
        if value
    }
    if any(f.pypi.prerelease for f in manifest.features.values()):
        switches.setdefault("prerelease", "allow")
    editor = _editor(document, path)
    editor.add(
        Additions(
            constraints=resolution.constraints,
            overrides=resolution.overrides,
            resolution=switches,
            build=resolution.built,
            require=manifest.attestations,
            trusted_root=manifest.trusted_root,
        )
    )
    if resolution.pypi_only:
        editor.ours_table("resolution")["pypi-only"] = list(resolution.pypi_only)
    _put_build(editor, resolution)
    if resolution.matrix:
        editor.ours_table("resolution")["matrix"] = str(manifest.path.parent / resolution.matrix)
    if manifest.channel_priority:
        document["workspace"]["channel-priority"] = manifest.channel_priority


def _put_build(editor: Editor, resolution: ResolutionTable) -> None:
    """Put what [build] says of how projects are built; which may be, is added with what is asked for."""
    for name, texts in resolution.build_requires.items():
        editor.ours_table("build", "requires")[name] = list(texts)
    if resolution.unisolated:
        editor.ours_table("build")["no-isolation"] = list(resolution.unisolated)
    said = {**resolution.build_limits, **({"registry": resolution.build_registry} if resolution.build_registry else {})}
    for key, value in said.items():
        editor.ours_table("build")[key] = value


def _put_feature(editor: Editor, feature: Feature, *, is_default: bool) -> None:
    asked = [*feature.requirements, *([feature.python] if feature.python else [])]
    editor.add(
        Additions(
            requirements=_written(asked),
            stack=feature.stack,
            index_url=feature.pypi.index_url,
            extra_index_urls=feature.pypi.extra_index_urls,
            find_links=feature.pypi.find_links,
            no_binary=feature.pypi.no_binary,
            only_binary=feature.pypi.only_binary,
            variables=feature.variables,
        )
    )
    if not asked and not is_default:
        editor.table("pypi-dependencies")  # a feature that only is
    if feature.channels is not None:
        values = [
            c if not priority else _table({"channel": c, "priority": priority}) for c, priority in feature.channels
        ]
        holder = editor.table("workspace") if is_default else editor.table()
        holder["channels"] = [*values, *(c for c in holder.get("channels", []) if c not in values)]
    if feature.platforms and not is_default:
        editor.table()["platforms"] = list(feature.platforms)
    if feature.gpus:
        editor.ours_table("stack", inside=True)["gpus"] = list(feature.gpus)
    for limit in feature.limits:
        editor.table("constraints")[limit.name] = editor.value_of(limit)
    for platform, listed in feature.by_platform.items():
        for requirement in _written(listed):
            kind = "dependencies" if isinstance(requirement, CondaRequirement) else "pypi-dependencies"
            editor.table("target", platform, kind)[requirement.name] = editor.value_of(requirement)
    for key, value in _system(feature.system).items():
        editor.table("system-requirements")[key] = value
    for name, task in feature.tasks.items():
        editor.table("tasks")[name] = _task(task)
    for platform, tasks in feature.tasks_by_platform.items():
        for name, task in tasks.items():
            editor.table("target", platform, "tasks")[name] = _task(task)
    if feature.pypi.strict_records:
        editor.table("pypi-options")["strict-records"] = True


def _written(requirements: Sequence[Requirement]) -> tuple[Requirement, ...]:
    """Return requirements as tables have them: Python is a line of [dependencies]."""
    pythons = [r for r in requirements if isinstance(r, PypiRequirement) and is_python(r)]
    found = joined(r for r in requirements if r not in pythons)
    if not pythons:
        return found
    version = both(r.specifier for r in pythons) or None
    return (CondaRequirement(name="python", version=version, origin=pythons[0].origin), *found)


def _task(task: Task) -> Any:
    command = list(task.command) if isinstance(task.command, tuple) else task.command
    said = {
        "cmd": command,
        "depends-on": list(task.depends_on),
        "env": _table(dict(task.env)) if task.env else None,
        "cwd": task.cwd,
        "description": task.description,
    }
    said = {key: value for key, value in said.items() if value}
    return command if set(said) == {"cmd"} and isinstance(command, str) else _table(said)


def _system(system: SystemRequirements) -> dict[str, Any]:
    said: dict[str, Any] = {key: getattr(system, key) for key in ("cuda", "linux", "macos", "archspec")}
    if system.libc and system.libc_family != "glibc":
        said["libc"] = _table({"family": system.libc_family, "version": system.libc})
    elif system.libc:
        said["libc"] = system.libc
    return {key: value for key, value in said.items() if value is not None}


def _table(values: dict[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.inline_table()
    table.update(values)
    return table


def _platforms(platform: str) -> frozenset[str]:
    return frozenset({platform} if platform in PLATFORMS else PLATFORMS)


def _commented(table: Any, comment: str) -> Any:
    import tomlkit

    table.add(tomlkit.comment(comment))
    return table
