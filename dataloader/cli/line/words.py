"""Command lines as nearly everyone types them, read without typer: it takes 30 of a plan's 117 ms to import and feed.

What is read here is read as typer would. Everything else is left to it: the help, a variable that stands for an
option, clusters of short options, and every mistake, which it names. Imports nothing: the quick answers read with it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from dataloader.cli.line.command import Command, Parameter

    Spelled = Mapping[str, tuple[str, bool | None]]
    """What can be typed for an option -> its name, and what a switch is set to by it; None: it takes a value."""


class Unusual(Exception):
    """Something that takes more reading."""


def part(
    words: Sequence[str], spelled: Spelled, *, passes_rest: bool = False
) -> tuple[dict[str, list[Any]], list[str]]:
    """Part what was said to each option, in order, from the words that belong to none.

    Args:
        words: Behind the command's name.
        spelled: What can be typed.
        passes_rest: Whether everything from ``--``, or the first word that is no option, belongs together.

    Raises:
        Unusual: this takes more reading.
    """
    given: dict[str, list[Any]] = {}
    free: list[str] = []
    rest = iter(words)
    for word in rest:
        if passes_rest and (word == "--" or not word.startswith("-")):
            passed = [word, *rest]
            return given, [] if passed == ["--"] else passed
        if not word.startswith("-"):
            free.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in spelled:
            raise Unusual
        option, state = spelled[name]
        if equals and (state is not None or not name.startswith("--")):
            raise Unusual
        if not equals and state is None:
            value = next(rest, "-")
            if value.startswith("-"):
                raise Unusual
        given.setdefault(option, []).append(value if state is None else state)
    return given, free


def usual_values(
    made: Command, words: Sequence[str], environ: Mapping[str, str]
) -> tuple[dict[str, Any], frozenset[str]] | None:
    """A value for each parameter of a command, from the words behind its name, and the names of those that were typed.

    None for what takes more reading.
    """
    if any(variable in environ for p in made.parameters for variable in p.variables):
        return None
    try:
        given, free = part(made.completed(words), spelled(made.parameters), passes_rest=made.passes_rest)
        for parameter in made.parameters:
            if not parameter.is_option and free:
                given[parameter.name], free = free, []
        if free:
            return None
        values = {p.name: _value(p, given[p.name]) if p.name in given else _default(p) for p in made.parameters}
        return values, frozenset(given)
    except (Unusual, ValueError):
        return None


def spelled(parameters: Sequence[Parameter]) -> dict[str, tuple[str, bool | None]]:
    """What can be typed for the options among the parameters of a command."""
    found: dict[str, tuple[str, bool | None]] = {}
    for parameter in parameters:
        for name in parameter.names:
            on, _, off = name.partition("/")
            found[on] = (parameter.name, True if parameter.is_switch else None)
            if off:
                found[off] = (parameter.name, False)
    return found


def _value(parameter: Parameter, said: Sequence[Any]) -> Any:
    """What a parameter is given, from everything that was said to it: the last counts, if one may be given.

    Raises Unusual, or ValueError for text that is no number.
    """
    if parameter.is_switch:
        return len(said) if parameter.is_counted else said[-1]
    if not parameter.is_option and not parameter.many and len(said) > 1:
        raise Unusual
    values = [_converted(parameter, text) for text in said]
    return values if parameter.many else values[-1]


def _converted(parameter: Parameter, text: str) -> object:
    if not text and not parameter.may_be_empty:
        raise Unusual
    if parameter.choices:
        if text not in parameter.choices:
            raise Unusual
        return text
    value: Any = text if parameter.kind is str else parameter.kind(text)
    if parameter.kind in (int, float) and not 0 <= value < float("inf"):
        raise Unusual
    return value


def _default(parameter: Parameter) -> object:
    if parameter.is_required:
        raise Unusual
    return parameter.default
