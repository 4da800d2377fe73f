"""The commands that explain: plan, explain, tree."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from dataloader.lockfile.graph import Edge
    from dataloader.lockfile.model import Lockfile, Package


def plan(options: CommonOptions, flags: StackFlags) -> int:
    """Choose a stack from the matrix alone, and say why."""
    from dataloader.compat.matrix import matrix_with
    from dataloader.locking.stacks import stack_request, stacks
    from dataloader.locking.targets import make_targets
    from dataloader.request.python import asked_python
    from dataloader.request.request import make_request
    from dataloader.stack.document import plan_document

    with open_session(options) as session:
        request = make_request(options, (), flags, environ=os.environ, here=Path.cwd())
        matrix = matrix_with(request.matrix)
        targets = make_targets(request, matrix, os.environ, for_stack=True)
        worlds = frozenset({"pypi"} if request.conda_mode == "never" else {"conda", "pypi"})
        channels = request.channels if request.channels_said and "conda" in worlds else ()
        asked = stack_request(matrix, request, worlds, channels)
        asked = replace(asked, python=asked_python(request.stack, request.conda))
        stack = next(stacks(matrix, asked, targets))
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        for reason in stack.reasons:
            reasons[reason.axis].append(reason.text)
        rows = [
            (axis if position == 0 else "", value if position == 0 else "", why)
            for axis, value in stack.axes.items()
            for position, why in enumerate(reasons[axis] or [""])
        ]
        warnings = "".join(f"warning: {text}\n" for text in stack.warnings)
        doubts = "".join(f"note: {doubt.text}\n" for doubt in stack.doubts)
        session.write(plan_document(stack), table(rows, ("axis", "value", "why")) + warnings + doubts, fold=True)
    return 0


def tree(options: CommonOptions, names: tuple[str, ...], *, invert: bool = False) -> int:
    """Show what brings in what, from the lock; inverted, what each package is needed by."""
    from dataloader.cli.telling.documents import package_document
    from dataloader.lockfile.graph import edges_of

    with open_session(options) as session:
        lock = _lock(session)
        packages = {p.name: p for p in lock.packages}
        edges = edges_of(lock)
        if invert:
            edges = tuple(replace(edge, source=edge.target, target=edge.source) for edge in edges)
        needed = {edge.target for edge in edges}
        asked = [name.removeprefix("conda:") for name in lock.requested]
        first = set() if invert else {name for name in asked if name in packages}
        roots = [_as_locked(name, packages) for name in names] or sorted(first | (packages.keys() - needed))
        for name in roots:
            _known(name, packages)
        below: defaultdict[str, list[Edge]] = defaultdict(list)
        for edge in edges:
            below[edge.source].append(edge)
        document = {
            "status": "ok",
            "roots": roots,
            "packages": [package_document(p) for p in lock.packages],
            "edges": [{"source": e.source, "target": e.target, "bound": e.bound} for e in edges],
        }
        lines: list[str] = []
        seen: set[str] = set()
        for root in roots:
            _draw(root, "", packages, below, seen, lines)
        session.write(document, "\n".join(lines or ["nothing is locked"]) + "\n")
    return 0


def _as_locked(name: str, packages: dict[str, Package]) -> str:
    """Return a name as the lock spells it."""
    from dataloader.base.names import normalized

    return name if name in packages else normalized(name)


def _draw(
    name: str,
    indent: str,
    packages: dict[str, Package],
    below: defaultdict[str, list[Edge]],
    seen: set[str],
    lines: list[str],
) -> None:
    again = name in seen
    marker = " (*)" if again and below[name] else ""
    lines.append(f"{indent}{name} {packages[name].version}{marker}")
    if again:
        return
    seen.add(name)
    for target in dict.fromkeys(edge.target for edge in below[name]):
        _draw(target, f"{indent}  ", packages, below, seen, lines)


def explain(options: CommonOptions, name: str) -> int:
    """Say why a package is in the lock, in this version and from this world, and what bounds it."""
    from dataloader.cli.telling.documents import package_document
    from dataloader.compat.matrix import matrix_with
    from dataloader.lockfile.graph import edges_of
    from dataloader.request.places import matrix_path
    from dataloader.trial.memory import Learned

    with open_session(options) as session:
        lock = _lock(session)
        packages = {p.name: p for p in lock.packages}
        name = _as_locked(name, packages)
        package = _known(name, packages)
        matrix = matrix_with(matrix_path(session.options, session.here))
        found = Learned(session.cache).contradictions()
        facts = {rule.id: rule for rule in (contradiction.rule() for contradiction in found)}
        rows = [
            (identifier, matrix.row(identifier) or facts.get(identifier)) for identifier in lock.rules.get(name, ())
        ]
        rules = [
            {
                "id": identifier,
                "why": getattr(row, "why", "") or getattr(row, "note", ""),
                "source": getattr(row, "source", ""),
            }
            for identifier, row in rows
        ]
        others = [
            contradiction.why
            for contradiction in found
            if contradiction.artefact.name == name and contradiction.artefact.version != package.version
        ]
        requirers = [edge for edge in edges_of(lock) if edge.target == name]
        asked = name in lock.requested or f"conda:{name}" in lock.requested
        document = {
            "status": "ok",
            "package": package_document(package),
            "requested": asked,
            "required_by": [
                {"name": e.source, "version": packages[e.source].version, "bound": e.bound} for e in requirers
            ],
            "rules": rules,
            "left_out": others,
            "stack": dict(lock.stack),
        }
        text = [f"{name} {package.version} ({_place(package)})"]
        text += ["  asked for by name"] if asked else []
        text += [f"  {e.source} {packages[e.source].version} needs {name} {e.bound or '(any)'}" for e in requirers]
        text += [f"  rule {rule['id']}: {rule['why']} [{rule['source']}]" for rule in rules]
        text += [f"  left out: {why}" for why in others]
        session.write(document, "\n".join(text) + "\n", fold=True)
    return 0


def _place(package: Package) -> str:
    from dataloader.cli.telling.documents import package_document
    from dataloader.lockfile.model import PypiPackage

    document = package_document(package)
    if document["kind"] == "conda":
        return f"conda build {document['build']} from {document['channel']}"
    if isinstance(package, PypiPackage) and package.build:
        return f"editable, from {package.origin.folder()}" if package.origin.editable else f"built from {package.url}"
    return f"wheel from {document['index'] or document['url']}"


def _lock(session: Session) -> Lockfile:
    from dataloader.cli.stages.use import part_of

    return part_of(session)


def _known(name: str, packages: dict[str, Package]) -> Package:
    import difflib

    if name in packages:
        return packages[name]
    near = difflib.get_close_matches(name, packages, n=3)
    raise UsageError(
        f"the lock holds no {name}",
        code="package-not-locked",
        suggestions=tuple(f"did you mean {other}?" for other in near) or ("`dataloader tree` shows what it holds",),
    )
