"""The whole command line as typer has it: the help, every way of saying something, and what is wrong with the rest."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dataloader import __version__
from dataloader.base.errors import ExitCode, UsageError
from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.line.command import REQUIRED, Command, Parameter
from dataloader.cli.line.options import Operand

CONTEXT = {"help_option_names": ["-h", "--help"]}

# typer carries its own click or uses the installed one; either way this is what both raise for bad arguments.
_PARSING_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


_TYPED = "COMMANDLINE"
"""The name of click's source of a value that stands on the command line."""


class LazyGroup(TyperGroup):
    """The commands of COMMANDS, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- typer's signature
        """In the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 -- typer's signature
        """The command, or ``None``."""
        return build(cmd_name, load(cmd_name)) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 -- typer's signature
        """Write the first sentence of each command whole; none is built for that, which takes 3 ms each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, load(name).about.strip().splitlines()[0]) for name in COMMANDS])


class DeclaredCommand(TyperCommand):
    """A command of ours: its stack options may stand alone, and its help has a section for each group of options."""

    made: Command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Complete bare stack options before they are parsed: ``--torch`` is ``--torch=``."""
        completed = self.made.completed(args)
        left = super().parse_args(ctx, list(completed))
        if self.made.passes_rest:
            _keep_the_dashes(ctx, self.made, completed)
        return left

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what can be said to it, the command's own options first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_operand = parameter.param_type_name == "argument"
                group = "Arguments" if is_operand else getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(group, []).append(record)
        for group, records in sections.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


def _keep_the_dashes(ctx: Any, made: Command, args: list[str]) -> None:
    """Put the ``--`` back before what a command passes on: typer drops it, and it says what kind of thing follows."""
    for operand in (p.name for p in made.parameters if not p.is_option):
        rest = list(ctx.params.get(operand) or ())
        before = args[: len(args) - len(rest)]
        if rest and before[-1:] == ["--"] and args[len(before) :] == rest:
            ctx.params[operand] = ["--", *rest]


def build(name: str, made: Command) -> Any:
    """The typer command, as a group's ``get_command`` returns it."""
    return typer.main.get_command(alone(name, made))


def alone(name: str, made: Command) -> typer.Typer:
    """A program of one command."""
    # Plain help: typer's other kind imports rich.markdown and rich.traceback: 250 ms where all the rest takes 120.
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings: dict[str, Any] = dict(CONTEXT)
    if made.passes_rest:
        settings |= {"ignore_unknown_options": True, "allow_interspersed_args": False}
    kind = type("_Command", (DeclaredCommand,), {"made": made})
    app.command(name, cls=kind, epilog=f"Example: {made.example}", context_settings=settings)(as_function(made))
    return app


def as_function(made: Command) -> Any:
    """A function with the signature that typer reads a command from."""

    def run(context: typer.Context, **values: Any) -> int:
        sources = {name: context.get_parameter_source(name) for name in values}
        return made.run(values, frozenset(name for name, source in sources.items() if source and source.name == _TYPED))

    kinds = inspect.Parameter
    first = kinds("context", kinds.KEYWORD_ONLY, annotation=typer.Context)
    run.__name__, run.__doc__, run.__annotations__ = made.name, made.about, {}
    run.__signature__ = inspect.Signature([first, *(_typed(p, whole=made.passes_rest) for p in made.parameters)])  # type: ignore[attr-defined]
    return run


def _typed(parameter: Parameter, *, whole: bool) -> inspect.Parameter:
    name, said, kind, many, default = parameter
    annotation: Any = list[kind] if many else kind  # type: ignore[valid-type]
    if default is None:
        annotation = annotation | None
    parser = None if whole and not parameter.is_option else _parser(parameter, kind)  # what is run gets what was typed
    if isinstance(said, Operand):
        info = typer.Argument(metavar=said.metavar, help=said.about, show_default=False, parser=parser)
    else:
        info = typer.Option(
            *said.names,
            help=said.about,
            metavar=said.metavar or ("" if parameter.is_switch else None),
            envvar=said.envvar,
            count=said.counted,
            rich_help_panel=said.group,
            show_default=False,
            show_envvar=False,
            parser=parser,
        )
    kinds = inspect.Parameter
    return kinds(
        name,
        kinds.KEYWORD_ONLY,
        default=kinds.empty if default is REQUIRED else default,
        annotation=Annotated[annotation, info],
    )


def _parser(parameter: Parameter, kind: type) -> Any:
    """What reads one value, where typer would take too much."""
    if kind is Path:
        return _path
    if kind in (int, float) and not parameter.is_switch:
        return partial(_number, kind)
    return _text if kind is str and not parameter.may_be_empty and parameter.default != "" else None


def _number(kind: type, text: str) -> Any:
    """Read a number of things, seconds or days; none of ours may be below 0."""
    try:
        number = kind(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise typer.BadParameter(f"{text!r} is no {'whole ' if kind is int else ''}number from 0 on")
    return number


def _text(text: str) -> str:
    """Read a text. An empty one, as of an unset variable, is never meant."""
    if not text:
        raise typer.BadParameter("an empty text says nothing")
    return text


def _path(text: str) -> Path:
    """Read a path. pathlib reads an empty text, as of an unset variable, as the working directory."""
    if not text:
        raise typer.BadParameter("an empty text is no path")
    return Path(text)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
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
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, metavar="", help="Show the version."),
    ] = False,
) -> None:
    """Resolve pip and conda packages jointly against CUDA, install them, and prove that they load.

    Every option has an environment variable: --index-url is DATALOADER_INDEX_URL.
    """
    if context.invoked_subcommand is None:
        with contextlib.redirect_stdout(sys.stderr):
            typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        code = app(args=list(arguments), prog_name="dataloader", standalone_mode=False)
    except _PARSING_ERROR as error:
        raise _usage(error, arguments) from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer ends with 1 where a reader has seen enough
            raise error.__context__ from None
        raise
    return code if isinstance(code, int) else ExitCode.OK


def page_of(name: str) -> str:
    """The help page of a command; of the program, for the empty name."""
    group: Any = typer.main.get_command(app)
    with group.make_context("dataloader", [], resilient_parsing=True) as context:
        if not name:
            return f"{context.get_help()}\n"
        made: Any = group.get_command(context, name)
        with made.make_context(name, [], parent=context, resilient_parsing=True) as inner:
            return f"{inner.get_help()}\n"


def _by_variable(error: Any, context: Any) -> str:
    """The message, which names the variable where it was no option that said it."""
    message, parameter = str(error.format_message()), getattr(error, "param", None)
    if context is None or parameter is None:
        return message
    source = context.get_parameter_source(parameter.name)
    if source is None or source.name != "ENVIRONMENT" or not isinstance(parameter.envvar, str):
        return message
    return message.replace(f"'{parameter.opts[0]}'", parameter.envvar, 1)


def _usage(error: Any, arguments: Sequence[str]) -> UsageError:
    context = getattr(error, "ctx", None)
    named = arguments[:1] if arguments and arguments[0] in COMMANDS else ()
    path = context.command_path if context else " ".join(("dataloader", *named))
    suggestions: tuple[str, ...] = (f"`{path} --help` shows what is possible.",)
    message = _by_variable(error, context)
    if "No such command" in message and context:
        import difflib

        from dataloader.cli.line.elsewhere import advice

        word = message.split("'")[1]
        told = advice(word)
        near = [] if told else difflib.get_close_matches(word, COMMANDS, n=1)
        suggestions = (*([told] if told else []), *(f"`dataloader {name}`" for name in near), *suggestions)
    return UsageError(re.sub(r"\s*\n\s*", " ", message), suggestions=suggestions)
