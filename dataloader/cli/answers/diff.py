"""``dataloader diff``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, Operand

if TYPE_CHECKING:
    from dataloader.lockfile.diff import Change
    from dataloader.lockfile.model import Lockfile

_SIGNS = {"added": "+", "removed": "-", "upgraded": "^", "downgraded": "v", "rebuilt": "~"}


@command(example="dataloader diff HEAD~1", takes=LOCK)
def diff(
    options: CommonOptions,
    old: Annotated[
        str, Operand("OLD", "A lockfile, or a revision of git that has the project's. HEAD when not said.")
    ] = "HEAD",
    new: Annotated[str | None, Operand("NEW", "A lockfile, or a revision of git; else the project's own lock.")] = None,
) -> int:
    """Show what differs between two locks."""
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import lock_of
    from dataloader.cli.telling.render import table
    from dataloader.lockfile.diff import build_of, changes_between
    from dataloader.lockfile.yaml import read_lock
    from dataloader.resolve.words.versions import is_newer

    with open_session(options) as session:
        path = lock_of(session)
        if new is not None and Path(new).exists():
            path, new = Path(new), None
        before, after = _said(old, path), read_lock(path) if new is None else _said(new, path)
        changes = changes_between(before, after, is_newer)
        axes = {axis: (before.stack.get(axis), after.stack.get(axis)) for axis in {**before.stack, **after.stack}}
        stack = {axis: pair for axis, pair in sorted(axes.items()) if pair[0] != pair[1]}
        document = {
            "status": "ok",
            "changes": [_change_document(change) for change in changes],
            "stack": {axis: {"old": pair[0], "new": pair[1]} for axis, pair in stack.items()},
        }
        rows = [("~", axis, pair[0] or "", pair[1] or "", "stack") for axis, pair in stack.items()]
        for each in changes:
            builds = " -> ".join(dict.fromkeys(filter(None, (build_of(each.old), build_of(each.new)))))
            was, now = (package.version if package else "" for package in (each.old, each.new))
            rows.append((_SIGNS[each.kind], each.name, was, now, builds))
        text = table(rows, ("", "package", "old", "new", "build")) if rows else "nothing differs\n"
        session.write(document, text)
    return 0


def _change_document(change: Change) -> dict[str, object]:
    from dataloader.cli.telling.documents import package_document

    return {
        "name": change.name,
        "kind": change.kind,
        "old": package_document(change.old) if change.old else None,
        "new": package_document(change.new) if change.new else None,
    }


def _said(said: str, beside: Path) -> Lockfile:
    """The lock of a file, or of a revision of the repository that ``beside`` lies in."""
    from dataloader.lockfile.yaml import parse_lock, read_lock

    if Path(said).exists():
        return read_lock(Path(said))
    folder = beside.absolute().parent
    command_line = ["git", "-C", str(folder), "show", f"{said}:./{beside.name}"]
    try:
        done = subprocess.run(command_line, capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError(f"there is no file {said}, and no git to ask for a revision of that name") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise UsageError(
            f"{said} is no lockfile, and no revision of git that has {beside.name}",
            causes=(why,),
            suggestions=("name two lockfiles: `dataloader diff OLD NEW`",),
        )
    return parse_lock(done.stdout, Path(f"{said}:{beside.name}"))
