"""``dataloader generations``, ``rollback`` and ``prune``: the environments below a root."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from dataloader.cli.line.advice import exclusive
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, own_option
from dataloader.cli.telling.render import human_size, table
from dataloader.process.running import to_the_end

Root = Annotated[Path, own_option("--root", metavar="DIR", about="Shared volume that holds the generations.")]
Name = Annotated[str, own_option("--name", metavar="NAME", about="Name of the environment below --root.")]


@command(example="dataloader generations --root /mnt/envs", takes=("Output",))
def generations(
    options: CommonOptions,
    root: Root,
    name: Annotated[
        str | None, own_option("--name", metavar="NAME", about="One environment below --root; else all of them.")
    ] = None,
) -> int:
    """List the generations of all environments below a root: which are current, when they were made, what differs."""
    from dataloader.cli.stages.session import open_session
    from dataloader.install.switch.history import Made, made
    from dataloader.install.switch.line import names

    with open_session(options) as session:
        found = [
            generation for environment in ([name] if name else names(root)) for generation in made(root, environment)
        ]
        rows = [
            (e.name, str(e.number), e.standing, e.when.strftime("%Y-%m-%d %H:%M"), human_size(e.size), e.differs.text)
            for e in found
        ]

        def document(generation: Made) -> dict[str, object]:
            return {
                "name": generation.name,
                "number": generation.number,
                "path": str(generation.path),
                "current": generation.is_current,
                "held": generation.is_held,
                "in_use": generation.in_use,
                "made": generation.when.isoformat(timespec="seconds"),
                "size": generation.size,
                "packages": generation.packages,
                "differs": generation.differs.document(),
            }

        heads = ("name", "number", "", "made", "size", "differs from the one before")
        text = table(rows, heads) if rows else "there are no generations\n"
        session.write({"status": "ok", "generations": [document(generation) for generation in found]}, text)
    return 0


@command(example="dataloader rollback --root /mnt/envs --name train", takes=("Output",))
def rollback(
    options: CommonOptions,
    root: Root,
    name: Name,
    number: Annotated[
        int | None, own_option("--to", metavar="NUMBER", about="The generation to go to; else the one before.")
    ] = None,
    undo: Annotated[
        bool, own_option("--undo", about="Go to where rollbacks began, and let syncs switch the environment again.")
    ] = False,
) -> int:
    """Lead an environment back to an earlier generation, and hold it there until that is undone."""
    from dataloader.cli.stages.session import open_session
    from dataloader.install.switch.generations import rollback as roll_back

    if undo and number is not None:
        raise exclusive("--to", "--undo")
    with open_session(options) as session:
        now = to_the_end(roll_back(root, name, session.reporter, number=number, undo=undo))
        line = f"`dataloader rollback --root {shlex.quote(str(root))} --name {name} --undo`"
        held = f"; syncs leave it there until {line}" if now.is_held else ""
        session.write(
            {"status": "ok", "number": now.number, "path": str(now.path), "held": now.is_held},
            f"{root / name} is generation {now.number} now{held}\n",
            fold=True,
        )
    return 0


@command(example="dataloader prune --root /mnt/envs --name train --keep=2", takes=("dry_run", "Output"))
def prune(
    options: CommonOptions,
    root: Root,
    name: Name,
    keep: Annotated[
        int, own_option("--keep", metavar="N", about="How many earlier generations stay besides what is in use.")
    ] = 2,
    keep_days: Annotated[
        float,
        own_option(
            "--keep-days",
            metavar="DAYS",
            about="Keep what was current within this time too: at least as long as the longest job of any machine.",
        ),
    ] = 0.0,
) -> int:
    """Remove generations that are neither current nor in use."""
    from dataloader.cli.stages.session import open_session
    from dataloader.install.switch.generations import prune as remove_old

    with open_session(options) as session:
        work = remove_old(
            root, name, session.reporter, keep=keep, keep_seconds=keep_days * 86400, dry_run=options.dry_run
        )
        removed = to_the_end(work)
        session.write(
            {"status": "ok", "removed": [str(path) for path in removed], "dry_run": options.dry_run},
            "".join(f"- {path}{' would be removed' if options.dry_run else ''}\n" for path in removed)
            or "there is nothing to remove\n",
        )
    return 0
