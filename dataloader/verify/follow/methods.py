"""Methods of plain values that followed code calls: those of Python itself, on values that are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from dataloader.verify.follow.values import MAX_TEXT, UNKNOWN, Doubtful, Raised, Unknown, is_known

_TEXT: Final = frozenset(
    [
        "capitalize",
        "casefold",
        "count",
        "decode",
        "encode",
        "endswith",
        "find",
        "format",
        "index",
        "isalnum",
        "isalpha",
        "isascii",
        "isdecimal",
        "isdigit",
        "isidentifier",
        "islower",
        "isnumeric",
        "isspace",
        "isupper",
        "join",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rfind",
        "rindex",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "title",
        "upper",
    ]
)
_LIST: Final = frozenset(
    ["append", "extend", "insert", "pop", "remove", "clear", "copy", "index", "count", "reverse", "sort"]
)
_DICT: Final = frozenset(["get", "items", "keys", "values", "pop", "setdefault", "update", "copy"])
_SET: Final = frozenset(
    ["add", "update", "discard", "union", "intersection", "difference", "copy", "issubset", "issuperset"]
)
_PATH: Final = frozenset(
    [
        "joinpath",
        "relative_to",
        "with_name",
        "with_suffix",
        "with_stem",
        "is_absolute",
        "as_posix",
        "match",
        "is_relative_to",
        "__str__",
        "__fspath__",
    ]
)
CHANGES: Final = frozenset(
    [
        "append",
        "extend",
        "insert",
        "pop",
        "remove",
        "clear",
        "add",
        "update",
        "discard",
        "setdefault",
        "sort",
        "reverse",
    ]
)
"""Methods that change what they are called on."""


def has_method(value: Any, name: str) -> bool:
    """Whether a plain value has a method that is followed."""
    for kinds, names in ((str | bytes, _TEXT), (list, _LIST), (dict, _DICT), (set, _SET), (PurePosixPath, _PATH)):
        if isinstance(value, kinds):
            return name in names
    return isinstance(value, tuple) and name in ("index", "count")


def call_method(value: Any, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], *, doubt: bool) -> Any:
    """What a method gives. A list that is changed perhaps becomes one that may hold more or less.

    Args:
        doubt: Whether it is called is not known.
    """
    if isinstance(value, list | dict | set) and name in CHANGES:
        return _change(value, name, arguments, doubt=doubt)
    if isinstance(value, dict) and name == "get" and type(value) is not dict:
        return _of_environment(value, arguments)
    if isinstance(value, dict) and name in ("items", "keys", "values"):
        return list(getattr(value, name)())
    if isinstance(value, dict) and name == "get":
        known = arguments and is_known(arguments[0])
        return value.get(*arguments) if known else UNKNOWN
    if isinstance(value, list) and name == "copy":
        return Doubtful(value) if isinstance(value, Doubtful) else list(value)
    if not (is_known(value) and all(map(is_known, arguments)) and all(map(is_known, keywords.values()))):
        return UNKNOWN
    if _may_grow(value, name, arguments):
        return UNKNOWN
    try:
        return getattr(value, name)(*arguments, **keywords)
    except (TypeError, ValueError, LookupError) as error:
        raise Raised(type(error), str(error)) from error


def _change(value: Any, name: str, arguments: Sequence[Any], *, doubt: bool) -> Any:
    if len(value) >= MAX_TEXT:
        return UNKNOWN
    if isinstance(value, list) and name in ("append", "insert", "extend"):
        more = arguments[-1:] if name != "extend" else arguments[0] if arguments else ()
        if isinstance(more, list | tuple | set | dict):
            at = arguments[0] if name == "insert" and isinstance(arguments[0], int) else len(value)
            value[at:at] = list(more)
        return None
    if doubt:
        return UNKNOWN
    try:
        return getattr(value, name)(*arguments)
    except (TypeError, ValueError, LookupError) as error:
        if any(isinstance(argument, Unknown) for argument in arguments):
            return UNKNOWN
        raise Raised(type(error), str(error)) from error


def _of_environment(value: Mapping[str, str], arguments: Sequence[Any]) -> Any:
    """A variable; which are set beside those that are known to be, is taken to be none but the usual ones."""
    name = arguments[0] if arguments else None
    if not isinstance(name, str) or (name not in value and name in USUAL_VARIABLES):
        return UNKNOWN
    return value.get(name, arguments[1] if len(arguments) > 1 else None)


USUAL_VARIABLES: Final = frozenset(
    ["HOME", "PATH", "USER", "SHELL", "LANG", "TMPDIR", "PWD", "LOGNAME", "XDG_CACHE_HOME", "HOSTNAME"]
)
"""Set nearly everywhere, and to what is not known."""


def _may_grow(value: Any, name: str, arguments: Sequence[Any]) -> bool:
    if name == "replace" and len(arguments) > 1:
        return len(value) * max(1, len(str(arguments[1]))) > MAX_TEXT * 16
    if name == "join" and arguments and isinstance(arguments[0], list | tuple):
        return len(value) * len(arguments[0]) > MAX_TEXT * 16
    # A width of a format makes much of little.
    return name == "format" and bool(re.search(r":[^}]*\d{3}|\{[^}]*[.\[]", str(value)))
