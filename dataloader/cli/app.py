"""The typer app: commands by name, each module imported when its command is used; ``main()`` for the process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dataloader import __version__
from dataloader.cli.console import ErrorHandler, Style
from dataloader.errors import ExitCode, UsageError

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

# typer carries its own click or uses the installed one; either way this is what both raise for bad arguments.
_PARSING_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


class LazyGroup(TyperGroup):
    """The commands of COMMANDS, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- typer's signature
        """In the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 -- typer's signature
        """The command, or ``None``."""
        if cmd_name not in COMMANDS:
            return None
        from dataloader.cli.command import build

        module, function = COMMANDS[cmd_name].split(":")
        return build(cmd_name, getattr(import_module(f"dataloader.cli.{module}"), function))


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: dataloader install --cuda=11.8 --torch=2.1.0",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"dataloader {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 -- its callback acts
        bool, typer.Option("--version", callback=_show_version, is_eager=True, metavar="", help="Show the version.")
    ] = False,
) -> None:
    """Resolve pip and conda packages jointly against CUDA, install them, and prove that they load.

    Every option has an environment variable: --index-url is DATALOADER_INDEX_URL.
    """
    if context.invoked_subcommand is None:
        with contextlib.redirect_stdout(sys.stderr):
            typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises, and says every failure itself."""
    handler = ErrorHandler(Style.before_parsing(arguments))
    with handler:
        try:
            code = app(args=list(arguments), prog_name="dataloader", standalone_mode=False)
        except _PARSING_ERROR as error:
            raise _usage(error) from error
        handler.code = code if isinstance(code, int) else ExitCode.OK
    return handler.code


def _usage(error: Any) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "dataloader"
    suggestions: tuple[str, ...] = (f"`{path} --help` shows what is possible.",)
    message = error.format_message()
    if "No such command" in message and context:
        import difflib

        near = difflib.get_close_matches(message.split("'")[1], COMMANDS, n=1)
        suggestions = (*(f"`dataloader {name}`" for name in near), *suggestions)
    return UsageError(message, suggestions=suggestions)
