"""The values that followed code works with: plain ones of Python itself, a few of ours, and the unknown."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

MAX_TEXT: Final = 1 << 16
"""Characters of a text that code works with; a longer one is unknown, so that no source can fill the memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Unknown:
    """A value that is not known."""

    what: str = ""
    """Where it came from, in the words of the code: ``torch.ops.load_library``."""


UNKNOWN: Final = Unknown()


class Scope:
    """Names of a module, a function or a class body, and of what is around it."""

    __slots__ = ("around", "module", "names", "outer")

    def __init__(self, names: dict[str, Any], module: ModuleValue, around: Scope | None = None) -> None:
        self.names, self.module, self.around = names, module, around
        self.outer: set[str] = set()
        """Names declared ``global`` or ``nonlocal``."""

    def find(self, name: str) -> Scope | None:
        """The scope that has a name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope
            scope = scope.around
        return None


@dataclass(eq=False, slots=True)
class ModuleValue:
    """A module, imported or being imported."""

    name: str
    path: str | None
    names: dict[str, Any] = field(default_factory=dict)
    followed: bool = False
    """Its source is followed, so a name that it does not have is none."""
    opens: bool = True
    """Its source mentions what opens libraries."""
    folders: list[str] = field(default_factory=list)
    """Where its submodules are looked for."""


@dataclass(frozen=True, eq=False, slots=True)
class Function:
    """A function of the code."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    defaults: Sequence[Any]
    keyword_defaults: Mapping[str, Any]
    bound: tuple[Any, ...] = ()
    """What comes before the arguments: ``self``."""
    kind: str = ""
    """``property``, ``staticmethod``, ``classmethod``, ``contextmanager`` or nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Native:
    """A function of Python or its library, as far as it matters here."""

    name: str
    call: Callable[..., Any]
    """Given the follower, the arguments and the keyword arguments."""


@dataclass(eq=False, slots=True)
class ClassValue:
    """A class of the code."""

    name: str
    names: dict[str, Any]
    bases: tuple[Any, ...] = ()

    def find(self, name: str) -> Any:
        """An attribute, of the bases too; ``None`` when no class has it."""
        if name in self.names:
            return self.names[name]
        found = (base.find(name) for base in self.bases if isinstance(base, ClassValue))
        return next((value for value in found if value is not None), None)


@dataclass(eq=False, slots=True)
class Instance:
    """An object with attributes."""

    of: ClassValue | None = None
    names: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class FileValue:
    """A file that was opened to be read."""

    path: str


class Recorded(PurePosixPath):
    """A file of a distribution, as ``importlib.metadata.files`` gives it."""

    site = ""


class Environ(dict[str, str]):
    """``os.environ``."""


class Doubtful(list[Any]):
    """A list that may hold more or less than it seems."""


class Leave(Exception):
    """Control that leaves a block of statements."""


class Return(Leave):
    """``return``."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Break(Leave):
    """``break``."""


class Continue(Leave):
    """``continue``."""


class Raised(Leave):
    """An exception of the code."""

    def __init__(self, kind: type[BaseException], message: str = "") -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class TooMuch(Exception):
    """The code is more than is followed."""


PLAIN: Final = (str, bytes, int, float, type(None), list, tuple, dict, set, frozenset, PurePosixPath, range)
"""Types whose own operations are used, on values that are known."""


def is_known(value: Any) -> bool:
    """Whether a value is plain and holds nothing unknown."""
    if isinstance(value, Doubtful) or not isinstance(value, PLAIN):
        return False
    if isinstance(value, dict):
        return all(is_known(inner) for pair in value.items() for inner in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_known, value))
    return True


def small(value: Any) -> Any:
    """The value, or the unknown in place of one that is too large."""
    if isinstance(value, str | bytes | list | tuple | set | dict | frozenset) and len(value) > MAX_TEXT:
        return UNKNOWN
    return UNKNOWN if isinstance(value, int) and abs(value) >= 1 << 64 else value


def merged(first: Any, second: Any) -> Any:
    """What both may be: the same, or unknown."""
    if first is second or (type(first) is type(second) and isinstance(first, PLAIN) and first == second):
        return first
    if isinstance(first, list) and isinstance(second, list):
        return Doubtful([*second, *(inner for inner in first if not any(inner is other for other in second))])
    return UNKNOWN


def text_of(value: Any) -> str | None:
    """The path that a value stands for, as the system's calls take it."""
    if isinstance(value, PurePosixPath):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else None
