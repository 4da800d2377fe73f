"""``dataloader generations``, ``rollback`` and ``prune``: the environments below a root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.cli.command import command
from dataloader.cli.options import CommonOptions, own_option
from dataloader.process.running import to_the_end

Root = Annotated[Path, own_option("--root", metavar="DIR", about="Shared volume that holds the generations.")]
Name = Annotated[str, own_option("--name", metavar="NAME", about="Name of the environment below --root.")]


@command(example="dataloader generations --root /mnt/envs --name train", takes=("Output",))
def generations(options: CommonOptions, root: Root, name: Name) -> int:
    """List the generations of an environment, and which of them is current or in use."""
    from dataloader.cli.render import table
    from dataloader.cli.session import session
    from dataloader.install.switch.generations import generations as list_generations

    with session(options) as one:
        found = list_generations(root, name)
        rows = [
            (str(g.number), "current" if g.is_current else "in use" if g.in_use else "", str(g.path)) for g in found
        ]
        document = {
            "status": "ok",
            "generations": [
                {"number": g.number, "path": str(g.path), "current": g.is_current, "in_use": g.in_use} for g in found
            ],
        }
        one.write(document, table(rows, ("number", "", "path")) if rows else "there are no generations\n")
    return 0


@command(example="dataloader rollback --root /mnt/envs --name train", takes=("Output",))
def rollback(
    options: CommonOptions,
    root: Root,
    name: Name,
    number: Annotated[
        int | None, own_option("--to", metavar="NUMBER", about="The generation to go to; else the one before.")
    ] = None,
) -> int:
    """Lead an environment back to an earlier generation."""
    from dataloader.cli.session import session
    from dataloader.install.switch.generations import rollback as roll_back

    with session(options) as one:
        now = to_the_end(roll_back(root, name, one.reporter, number=number))
        one.write(
            {"status": "ok", "number": now.number, "path": str(now.path)},
            f"{root / name} is generation {now.number} now\n",
        )
    return 0


@command(example="dataloader prune --root /mnt/envs --name train --keep=2", takes=("Output",))
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
    from dataloader.cli.session import session
    from dataloader.install.switch.generations import prune as remove_old

    with session(options) as one:
        work = remove_old(root, name, one.reporter, keep=max(keep, 0), keep_seconds=keep_days * 86400)
        removed = to_the_end(work)
        one.write(
            {"status": "ok", "removed": [str(path) for path in removed]},
            "".join(f"- {path}\n" for path in removed) or "there is nothing to remove\n",
        )
    return 0
