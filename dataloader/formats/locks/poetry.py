"""poetry.lock, formats 1.1 to 2.1. It has names and hashes of files, and no URLs: indexes have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloader.base.names import normalized
from dataloader.formats.content import Content, read_content
from dataloader.formats.locks import unfit
from dataloader.formats.model import LeftOut, LockSelection, Taken, Unlocated
from dataloader.formats.wheels import Holds, fitting, host_python, python_for, tags_of

Entry = Mapping[str, Any]


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return what a poetry.lock has for a machine."""
    from poetry.core.constraints.version import parse_constraint

    from dataloader.formats.poetry_versions import specifier_of

    data, metadata = content.data, content.data["metadata"]
    requires = specifier_of(parse_constraint(metadata.get("python-versions", "*")))
    python = python_for(requires, wanted)
    if python is None:
        raise unfit(content, f"it is for Python {metadata['python-versions']}, and this machine has none that fits")
    known = {normalized(name): tuple(map(normalized, needs)) for name, needs in data.get("extras", {}).items()}
    extras = tuple(known) if wanted.all_extras else tuple(map(normalized, wanted.extras))
    for extra in extras:
        if extra not in known:
            raise unfit(content, f"it has no extra {extra}", f"it has: {', '.join(known) or 'none'}")
    holds = Holds(python, wanted.platform, extras)
    packages: list[Entry] = list(data.get("package", ()))
    groups = {group for package in packages for group in package.get("groups", ())}
    for group in wanted.groups or ():
        if groups and normalized(group) not in groups:
            raise unfit(content, f"it has no group {group}", f"it has: {', '.join(sorted(groups))}")
    if any("groups" in package for package in packages):
        chosen = list(_of_groups(packages, _groups(content, wanted, groups), holds))
    else:
        chosen = list(_walked(packages, wanted, holds, {name for extra in extras for name in known[extra]}))
    return _taken(data, chosen, python, wanted)


def _groups(content: Content, wanted: LockSelection, known: set[str]) -> set[str]:
    """Return the groups that are taken: all that are not optional, which the project beside the lock tells."""
    if wanted.groups is not None:
        return {"main", *map(normalized, wanted.groups)}
    return known - _optional(content)


def _optional(content: Content) -> set[str]:
    """Return the optional groups of the pyproject.toml beside a lock; none where there is no such file."""
    path = content.path.parent / "pyproject.toml"
    if not path.is_file():
        return set()
    groups = read_content(path).data.get("tool", {}).get("poetry", {}).get("group", {})
    return {normalized(name) for name, group in groups.items() if group.get("optional")}


def _of_groups(packages: Iterable[Entry], groups: set[str], holds: Holds) -> Iterator[Entry]:
    """Yield the packages whose own groups and markers say that they are taken (format 2.1)."""
    for package in packages:
        markers = package.get("markers")
        own = [group for group in package["groups"] if group in groups]
        said = [markers.get(group) for group in own] if isinstance(markers, dict) else [markers] * len(own)
        if any(holds(marker) for marker in said):
            yield package


def _walked(packages: list[Entry], wanted: LockSelection, holds: Holds, asked: set[str]) -> Iterator[Entry]:
    """Yield the packages that are reached from those that no other needs, and from those of extras."""
    of_dev = wanted.groups is None or "dev" in wanted.groups
    by_name: dict[str, list[Entry]] = {}
    for package in packages:
        by_name.setdefault(normalized(package["name"]), []).append(package)
    needed = {normalized(name) for package in packages for name in package.get("dependencies", {})}
    queue = [
        package
        for package in packages
        if normalized(package["name"]) in asked
        or (
            normalized(package["name"]) not in needed
            and not package.get("optional")
            and (of_dev or package.get("category", "main") == "main")
        )
    ]
    reached: dict[int, Entry] = {}
    while queue:
        package = queue.pop()
        if id(package) in reached:
            continue
        reached[id(package)] = package
        for name, said in package.get("dependencies", {}).items():
            for constraint in said if isinstance(said, list) else [said]:
                marker = constraint.get("markers") if isinstance(constraint, dict) else None
                if holds(marker) and not (isinstance(constraint, dict) and constraint.get("optional")):
                    queue += by_name.get(normalized(name), ())
    yield from (package for package in packages if id(package) in reached)


def _taken(data: Entry, chosen: Iterable[Entry], python: str, wanted: LockSelection) -> Taken:
    tags = tags_of(python, wanted)
    old_files = data["metadata"].get("files", {})
    found: list[Unlocated] = []
    left_out: list[LeftOut] = []
    for package in chosen:
        name, source = normalized(package["name"]), package.get("source", {})
        listed = package.get("files") or old_files.get(package["name"]) or ()
        files = [(file["file"], file["hash"]) for file in listed if str(file["hash"]).startswith("sha256:")]
        fit = fitting(files, tags)
        if source.get("type") in {"git", "directory"} or (listed and not fit):
            where = f"it comes from {source['url']}, and" if source.get("type") in {"git", "directory"} else "it"
            left_out.append(LeftOut(name=name, why=f"{where} would have to be built"))
            continue
        found.append(
            Unlocated(
                name=name,
                version=str(package["version"]),
                files={file: digest.removeprefix("sha256:") for file, digest in fit},
                index=source.get("url") if source.get("type") == "legacy" else None,
            )
        )
    needed = {normalized(name) for package in data.get("package", ()) for name in package.get("dependencies", {})}
    return Taken(
        unlocated=tuple(found),
        left_out=tuple(left_out),
        python=host_python(python),
        indexes=tuple(dict.fromkeys(unlocated.index for unlocated in found if unlocated.index)),
        roots=tuple(unlocated.name for unlocated in found if unlocated.name not in needed),
    )
