"""Where every library of one file comes from, and why: the answer to ``verify --tree FILE``."""

from __future__ import annotations

from collections.abc import Iterator

from dataloader.base.values import dataclass
from dataloader.loader.model import Failure, Loaded
from dataloader.loader.process import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """One library below its user."""

    name: str
    """The name that was asked for."""
    path: str | None
    """Where it was found; ``None`` when it was not."""
    why: str
    """``RUNPATH``, ``RPATH of X``, ``ld.so.cache``, ``already loaded``, ``not found``, ..."""
    children: tuple[TreeNode, ...] = ()


def build_tree(process: Process, path: str) -> tuple[TreeNode, tuple[Failure, ...]]:
    """The tree of ``path`` as this process would load it, each library with its own needs where it first appears.

    The second value are the reasons for which it does not load.
    """
    before = set(process.by_name)
    result = process.open(path, keep=False)
    if result.root is None:
        return TreeNode(name=path, path=None, why="cannot be opened"), tuple(result.failures)
    seen: set[int] = set()
    root = _node(path, result.root, "opened", seen, before)
    return root, tuple(result.failures)


def _node(name: str, loaded: Loaded, why: str, seen: set[int], before: set[str]) -> TreeNode:
    if id(loaded) in seen:
        return TreeNode(name=name, path=loaded.path, why="above")
    seen.add(id(loaded))
    facts = loaded.facts
    children: list[TreeNode] = []
    found = {alias: needed for needed in loaded.needed for alias in _names(needed)}
    for needed in facts.needed if facts else ():
        dependency = found.get(needed)
        if dependency is None:
            children.append(TreeNode(name=needed, path=None, why="not found"))
        elif needed in before:
            children.append(TreeNode(name=needed, path=dependency.path, why="already loaded by Python"))
        else:
            reason = (
                dependency.why
                if dependency.loader is loaded
                else f"{dependency.why}, asked for by {_brought_by(dependency)}"
            )
            children.append(_node(needed, dependency, reason, seen, before))
    return TreeNode(name=name, path=loaded.path, why=why, children=tuple(children))


def _names(loaded: Loaded) -> set[str]:
    soname = loaded.facts.soname if loaded.facts else None
    return loaded.names | ({soname} if soname else set())


def _brought_by(loaded: Loaded) -> str:
    return loaded.loader.path.rpartition("/")[2] if loaded.loader else "the program"


def format_tree(node: TreeNode, prefix: str = "") -> Iterator[str]:
    """Lines of text; paths below ``prefix`` are shown relative to it."""
    yield from _lines(node, "", "", prefix.rstrip("/") + "/" if prefix else "")


def _lines(node: TreeNode, lead: str, below: str, prefix: str) -> Iterator[str]:
    where = (node.path or "").removeprefix(prefix) if prefix else node.path or ""
    name = node.name.removeprefix(prefix) if prefix else node.name
    shown = f" => {where}" if where and where != name else ""
    yield f"{lead}{name}{shown} [{node.why}]"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), prefix)
