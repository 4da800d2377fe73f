"""The command line: commands by name, each module imported when its command is used; ``main()`` for the process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from dataloader.cli.console import ErrorHandler, Style

if TYPE_CHECKING:
    from dataloader.cli.command import Command

COMMANDS = {
    "init": "init:init",
    "install": "install:install",
    "lock": "lock:lock",
    "sync": "sync:sync",
    "verify": "verify:verify",
    "run": "run:run",
    "shell-hook": "shell_hook:shell_hook",
    "list": "list:list_packages",
    "tree": "tree:tree",
    "explain": "explain:explain",
    "plan": "plan:plan",
    "generations": "volumes:generations",
    "rollback": "volumes:rollback",
    "prune": "volumes:prune",
    "cache": "cache:cache",
    "info": "info:info",
}
"""Command -> module of this package and function, in the order of the help."""


def load(name: str) -> Command:
    """Import a command of COMMANDS."""
    module, function = COMMANDS[name].split(":")
    made: Command = getattr(import_module(f"dataloader.cli.{module}"), function)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises, and says every failure itself."""
    handler = ErrorHandler(Style.before_parsing(arguments))
    with handler:
        handler.code = _run(arguments, os.environ)
    return handler.code


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        from dataloader.cli.words import usual_values

        made = load(arguments[0])
        values = usual_values(made, arguments[1:], environ)
        if values is not None:
            return made.run(values)
    from dataloader.cli.grammar import run

    return run(arguments)
