"""The command line of a process: ``main()`` reads it and runs the command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from dataloader.base.errors import UsageError
from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.telling.console import ErrorHandler, Style


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises, and says every failure itself."""
    handler = ErrorHandler(Style.before_parsing(arguments))
    with handler:
        handler.code = _run(arguments, os.environ)
    return handler.code


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    if "_DATALOADER_COMPLETE" in environ:  # a TAB, of what `completion` printed
        from dataloader.cli.shells.completion import complete

        return complete(list(arguments))
    if arguments and arguments[0] in COMMANDS:
        from dataloader.cli.line.words import usual_values

        _check_working_directory()
        made = load(arguments[0])
        usual = usual_values(made, arguments[1:], environ)
        if usual is not None:
            return made.run(*usual)
    from dataloader.cli.line.grammar import run

    return run(arguments)


def _check_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109 -- the same as Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working directory cannot be used: {error.strerror}", suggestions=("change to one that is there",)
        ) from error
