"""uv.lock: the graph from the project, walked for one machine; versions 1, whatever the revision."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloader.base.names import file_name_of, normalized
from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.model import LeftOut, LockSelection, Taken
from dataloader.formats.wheels import Holds, fitting, host_python, python_for, tags_of
from dataloader.lockfile.model import PypiPackage

_LOCAL = ("virtual", "editable", "directory")
Entry = Mapping[str, Any]


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return what a uv.lock has for a machine."""
    data = content.data
    if data["version"] != 1:
        raise ValueError(f"its version is {data['version']!r}, and 1 is read")
    python = python_for(data.get("requires-python"), wanted)
    if python is None:
        raise unfit(content, f"it is for Python {data['requires-python']}, and this machine has none that fits")
    packages: list[Entry] = list(data.get("package", ()))
    members = set(data.get("manifest", {}).get("members", ()))
    projects = [p for p in packages if _is_project(p, members)]
    if not projects and (said := (*wanted.extras, *(wanted.groups or ()))):
        raise unfit(content, f"it is of no project, and has no extra or group {', '.join(said)} in it")
    active = frozenset(label for p in projects for label in _labels(content, p, wanted))
    holds = Holds(python, wanted.platform, active)
    reached, roots = _walk(projects or packages, packages, holds, wanted)
    return _taken(content, reached, roots, projects, python, wanted)


def _is_project(package: Entry, members: set[str]) -> bool:
    source = package.get("source", {})
    return package["name"] in members or any(source.get(kind) == "." for kind in _LOCAL)


def _labels(content: Content, project: Entry, wanted: LockSelection) -> Iterator[str]:
    """Yield how uv names what is on of a project, in markers that conflicts bring: ``extra-4-ours-cpu``."""
    name = project["name"]
    extras = _extras(project, wanted)
    groups = _groups(project, wanted)
    for asked, known, kind in (
        (wanted.extras, project.get("optional-dependencies", {}), "extra"),
        (wanted.groups or (), project.get("dev-dependencies", {}), "group"),
    ):
        for chosen in asked:
            if normalized(chosen) not in known and chosen not in known:
                told = ", ".join(known) or "none"
                raise unfit(content, f"{name} has no {kind} {chosen} in it", f"it has: {told}")
    yield from (f"extra-{len(name)}-{name}-{extra}" for extra in extras)
    yield from (f"group-{len(name)}-{name}-{group}" for group in groups)


def _extras(project: Entry, wanted: LockSelection) -> list[str]:
    known = project.get("optional-dependencies", {})
    return [extra for extra in known if wanted.all_extras or extra in map(normalized, wanted.extras)]


def _groups(project: Entry, wanted: LockSelection) -> list[str]:
    known = project.get("dev-dependencies", {})
    chosen = ("dev",) if wanted.groups is None else tuple(map(normalized, wanted.groups))
    return [group for group in known if group in chosen]


def _walk(
    starts: Iterable[Entry], packages: list[Entry], holds: Holds, wanted: LockSelection
) -> tuple[dict[int, tuple[Entry, set[str]]], tuple[str, ...]]:
    """Return the packages that are reached with the extras that are on, and what the projects ask for."""
    by_name: dict[str, list[Entry]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    reached: dict[int, tuple[Entry, set[str]]] = {}
    queue: deque[tuple[Entry, str]] = deque()
    roots: list[str] = []
    for project in starts:
        queue += [(project, extra) for extra in ("", *_extras(project, wanted))]
        sets = project.get("dev-dependencies", {})
        own = [need for group in _groups(project, wanted) for need in sets[group]]
        own += project.get("dependencies", ())
        own += [need for extra in _extras(project, wanted) for need in project["optional-dependencies"][extra]]
        roots += [need["name"] for need in own if holds(need.get("marker"))]
        for group in _groups(project, wanted):
            queue += _needed(sets[group], by_name, holds)
    while queue:
        package, extra = queue.popleft()
        _, extras = reached.setdefault(id(package), (package, set()))
        if extra in extras:
            continue
        extras.add(extra)
        needs = package.get("optional-dependencies", {}).get(extra, ()) if extra else package.get("dependencies", ())
        queue += _needed(needs, by_name, holds)
    return reached, tuple(dict.fromkeys(roots))


def _needed(needs: Iterable[Entry], by_name: Mapping[str, list[Entry]], holds: Holds) -> Iterator[tuple[Entry, str]]:
    for need in needs:
        if not holds(need.get("marker")):
            continue
        fit = [p for p in by_name.get(need["name"], ()) if _is_meant(need, p)]
        if len(fit) > 1:
            fit = [p for p in fit if any(map(holds, p.get("resolution-markers", ("",))))]
        if not fit:
            wanted = " ".join(filter(None, (need["name"], need.get("version"))))
            raise ValueError(f"it needs {wanted}, and has no such package")
        for extra in ("", *need.get("extra", ())):
            yield fit[0], extra


def _is_meant(need: Entry, package: Entry) -> bool:
    return all(key not in need or need[key] == package.get(key) for key in ("version", "source"))


def _taken(
    content: Content,
    reached: Mapping[int, tuple[Entry, set[str]]],
    roots: tuple[str, ...],
    projects: list[Entry],
    python: str,
    wanted: LockSelection,
) -> Taken:
    tags = tags_of(python, wanted)
    found: list[PypiPackage] = []
    left_out: list[LeftOut] = []
    for package, extras in reached.values():
        source = package.get("source", {})
        if any(package is project for project in projects):
            if "virtual" not in source:
                left_out.append(LeftOut(name=package["name"], why="nothing is built from source here", is_project=True))
            continue
        wheels = [(_file_name(wheel), wheel) for wheel in package.get("wheels", ())]
        fit = fitting(wheels, tags)
        if not fit:
            left_out.append(LeftOut(name=package["name"], why=_why(package, source)))
            continue
        name, wheel = fit[0]
        found.append(_package(content, package, wheel, name, extras))
    names = [package.name for package in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise unfit(
            content, f"what is chosen conflicts: it needs two versions of {', '.join(twice)}", "choose fewer extras"
        )
    return Taken(
        packages=tuple(sorted(found, key=lambda p: p.name)),
        left_out=tuple(left_out),
        python=host_python(python),
        indexes=tuple(dict.fromkeys(p.index for p in found if p.index)),
        roots=roots,
    )


def _why(package: Entry, source: Mapping[str, str]) -> str:
    kind = next((kind for kind in ("git", *_LOCAL, "path", "url") if kind in source), None)
    if kind:
        return f"it comes from {source[kind]}, which would have to be built"
    return "none of its wheels fits this machine" if package.get("wheels") else "it has no wheel, and would be built"


def _file_name(wheel: Entry) -> str:
    where = wheel.get("url") or wheel.get("path") or wheel["filename"]
    return file_name_of(str(where))


def _package(content: Content, package: Entry, wheel: Entry, name: str, extras: set[str]) -> PypiPackage:
    source = package.get("source", {})
    digest = str(wheel.get("hash", ""))
    if not digest.startswith("sha256:"):
        raise ValueError(f"{name} has no sha256")
    registry = source.get("registry")
    here = content.path.absolute().parent
    if "url" in wheel:
        url = wheel["url"]
    else:
        base = here / registry if registry and "://" not in registry else here
        url = (base / (wheel.get("path") or source.get("path") or name)).absolute().as_uri()
    return PypiPackage(
        name=package["name"],
        version=str(package["version"]),
        url=url,
        sha256=digest.removeprefix("sha256:"),
        size=wheel.get("size"),
        extras=tuple(sorted(extra for extra in extras if extra)),
        index=registry if registry and "://" in registry else None,
    )
