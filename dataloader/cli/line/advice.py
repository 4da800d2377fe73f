"""What a refusal says, in the words of who is refused: the places that were typed, the variables that were set."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import DataloaderError, UsageError

if TYPE_CHECKING:
    from dataloader.cli.line.command import Parameter

PLACES = ("manifest", "environment", "prefix", "lockfile")
"""Options that say what a command is about: advice is about the same."""

_COMMAND = re.compile(r"(?<=`)dataloader [^`]+(?=`)|^dataloader [^`]+$")


def exclusive(first: str, second: str) -> UsageError:
    """What is said of two options that mean nothing together."""
    return UsageError(f"{first} and {second} exclude each other", suggestions=("leave one of them out",))


def typed_of(verb: str, names: Collection[str]) -> tuple[Parameter, ...]:
    """Options of a command, shared ones and its own, by the names of their parameters; as the help orders them."""
    from dataloader.cli.commands import load

    return tuple(parameter for parameter in load(verb).parameters if parameter.is_option and parameter.name in names)


def advise(
    error: DataloaderError, parameters: Sequence[Parameter], values: Mapping[str, Any], typed: Collection[str]
) -> None:
    """Put into an error what its maker did not know: where its commands are to be carried out, and who said what.

    Args:
        error: What a command was refused with.
        parameters: The command's.
        values: Parameter -> what was given to it.
        typed: Parameters that stand on the command line; what else has a value was said by its variable.
    """
    options = {p.name: p for p in parameters if p.is_option}
    places = {name: (options[name].names, str(values[name])) for name in PLACES if name in options and name in typed}
    error.suggestions = tuple(_COMMAND.sub(lambda found: _placed(found[0], places), s) for s in error.suggestions)
    for parameter in options.values():
        value = values.get(parameter.name)
        if parameter.name not in typed and value != parameter.default and value not in (None, ()):
            _name_variable(error, parameter, value)


def _placed(command: str, places: Mapping[str, tuple[tuple[str, ...], str]]) -> str:
    """Return a command with the places that it takes and does not name itself.

    >>> _placed("dataloader sync", {"prefix": (("--prefix", "-p"), "other env")})
    "dataloader sync -p 'other env'"

    A file that a command names as something else is not its place as well.

    >>> _placed("dataloader install -r asked.txt", {"lockfile": (("--lockfile",), "asked.txt")})
    'dataloader install -r asked.txt'
    """
    from dataloader.cli.commands import COMMANDS, load

    _, verb, *rest = command.split(" ")
    if verb not in COMMANDS or not places or "--root" in rest:
        return command
    taken = {p.name for p in load(verb).parameters}
    said = {word.partition("=")[0] for word in rest}
    missing = [
        f"{min(names, key=len)} {shlex.quote(value)}"
        for name, (names, value) in places.items()
        if name in taken and not said.intersection(names) and f" {shlex.quote(value)} " not in f"{command} "
    ]
    return " ".join(["dataloader", verb, *missing, *rest])


def _name_variable(error: DataloaderError, parameter: Parameter, value: object) -> None:
    """Name the variable that said what an error is about."""
    (variable,) = parameter.variables
    pattern = re.compile(
        "|".join(rf"(?<![\w-]){re.escape(name.partition('/')[0])}(?![\w-])" for name in parameter.names)
    )
    if pattern.search(error.message):
        error.message = pattern.sub(variable, error.message)
        error.causes = tuple(pattern.sub(variable, cause) for cause in error.causes)
        return
    told = (error.message, *error.causes)
    for text in map(str, value if isinstance(value, list | tuple) else [value]):
        if text and any(re.search(rf"(?<![\w./-]){re.escape(text)}(?![\w/-])", message) for message in told):
            error.causes = (*error.causes, f"{variable} says {text}")
