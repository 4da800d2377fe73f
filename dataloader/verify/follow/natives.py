"""How functions of Python's own are told to the follower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataloader.verify.follow.follower import Follower
from dataloader.verify.follow.values import (
    UNKNOWN,
    Native,
    Raised,
    is_known,
    text_of,
)


def pure(name: str, function: Callable[..., Any]) -> Native:
    """A function that asks nothing but its arguments; unknown where one of them is."""

    def call(_: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        if not (all(map(is_known, arguments)) and all(map(is_known, keywords.values()))):
            return UNKNOWN
        try:
            return function(*arguments, **keywords)
        except (TypeError, ValueError, LookupError) as error:
            raise Raised(type(error), str(error)) from error

    return Native(name, call)


def constant(value: Any) -> Native:
    """A function that always gives the same."""
    return Native("", lambda *_: value)


def asking(function: Callable[[Follower], Any]) -> Native:
    """A function that asks the follower alone."""
    return Native("", lambda follower, *_: function(follower))


def of_first(function: Callable[[Any], Any]) -> Native:
    """A function of its first argument, known or not."""
    return Native("", lambda _, arguments, __: function(arguments[0]) if arguments else UNKNOWN)


def on_path(name: str, function: Callable[[Follower, str], Any]) -> Native:
    """A function of a path."""

    def call(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        path = text_of(arguments[0]) if arguments else text_of(next(iter(keywords.values()), UNKNOWN))
        return UNKNOWN if path is None else function(follower, path)

    return Native(name, call)
