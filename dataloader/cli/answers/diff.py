"""``dataloader diff``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, Operand
from dataloader.cli.telling.render import table
from dataloader.lockfile.parts import meant, meant_environment, of_environment, part_for, place_of

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.diff import Change
    from dataloader.lockfile.model import Lockfile

_SIGNS = {"added": "+", "removed": "-", "upgraded": "^", "downgraded": "v", "rebuilt": "~"}


@command(example="dataloader diff HEAD~1", takes=(*LOCK, "platform"))
def diff(
    options: CommonOptions,
    old: Annotated[
        str | None, Operand("OLD", "A lockfile, or a revision of git that has the project's. HEAD when not said.")
    ] = None,
    new: Annotated[str | None, Operand("NEW", "A lockfile, or a revision of git; else the project's own lock.")] = None,
) -> int:
    """Show what differs between two locks."""
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import lock_of
    from dataloader.lockfile.yaml import read_locks

    with open_session(options) as session:
        path = lock_of(session)
        if new is not None and Path(new).exists():
            path, new = Path(new), None
        before = _committed(path) if old is None else _said(old, path)
        after = read_locks(path) if new is None else _said(new, path)
        pairs = list(_pairs(session, before, after, path))
        environments = {other.environment for _, other in pairs}
        several = len(pairs) > 1
        documents: dict[str, dict[str, dict[str, object]]] = {}
        rows: list[tuple[str, ...]] = []
        for one, other in pairs:
            own, found = _differences(one, other)
            documents.setdefault(other.environment, {})[other.platform] = own
            where = other.platform if len(environments) == 1 else f"{other.environment} on {other.platform}"
            rows += [(*row, where) if several else row for row in found]
        first = documents[pairs[0][1].environment]
        document: dict[str, object] = {"status": "ok", **first[pairs[0][1].platform]}
        if len(environments) > 1:
            document["environments"] = documents
        elif several:
            document["platforms"] = first
        head = (
            "",
            "package",
            "old",
            "new",
            "build",
            *(["platform" if len(environments) == 1 else "of"] if several else []),
        )
        session.write(document, table(rows, head) if rows else "nothing differs\n")
    return 0


def _pairs(
    session: Session, before: Sequence[Lockfile], after: Sequence[Lockfile], path: Path
) -> Iterator[tuple[Lockfile, Lockfile]]:
    """Yield the locks to compare, place by place; one that a file lacks is compared as an empty one."""
    from dataloader.cli.stages.use import environment_meant

    platform, named = session.options.platform, environment_meant(session, path)
    if named is not None:
        both = (*before, *after)
        meant_environment(both, named, path)  # one of the two has it
        before, after = of_environment(before, named), of_environment(after, named)
    if platform is not None:
        meant((*before, *after), platform, path, named)
    elif len(before) == len(after) == 1:  # of two platforms, say
        yield before[0], after[0]
        return
    for _, environment, subdir in sorted({place_of(part) for part in (*before, *after)}):
        if platform in (None, subdir):
            old, new = part_for(before, subdir, environment), part_for(after, subdir, environment)
            some = old or new
            assert some is not None
            nothing = replace(some, packages=(), stack={})
            yield old or nothing, new or nothing


def _differences(before: Lockfile, after: Lockfile) -> tuple[dict[str, object], list[tuple[str, ...]]]:
    """Return what ``--json`` says of what differs for one platform, and its lines."""
    from dataloader.lockfile.diff import build_of, changes_between
    from dataloader.resolve.words.versions import is_newer

    changes = changes_between(before, after, is_newer)
    axes = {axis: (before.stack.get(axis), after.stack.get(axis)) for axis in {**before.stack, **after.stack}}
    stack = {axis: pair for axis, pair in sorted(axes.items()) if pair[0] != pair[1]}
    document: dict[str, object] = {
        "changes": [_change_document(change) for change in changes],
        "stack": {axis: {"old": pair[0], "new": pair[1]} for axis, pair in stack.items()},
    }
    rows: list[tuple[str, ...]] = [("~", axis, pair[0] or "", pair[1] or "", "stack") for axis, pair in stack.items()]
    for difference in changes:
        builds = " -> ".join(dict.fromkeys(filter(None, (build_of(difference.old), build_of(difference.new)))))
        was, now = (package.version if package else "" for package in (difference.old, difference.new))
        rows.append((_SIGNS[difference.kind], difference.name, was, now, builds))
    return document, rows


def _change_document(change: Change) -> dict[str, object]:
    from dataloader.cli.telling.documents import package_document

    return {
        "name": change.name,
        "kind": change.kind,
        "old": package_document(change.old) if change.old else None,
        "new": package_document(change.new) if change.new else None,
    }


def _said(said: str, beside: Path) -> tuple[Lockfile, ...]:
    """The locks of a file, or of a revision of the repository that ``beside`` lies in."""
    from dataloader.lockfile.yaml import read_locks

    if Path(said).exists():
        return read_locks(Path(said))
    found = _shown(said, beside)
    if isinstance(found, str):
        raise UsageError(
            f"{said} is no lockfile, and no revision of git that has {beside.name}",
            causes=(found,),
            suggestions=("name two lockfiles: `dataloader diff OLD NEW`",),
        )
    return found


def _committed(path: Path) -> tuple[Lockfile, ...]:
    """The locks of the file as they were committed last, which is what one compares with who names nothing."""
    found = _shown("HEAD", path)
    if isinstance(found, str):
        raise UsageError(
            f"git has no {path.name} of before to compare with",
            causes=(found,),
            suggestions=("name two lockfiles: `dataloader diff OLD NEW`",),
        )
    return found


def _shown(revision: str, beside: Path) -> tuple[Lockfile, ...] | str:
    """The locks of a revision of git, or what git says instead."""
    from dataloader.lockfile.yaml import parse_locks

    command_line = ["git", "-C", str(beside.absolute().parent), "show", f"{revision}:./{beside.name}"]
    try:
        done = subprocess.run(command_line, capture_output=True, check=False)
    except FileNotFoundError:
        return "there is no git on this machine"
    if done.returncode:
        return done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
    return parse_locks(done.stdout, Path(f"{revision}:{beside.name}"))
