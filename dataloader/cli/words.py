"""Command lines as nearly everyone types them, read without typer: importing and feeding it takes 40 ms.

What is read here is read as typer would. Everything else is left to it: the help, a variable that stands for an
option, clusters of short options, and every mistake, which it names.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataloader.cli.command import REQUIRED, STACK_NAMES, Command, Parameter, expand_bare_flags
from dataloader.cli.options import Flag

_Spelled = Mapping[str, tuple[Parameter, bool]]
"""What can be typed for an option -> the option, and what a switch is set to by it."""


class _Unusual(Exception):
    """Something that takes more reading."""


def usual_values(made: Command, words: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any] | None:
    """A value for each parameter of a command, from the words behind its name; None for what takes more reading."""
    flags = [p for p in made.parameters if isinstance(p.said, Flag)]
    if any(p.said.envvar in environ for p in flags if isinstance(p.said, Flag)):
        return None
    try:
        given, free = _part(made, words, _spelled(flags))
        for parameter in made.parameters:
            if not isinstance(parameter.said, Flag) and free:
                given[parameter.name], free = free, []
        if free:
            return None
        return {p.name: _value(p, given[p.name]) if p.name in given else _default(p) for p in made.parameters}
    except (_Unusual, ValueError):
        return None


def _spelled(flags: Iterable[Parameter]) -> _Spelled:
    spelled = {}
    for parameter in flags:
        for name in typing.cast("Flag", parameter.said).names:
            on, _, off = name.partition("/")
            spelled[on] = (parameter, True)
            if off:
                spelled[off] = (parameter, False)
    return spelled


def _part(made: Command, words: Sequence[str], spelled: _Spelled) -> tuple[dict[str, list[Any]], list[str]]:
    """What was said to each option, in order, and the words that belong to none."""
    given: dict[str, list[Any]] = {}
    free: list[str] = []
    rest = iter(expand_bare_flags(list(words), STACK_NAMES & spelled.keys()))
    for word in rest:
        if made.passes_rest and (word == "--" or not word.startswith("-")):
            return given, [*([] if word == "--" else [word]), *rest]
        if not word.startswith("-"):
            free.append(word)
            continue
        name, equals, value = word.partition("=")
        parameter, state = spelled.get(name, (None, False))
        if parameter is None or (equals and (parameter.is_switch or not name.startswith("--"))):
            raise _Unusual
        if not equals and not parameter.is_switch:
            value = next(rest, "-")
            if value.startswith("-"):
                raise _Unusual
        given.setdefault(parameter.name, []).append(state if parameter.is_switch else value)
    return given, free


def _value(parameter: Parameter, said: Sequence[Any]) -> Any:
    """What a parameter is given, from everything that was said to it: the last counts, if one may be given.

    Raises _Unusual, or ValueError for text that is no number.
    """
    if isinstance(parameter.said, Flag):
        if parameter.said.counted:
            return len(said)
        if parameter.is_switch:
            return said[-1]
    elif not parameter.many and len(said) > 1:
        raise _Unusual
    values = [_converted(parameter, text) for text in said]
    return values if parameter.many else values[-1]


def _converted(parameter: Parameter, text: str) -> object:
    if not text and not (isinstance(parameter.said, Flag) and parameter.said.group == "Stack"):
        raise _Unusual
    if typing.get_origin(parameter.kind) is typing.Literal:
        if text not in typing.get_args(parameter.kind):
            raise _Unusual
        return text
    return text if parameter.kind is str else parameter.kind(text)


def _default(parameter: Parameter) -> object:
    if parameter.default is REQUIRED:
        raise _Unusual
    return parameter.default
