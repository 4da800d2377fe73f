"""Commands: a function, and what can be said to it; the fields of CommonOptions and StackFlags become parameters."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.cli.line.options import NEWEST, CommonOptions, Flag, Operand, StackFlags, declared
from dataloader.cli.telling.console import ErrorHandler, Style

Options = TypeVar("Options", CommonOptions, StackFlags)

PREFIX: tuple[str, ...] = ("prefix", "manifest", "environment", "Output")
"""Options of a command that uses an environment."""
LOCK: tuple[str, ...] = ("manifest", "lockfile", "environment", "Output")
"""Options of a command that reads a lock."""
SOLVE: tuple[str, ...] = (*LOCK, "Inputs", "Sources", "Solving", "dry_run", "Report")
"""Options of a command that solves; here and above, a capital letter begins the name of a group."""
SOLVE_FOR_SEVERAL: tuple[str, ...] = tuple(
    field.name
    for field in declared(CommonOptions)
    if {field.name, field.metadata["flag"].group} & {*SOLVE} and field.name != "platform"
)
"""Options of a command that solves for several platforms at once, which it takes itself."""
INSTALL: tuple[str, ...] = (*SOLVE, "prefix", "yes")
"""Options of a command that may solve, and writes an environment."""
TO_FETCH: tuple[str, ...] = (
    *("manifest", "lockfile", "environment"),
    *("channels", "index_url", "extra_index_url", "find_links", "offline", "mirror", "require_attestation"),
    *("trusted_root", "limit_rate", "refresh"),
)
"""Options of what fetches all that a lock names."""
LOOK: tuple[str, ...] = (
    *("channels", "conda", "index_url", "extra_index_url", "find_links", "offline", "mirror", "refresh"),
    "Output",
)
"""Options of a command that looks at what indexes and channels have."""
PLAN: tuple[str, ...] = (
    *("manifest", "environment", "Inputs", "channels", "conda", "platform", "target", "matrix"),
    "Output",
)
"""Options of a command that chooses a stack."""
VERIFY: tuple[str, ...] = ("Environment", "platform", "target", "matrix", "Output")
"""Options of a command that judges a prefix, for a target."""

REQUIRED = inspect.Parameter.empty
"""Default of a parameter that has none."""


class Parameter(NamedTuple):
    """One option or operand of a command."""

    name: str
    said: Flag | Operand
    kind: type
    """What one value is: ``str``, ``Path``, ``int``, ``float``, ``bool`` or a ``Literal``."""
    many: bool
    """Whether it may be said several times; its value is a list then, or None."""
    default: Any

    @property
    def is_option(self) -> bool:
        """Whether it is typed by name."""
        return isinstance(self.said, Flag)

    @property
    def names(self) -> tuple[str, ...]:
        """What can be typed for it; an operand has no name."""
        return self.said.names if isinstance(self.said, Flag) else ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that stand for it."""
        return (self.said.envvar,) if isinstance(self.said, Flag) else ()

    @property
    def is_counted(self) -> bool:
        """Whether it is a switch that says how often it is there."""
        return isinstance(self.said, Flag) and self.said.counted

    @property
    def is_switch(self) -> bool:
        """Whether it is an option that takes no value."""
        return self.is_option and (self.kind is bool or self.is_counted)

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty text is one of its values."""
        return isinstance(self.said, Flag) and self.said.group == "Stack"

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values that it takes, where they are few."""
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else ()


class Command(NamedTuple):
    """A function, and everything that can be said to it."""

    run: Callable[[Mapping[str, Any], Collection[str]], int]
    """Takes a value for each parameter, and the names of those that were typed; says every failure itself and returns
    the exit code."""
    name: str
    about: str
    parameters: tuple[Parameter, ...]
    example: str
    passes_rest: bool
    """Whether everything behind the first operand belongs to what the command runs."""

    def completed(self, words: Sequence[str]) -> list[str]:
        """Return the words with ``=`` behind each stack option that stands alone."""
        known = {name for parameter in self.parameters for name in parameter.names}
        return expand_bare_flags(list(words), STACK_NAMES & known)


def command(
    *, example: str, takes: Collection[str], passes_rest: bool = False
) -> Callable[[Callable[..., int]], Command]:
    """Make a function a command. It returns its exit code, or raises DataloaderError.

    A parameter annotated CommonOptions or StackFlags stands for those of its fields that ``takes`` names; the others
    are annotated with their type and a Flag or an Operand.

    Args:
        example: A command line that works, shown in the help.
        takes: Groups, or single fields, of the shared options.
        passes_rest: Leave unknown options to what the command runs.
    """

    def make(function: Callable[..., int]) -> Command:
        # Not get_type_hints: Python 3.10 wraps the Annotated of a parameter that defaults to None in an Optional.
        parameters = inspect.signature(function, eval_str=True).parameters
        sets = {name: p.annotation for name, p in parameters.items() if p.annotation in (CommonOptions, StackFlags)}
        own = [_own(p) for p in parameters.values() if p.name not in sets]

        everything = (*own, *(shared for kind in sets.values() for shared in _shared(kind, takes)))

        def run(values: Mapping[str, Any], typed: Collection[str]) -> int:
            collected = {name: _collect(kind, values, typed, takes) for name, kind in sets.items()}
            common = next(o for o in collected.values() if isinstance(o, CommonOptions))
            handler = ErrorHandler(Style.of(common))
            with handler:
                try:
                    _check(collected.values())
                    handler.code = _until_allowed(function, {p.name: values[p.name] for p in own}, collected, takes)
                except DataloaderError as error:
                    from dataloader.cli.line.advice import advise
                    from dataloader.cli.line.first_steps import first_steps

                    error.suggestions = error.suggestions or first_steps(error.code, common, Path.cwd())
                    advise(error, everything, values, typed)
                    raise
            return handler.code

        return Command(
            run=run,
            name=function.__name__,
            about=function.__doc__ or "",
            parameters=everything,
            example=example,
            passes_rest=passes_rest,
        )

    return make


def _until_allowed(
    function: Callable[..., int],
    own: Mapping[str, Any],
    collected: Mapping[str, CommonOptions | StackFlags],
    takes: Collection[str],
) -> int:
    """Run a command; once more where it was refused for want of a build, and somebody allows that now."""
    try:
        return function(**own, **collected)
    except DataloaderError as error:
        if not {"build", "Solving"} & set(takes):
            raise
        from dataloader.cli.line.allow import allowed_now

        name, common = next((n, value) for n, value in collected.items() if isinstance(value, CommonOptions))
        allowed = allowed_now(error, common, os.environ)
        if allowed is None:
            raise
    return _until_allowed(function, own, {**collected, name: allowed}, takes)


def _own(parameter: inspect.Parameter) -> Parameter:
    annotation, said = typing.get_args(parameter.annotation)
    kind, many = _kind(annotation)
    return Parameter(parameter.name, said, kind, many, parameter.default)


def _shared(options: type[CommonOptions | StackFlags], takes: Collection[str]) -> Iterator[Parameter]:
    for spec in declared(options):
        if _is_taken(spec, takes):
            kind, many = _kind(spec.type)
            yield Parameter(spec.name, spec.metadata["flag"], kind, many, None if many else spec.default)


def _kind(annotation: Any) -> tuple[type, bool]:
    """The type of one value, and whether there may be several: ``list[Path] | None`` -> ``(Path, True)``."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        annotation = next(argument for argument in typing.get_args(annotation) if argument is not types.NoneType)
    many = typing.get_origin(annotation) in {list, tuple}
    return (typing.get_args(annotation)[0] if many else annotation), many


def _is_taken(spec: Field[Any], takes: Collection[str]) -> bool:
    return spec.name in takes or spec.metadata["flag"].group in {*takes, "Stack"}


STACK_NAMES = frozenset(name for f in declared(StackFlags) for name in f.metadata["flag"].names)


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
    from dataloader.request.specs.spec import axis_mistake  # for those who name a stack only

    return axis_mistake(axis, value)


def _collect(kind: type[Options], values: Mapping[str, Any], typed: Collection[str], takes: Collection[str]) -> Options:
    """The dataclass again, from the values of its parameters."""
    given = {f.name: values[f.name] for f in declared(kind) if _is_taken(f, takes)}
    for spec in declared(kind):
        if isinstance(spec.default, tuple) and spec.name in given:
            given[spec.name] = tuple(given[spec.name] or ())
    if kind is StackFlags:
        return kind(**{axis: NEWEST if value == "*" else value for axis, value in given.items()})
    return kind(**{**given, "typed": frozenset(typed)})


def _check(options: Iterable[CommonOptions | StackFlags]) -> None:
    for option in options:
        if isinstance(option, StackFlags):
            for axis, value in option.asked().items():
                if mistake := _axis_mistake(axis, value):
                    raise UsageError(f"--{axis}={value}: {mistake}", code="stack-value-invalid")
        elif option.conda == "never" and option.channels:
            raise UsageError(
                "--channel asks for conda and --conda=never forbids it", suggestions=("leave one of them out",)
            )
