"""``dataloader run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import PREFIX, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.line.rooted import Name, check_root


@command(example="dataloader run -- python train.py", takes=(*PREFIX, "lockfile", "Sources", "yes"), passes_rest=True)
def run(
    options: CommonOptions,
    words: Annotated[
        list[str] | None, Operand("CMD", "Command, task or script, and its arguments; else the tasks are listed.")
    ] = None,
    frozen: Annotated[
        bool,
        own_option("--frozen", about="Bring the prefix in step with the lock as it is, whatever the manifest says."),
    ] = False,
    locked: Annotated[bool, own_option("--locked", about="Fail when the lock no longer fits the manifest.")] = False,
    no_sync: Annotated[bool, own_option("--no-sync", about="Take the prefix as it is.")] = False,
    root: Annotated[
        Path | None, own_option("--root", metavar="DIR", about="Shared volume: run in a generation there, as it is.")
    ] = None,
    name: Name = None,
) -> int:
    """Run a command in the environment, activated; or a task of the manifest, or a script with its own requirements.

    In a project the environment is brought in step with the manifest first, as sync does.
    """
    from dataloader.cli.running import program
    from dataloader.cli.running.instep import Way

    if words and words[0].startswith("-") and words[0] != "--":
        raise UsageError(
            f"No such option: {words[0]}",
            suggestions=(
                "`dataloader run --help` shows what is possible",
                "a command that is called so stands behind --: dataloader run -- CMD",
            ),
        )
    if "json" in options.typed and words not in (None, [], ["--"]):
        raise UsageError(
            "--json can have no effect: what is said is said by the command that runs",
            suggestions=("leave it out, or put it behind the command: dataloader run -- CMD --json",),
        )
    if root is not None or name is not None:
        check_root(root, name, options, "run")
        assert root is not None
        assert name is not None
        options = replace(options, prefix=root / name, typed=options.typed | {"prefix"})
        no_sync = True
    ways = {"--frozen": frozen, "--locked": locked, "--no-sync": no_sync}
    said = [name for name, is_on in ways.items() if is_on]
    if len(said) > 1:
        raise UsageError(f"{' and '.join(said)} exclude each other", suggestions=("leave all but one out",))
    return program.run(options, tuple(words or ()), Way(frozen=frozen, locked=locked, no_sync=no_sync))
