"""Commands as typer sees them: the fields of CommonOptions and StackFlags become parameters, bare stack flags work."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterable
from dataclasses import Field, dataclass, fields
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from dataloader.cli.console import ErrorHandler, Style
from dataloader.cli.options import NEWEST, CommonOptions, Flag, StackFlags
from dataloader.errors import UsageError

Options = TypeVar("Options", CommonOptions, StackFlags)

PREFIX: tuple[str, ...] = ("Environment", "Output")
"""Option groups of a command that reads what is there."""
SOLVE: tuple[str, ...] = ("Environment", "Inputs", "Sources", "Solving", "Changes", "Output", "Report")
"""Option groups of a command that may solve and write."""
VERIFY: tuple[str, ...] = ("Environment", "Solving", "Output")
"""Option groups of a command that judges a prefix, for a target."""

CONTEXT = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A function ready to be a typer command."""

    run: Callable[..., int]
    example: str
    passes_rest: bool


def command(
    *, example: str, takes: Collection[str], passes_rest: bool = False
) -> Callable[[Callable[..., int]], Command]:
    """Make a function a command. It returns its exit code, or raises DataloaderError.

    A parameter annotated CommonOptions or StackFlags stands for those of its fields that ``takes`` names; the others
    are typer's as usual.

    Args:
        example: A command line that works, shown in the help.
        takes: Groups, or single fields, of the shared options.
        passes_rest: Leave unknown options to what the command runs.
    """

    def make(function: Callable[..., int]) -> Command:
        # Not get_type_hints: Python 3.10 wraps the Annotated of a parameter that defaults to None in an Optional.
        parameters = inspect.signature(function, eval_str=True).parameters
        sets = {name: p.annotation for name, p in parameters.items() if p.annotation in (CommonOptions, StackFlags)}
        own = [p for p in parameters.values() if p.name not in sets]
        shared = [parameter for kind in sets.values() for parameter in _parameters(kind, takes)]

        def run(**values: Any) -> int:
            collected = {name: _collect(kind, values, takes) for name, kind in sets.items()}
            handler = ErrorHandler(Style.of(next(o for o in collected.values() if isinstance(o, CommonOptions))))
            with handler:
                _check(collected.values())
                handler.code = function(**{p.name: values[p.name] for p in own}, **collected)
            return handler.code

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = {}
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared)]
        run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        return Command(run=run, example=example, passes_rest=passes_rest)

    return make


def build(name: str, made: Command) -> Any:
    """The typer command, as a group's ``get_command`` returns it."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    settings: dict[str, Any] = dict(CONTEXT)
    if made.passes_rest:
        settings |= {"ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command(name, cls=StackCommand, epilog=f"Example: {made.example}", context_settings=settings)(made.run)
    return typer.main.get_command(app)


class StackCommand(TyperCommand):
    """A command whose stack flags may stand alone: ``--torch`` is ``--torch=``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Complete bare stack flags before they are parsed."""
        known = {name for parameter in self.params for name in parameter.opts}
        return super().parse_args(ctx, expand_bare_flags(args, STACK_NAMES & known))


STACK_NAMES = frozenset(name for f in fields(StackFlags) for name in f.metadata["flag"].names)


def expand_bare_flags(arguments: list[str], names: Collection[str] = STACK_NAMES) -> list[str]:
    """Give each stack flag its value, or none: what follows is a value when it looks like a version.

    >>> expand_bare_flags(["--torch", "numpy", "--cuda", "11.8", "--jax=0.4", "--", "--torch"])
    ['--torch=', 'numpy', '--cuda=11.8', '--jax=0.4', '--', '--torch']
    """
    expanded: list[str] = []
    rest = iter(range(len(arguments)))
    for at in rest:
        argument = arguments[at]
        if argument == "--":
            return [*expanded, *arguments[at:]]
        if argument in names:
            following = arguments[at + 1] if at + 1 < len(arguments) else ""
            takes = following != NEWEST and _axis_mistake("cuda", following) is None
            argument = f"{argument}={following if takes else NEWEST}"
            if takes:
                next(rest)
        expanded.append(argument)
    return expanded


def _axis_mistake(axis: str, value: str) -> str | None:
    from dataloader.inputs.spec import axis_mistake  # 20 ms, for those who name a stack only

    return axis_mistake(axis, value)


def _parameters(kind: type[CommonOptions | StackFlags], takes: Collection[str]) -> Iterable[inspect.Parameter]:
    hints = typing.get_type_hints(kind)
    for spec in fields(kind):
        flag: Flag = spec.metadata["flag"]
        if not _is_taken(spec, takes):
            continue
        annotation, default = hints[spec.name], spec.default
        if typing.get_origin(annotation) is tuple:
            annotation, default = list[typing.get_args(annotation)[0]], None  # type: ignore[misc]
        info = typer.Option(
            *flag.names,
            help=flag.about,
            metavar=flag.metavar or ("" if flag.count or annotation in {bool, bool | None} else None),
            envvar=flag.envvar,
            count=flag.count,
            rich_help_panel=flag.group,
            show_default=False,
            show_envvar=False,
        )
        yield inspect.Parameter(
            spec.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[annotation | None if default is None else annotation, info],
        )


def _is_taken(spec: Field[Any], takes: Collection[str]) -> bool:
    return spec.name in takes or spec.metadata["flag"].group in {*takes, "Stack"}


def _collect(kind: type[Options], values: dict[str, Any], takes: Collection[str]) -> Options:
    """The dataclass again, from the parameters that typer filled in."""
    given = {f.name: values[f.name] for f in fields(kind) if _is_taken(f, takes)}
    for spec in fields(kind):
        if isinstance(spec.default, tuple) and spec.name in given:
            given[spec.name] = tuple(given[spec.name] or ())
    if kind is StackFlags:
        given = {axis: NEWEST if value == "*" else value for axis, value in given.items()}
    return kind(**given)


def _check(options: Iterable[CommonOptions | StackFlags]) -> None:
    for one in options:
        if isinstance(one, StackFlags):
            for axis, value in one.asked().items():
                if mistake := _axis_mistake(axis, value):
                    raise UsageError(f"--{axis}={value}: {mistake}", code="stack-value-invalid")
        elif one.conda == "never" and one.channels:
            raise UsageError(
                "--channel asks for conda and --conda=never forbids it", suggestions=("Leave one of them out.",)
            )
