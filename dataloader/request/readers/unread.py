"""What a manifest says and nobody here heeds, told with its line: what may change the packages, and the rest."""

from __future__ import annotations

from dataloader.request.toml import Document, Table

_ABOUT = {"version", "authors", "description", "license", "license-file", "readme", "homepage", "repository"}
_ABOUT |= {"documentation", "requires-pixi", "preview", "$schema", "schema"}
"""Keys of pixi's that describe a project to people and to pixi."""

_MATTER = {"host-dependencies", "build-dependencies", "prerelease-mode", "index-strategy", "dependency-overrides"}
_MATTER |= {"solve-strategy", "conda-pypi-map", "channel-priority", "exclude-newer", "uv", "poetry"}
"""Keys that say which packages there should be: to leave them out is worth a warning."""

_REQUIREMENTS = {"dependencies", "pypi-dependencies"}
"""Tables of requirements: a key inside one of theirs may say which version is wanted (``versio``)."""

_OTHERS = {
    "pdm": {"dev-dependencies", "source", "resolution"},
    "hatch": {"envs"},
    "rye": {"dev-dependencies", "sources"},
    "flit": {"metadata"},
}
"""Tables of other tools that say what packages there should be."""


def unread(document: Document, pixi: Table, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the manifest says and nobody here heeds: what may change the packages, and the rest."""
    notes, rest = [], []
    for path in document.unread():
        read = {"pixi", "dataloader", "uv"} if pixi.path == ("tool", "pixi") else {"dataloader", "uv", "poetry"}
        if len(path) == 2 and path[1] in _OTHERS and path[0] == "tool":
            held = set(document.data["tool"][path[1]]) & _OTHERS[path[1]]
            notes += [f"[tool.{path[1]}.{key}] ({document.where((*path, key))}) is not read" for key in sorted(held)]
            continue
        of_tool = path[0] == "tool" and (len(path) < 2 or path[1] not in read)
        of_python = kind == "pyproject.toml" and path[0] not in {"tool", "dependency-groups"}
        about = path[-1] in _ABOUT and path[-2:-1] in {(), ("workspace",), ("project",)}
        if of_tool or of_python or about:
            continue
        inside = path[len(pixi.path) :] if path[: len(pixi.path)] == pixi.path else path
        where = f"[{'.'.join(inside)}] ({document.where(path)})"
        if _MATTER & set(inside) or _REQUIREMENTS & set(inside[:-1]):
            notes.append(f"{where} is not heeded")
        else:
            rest.append(where)
    return tuple(notes), tuple(rest)
