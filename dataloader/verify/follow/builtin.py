"""Builtins of Python that are followed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from dataloader.verify.follow.follower import Follower
from dataloader.verify.follow.loading import import_named
from dataloader.verify.follow.natives import constant, pure
from dataloader.verify.follow.values import (
    UNKNOWN,
    FileValue,
    Instance,
    ModuleValue,
    Native,
    Raised,
    Unknown,
    is_known,
    text_of,
)


def _has(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    value, name = arguments if len(arguments) == 2 else (UNKNOWN, UNKNOWN)
    if not isinstance(name, str):
        return UNKNOWN
    if isinstance(value, ModuleValue) and value.path is None and value.name in ("os", "sys"):
        return hasattr(sys.modules[value.name], name)
    found = follower.attribute(value, name)
    if not isinstance(found, Unknown):
        return True
    return False if isinstance(value, ModuleValue) and value.followed else UNKNOWN


def _get(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    if len(arguments) < 2 or not isinstance(arguments[1], str):
        return UNKNOWN
    if len(arguments) > 2 and _has(follower, arguments[:2], keywords) is False:
        return arguments[2]
    return follower.attribute(arguments[0], arguments[1])


def _set(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del follower, keywords
    owner, name, value = arguments if len(arguments) == 3 else (None, None, None)
    if isinstance(owner, Instance | ModuleValue) and isinstance(name, str):
        owner.names[name] = value


def _map(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    if len(arguments) != 2:
        return UNKNOWN
    items, whole = follower.items_of(arguments[1])
    follower.doubt += not whole
    try:
        found = [follower.call(arguments[0], (element,), {}) for element in items]
    finally:
        follower.doubt -= not whole
    return found if whole else UNKNOWN


def _filter(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    items, whole = follower.items_of(arguments[1]) if len(arguments) == 2 else ([], False)
    kept = [element if arguments[0] is None else follower.call(arguments[0], (element,), {}) for element in items]
    truths = [follower.truth(element) for element in kept]
    if not whole or None in truths:
        return UNKNOWN
    return [element for element, truth in zip(items, truths, strict=True) if truth]


def _sorted(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    items, whole = follower.items_of(arguments[0]) if arguments else ([], False)
    if not whole:
        return arguments[0] if arguments else UNKNOWN
    keys = [follower.call(keywords["key"], (element,), {}) for element in items] if keywords.get("key") else items
    if not all(map(is_known, keys)):
        return items  # all of them, in an order that is not known
    try:
        order = sorted(range(len(items)), key=keys.__getitem__, reverse=bool(keywords.get("reverse")))
    except TypeError as error:
        raise Raised(TypeError, str(error)) from error
    return [items[index] for index in order]


def _as(kind: Callable[[list[Any]], Any]) -> Native:
    def call(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        if not arguments:
            return UNKNOWN if keywords else kind([])
        if not isinstance(arguments[0], list | tuple | set | frozenset | dict | str | range | Instance):
            return UNKNOWN
        items, whole = follower.items_of(arguments[0])
        return kind(items) if whole and (kind in (list, tuple) or is_known(items)) else arguments[0]

    return Native(kind.__name__, call)


def _isinstance(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del follower, keywords
    value, wanted = arguments if len(arguments) == 2 else (UNKNOWN, UNKNOWN)
    names = [
        class_.name for class_ in (wanted if isinstance(wanted, tuple) else (wanted,)) if isinstance(class_, Native)
    ]
    kinds = [_KINDS[name] for name in names if name in _KINDS]
    if isinstance(value, tuple(_KINDS.values())) and kinds:
        return isinstance(value, tuple(kinds))
    return UNKNOWN


_KINDS: Final[Mapping[str, type]] = {
    "str": str,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "int": int,
    "Path": PurePosixPath,
}


def _next(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    items, whole = follower.items_of(arguments[0]) if arguments else ([], False)
    if not whole:
        return UNKNOWN
    if items:
        return items[0]
    if len(arguments) > 1:
        return arguments[1]
    raise Raised(StopIteration)


def _quantified(*, every: bool) -> Native:
    def call(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        del keywords
        items, whole = follower.items_of(arguments[0]) if arguments else ([], False)
        truths = [follower.truth(element) for element in items]
        if (not every) in truths:
            return not every
        return every if whole and None not in truths else UNKNOWN

    return Native("all" if every else "any", call)


def _open_file(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``open``: a file to be read."""
    del follower, keywords
    path = text_of(arguments[0]) if arguments else None
    return FileValue(path) if path is not None else UNKNOWN


def _text(value: Any = "", *_: Any) -> str:
    return str(value)


BUILTINS: Final[Mapping[str, Any]] = {
    "True": True,
    "False": False,
    "None": None,
    "__debug__": True,
    "hasattr": Native("hasattr", _has),
    "getattr": Native("getattr", _get),
    "setattr": Native("setattr", _set),
    "map": Native("map", _map),
    "filter": Native("filter", _filter),
    "sorted": Native("sorted", _sorted),
    "next": Native("next", _next),
    "any": _quantified(every=False),
    "all": _quantified(every=True),
    "isinstance": Native("isinstance", _isinstance),
    "open": Native("open", _open_file),
    "__import__": Native("__import__", import_named),
    "list": _as(list),
    "tuple": _as(tuple),
    "set": _as(set),
    "frozenset": _as(frozenset),
    "iter": _as(list),
    "len": pure("len", len),
    "str": pure("str", _text),
    "repr": pure("repr", repr),
    "int": pure("int", lambda value=0: int(value)),
    "bool": Native("bool", lambda follower, arguments, _: _truth(follower, arguments)),
    "min": pure("min", min),
    "max": pure("max", max),
    "abs": pure("abs", abs),
    "range": pure("range", range),
    "reversed": pure("reversed", lambda items: list(reversed(list(items)))),
    "enumerate": pure("enumerate", lambda items, start=0: list(enumerate(items, start))),
    "zip": pure("zip", lambda *items: list(zip(*items, strict=False))),
    "dict": pure("dict", dict),
    "print": constant(None),
}
"""Builtins that are followed."""


def _truth(follower: Follower, arguments: Sequence[Any]) -> Any:
    truth = follower.truth(arguments[0]) if arguments else False
    return UNKNOWN if truth is None else truth
