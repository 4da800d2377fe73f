"""Expressions of followed code -> values."""

from __future__ import annotations

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from dataloader.verify.follow.methods import CHANGES, call_method
from dataloader.verify.follow.values import (
    PLAIN,
    UNKNOWN,
    ClassValue,
    Doubtful,
    Function,
    Instance,
    ModuleValue,
    Native,
    Raised,
    Scope,
    TooMuch,
    Unknown,
    is_known,
    merged,
    small,
)

_STEPS: Final = 60_000
"""Expressions and statements that are followed for one import; torch's takes some 30,000."""

_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.RShift: operator.rshift,
}
"""Those that cannot make much of little; ``%`` and ``*`` have functions of their own."""
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Expressions(ABC):
    """Gives values of expressions; what calls do is said by those who derive from it."""

    def __init__(self) -> None:
        self.steps = 0
        self.doubt = 0
        """How many unknown conditions what is followed now hangs on."""
        self._doubtful: dict[int, Any] = {}
        """Lists and the like that were changed perhaps."""

    @abstractmethod
    def call(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """What a call gives."""

    @abstractmethod
    def attribute(self, value: Any, name: str) -> Any:
        """An attribute of a value."""

    def step(self) -> None:
        """Count what is done."""
        self.steps += 1
        if self.steps > _STEPS:
            raise TooMuch("its import does more than is followed")

    @contextmanager
    def perhaps(self) -> Iterator[None]:
        """What is followed inside may happen or not."""
        self.doubt += 1
        try:
            yield
        finally:
            self.doubt -= 1

    # -- evaluation --------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr | None, scope: Scope) -> Any:
        """The value of an expression."""
        self.step()
        if node is None:
            return None
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        return small(method(node, scope)) if method else UNKNOWN

    def _constant(self, node: ast.Constant, scope: Scope) -> Any:
        del scope
        return node.value

    def _name(self, node: ast.Name, scope: Scope) -> Any:
        found = scope.find(node.id)
        if found is not None:
            return found.names[node.id]
        return self.builtin(node.id)

    @abstractmethod
    def builtin(self, name: str) -> Any:
        """A name that no scope has."""

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        return self.attribute(self.value(node.value, scope), node.attr)

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        function = self.value(node.func, scope)
        arguments = self._items(node.args, scope)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict):
                keywords |= {key: inner for key, inner in value.items() if isinstance(key, str)}
        if isinstance(node.func, ast.Name) and node.func.id in ("globals", "locals", "vars") and not arguments:
            return scope.module.names if node.func.id == "globals" else scope.names
        if isinstance(node.func, ast.Name) and node.func.id == "__import__":
            keywords["importer"] = scope.module
        return self.call(function, arguments, keywords)

    def _items(self, nodes: Iterable[ast.expr], scope: Scope) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                value = self.value(node.value, scope)
                found += list(value) if isinstance(value, list | tuple | set | dict) else [UNKNOWN]
            else:
                found.append(self.value(node, scope))
        return found

    def _list(self, node: ast.List, scope: Scope) -> Any:
        return self._items(node.elts, scope)

    def _tuple(self, node: ast.Tuple, scope: Scope) -> Any:
        return tuple(self._items(node.elts, scope))

    def _set(self, node: ast.Set, scope: Scope) -> Any:
        items = self._items(node.elts, scope)
        return set(items) if all(map(is_hashable, items)) else UNKNOWN

    def _dict(self, node: ast.Dict, scope: Scope) -> Any:
        found: dict[Any, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.value(value_node, scope)
            if key_node is None:
                if not isinstance(value, dict):
                    return UNKNOWN
                found |= value
                continue
            key = self.value(key_node, scope)
            if not is_hashable(key):
                return UNKNOWN
            found[key] = value
        return found

    def _joinedstr(self, node: ast.JoinedStr, scope: Scope) -> Any:
        parts = [self.value(value, scope) for value in node.values]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else UNKNOWN

    def _formattedvalue(self, node: ast.FormattedValue, scope: Scope) -> Any:
        value, spec = self.value(node.value, scope), self.value(node.format_spec, scope)
        if not is_known(value) or spec not in (None, "") or isinstance(value, list | dict | set | tuple):
            return UNKNOWN
        return repr(value) if node.conversion in (ord("r"), ord("a")) else str(value)

    def _binop(self, node: ast.BinOp, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return self.binary(type(node.op), left, right)

    def binary(self, kind: type[ast.operator], left: Any, right: Any) -> Any:
        """``left kind right``."""
        if kind is ast.Add and isinstance(left, list) and isinstance(right, list):
            doubtful = isinstance(left, Doubtful) or isinstance(right, Doubtful)
            return Doubtful([*left, *right]) if doubtful else left + right
        if not (is_known(left) and is_known(right)):
            return UNKNOWN
        if kind is ast.Div and (isinstance(left, PurePosixPath) or isinstance(right, PurePosixPath)):
            return _guarded(operator.truediv, left, right)
        if kind is ast.Mod and isinstance(left, str):
            return _guarded(operator.mod, left, right) if not any(char.isdigit() for char in left) else UNKNOWN
        if kind in (ast.Mult, ast.Mod):
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            return _guarded(operator.mul if kind is ast.Mult else operator.mod, left, right) if numbers else UNKNOWN
        return _guarded(_BINARY[kind], left, right) if kind in _BINARY else UNKNOWN

    def _unaryop(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self.value(node.operand, scope)
        if isinstance(node.op, ast.Not):
            truth = self.truth(value)
            return UNKNOWN if truth is None else not truth
        if not isinstance(value, int | float):
            return UNKNOWN
        if isinstance(node.op, ast.USub):
            return -value
        return ~value if isinstance(node.op, ast.Invert) and isinstance(value, int) else value

    def _boolop(self, node: ast.BoolOp, scope: Scope) -> Any:
        ends_with = isinstance(node.op, ast.Or)
        before = self.doubt
        result: Any = UNKNOWN
        try:
            for operand in node.values:
                value = self.value(operand, scope)
                truth = self.truth(value)
                if truth is ends_with:
                    return value if self.doubt == before else UNKNOWN
                if truth is None:
                    self.doubt += 1  # whether the others are asked for is not known
                result = value
        finally:
            changed, self.doubt = self.doubt != before, before
        return UNKNOWN if changed else result

    def _compare(self, node: ast.Compare, scope: Scope) -> Any:
        left = self.value(node.left, scope)
        result: Any = True
        for kind, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node, scope)
            result = _compared(kind, left, right)
            if isinstance(result, Unknown) or not result:
                return result
            left = right
        return result

    def _ifexp(self, node: ast.IfExp, scope: Scope) -> Any:
        truth = self.truth(self.value(node.test, scope))
        if truth is not None:
            return self.value(node.body if truth else node.orelse, scope)
        with self.perhaps():
            return merged(self.value(node.body, scope), self.value(node.orelse, scope))

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        value, index = self.value(node.value, scope), self.value(node.slice, scope)
        if isinstance(value, ModuleValue | Native | Unknown):
            return self.attribute(value, index) if isinstance(index, str) else UNKNOWN
        if not isinstance(value, dict | list | tuple | str | bytes) or isinstance(value, Doubtful):
            return UNKNOWN
        if isinstance(index, Unknown) or not (isinstance(index, slice) or is_hashable(index)):
            return UNKNOWN
        try:
            return value[index]
        except (LookupError, TypeError) as error:
            if isinstance(value, dict) and type(value) is not dict:
                return UNKNOWN  # the environment has more than is known
            raise Raised(type(error), str(error)) from error

    def _slice(self, node: ast.Slice, scope: Scope) -> Any:
        parts = [self.value(bound, scope) for bound in (node.lower, node.upper, node.step)]
        return slice(*parts) if all(part is None or isinstance(part, int) for part in parts) else UNKNOWN

    def _namedexpr(self, node: ast.NamedExpr, scope: Scope) -> Any:
        value = self.value(node.value, scope)
        self.assign(node.target, value, scope)
        return value

    @abstractmethod
    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Bind a target to a value."""

    def _lambda(self, node: ast.Lambda, scope: Scope) -> Any:
        return self.function(node, scope)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> Function:
        """The function that a definition makes."""
        defaults = [self.value(default, scope) for default in node.args.defaults]
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        keywords = {parameter.arg: self.value(default, scope) for parameter, default in pairs if default is not None}
        return Function(node, scope, defaults, keywords)

    # -- comprehensions ----------------------------------------------------------------------------------------------

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Any:
        found: list[Any] = []
        inner = Scope({}, scope.module, scope)
        whole = self._each(node.generators, inner, lambda: found.append(self.value(node.elt, inner)))
        return found if whole else Doubtful(found)

    _generatorexp = _listcomp

    def _setcomp(self, node: ast.SetComp, scope: Scope) -> Any:
        found = self._listcomp(node, scope)
        known = not isinstance(found, Doubtful) and all(map(is_hashable, found))
        return set(found) if known else UNKNOWN

    def _dictcomp(self, node: ast.DictComp, scope: Scope) -> Any:
        found: list[tuple[Any, Any]] = []
        inner = Scope({}, scope.module, scope)
        put = lambda: found.append((self.value(node.key, inner), self.value(node.value, inner)))  # noqa: E731
        whole = self._each(node.generators, inner, put)
        return dict(found) if whole and all(is_hashable(key) for key, _ in found) else UNKNOWN

    def _each(self, generators: Sequence[ast.comprehension], scope: Scope, do: Callable[[], None]) -> bool:
        """Do something for each turn; whether it is known which turns there are."""
        if not generators:
            do()
            return True
        first, rest = generators[0], generators[1:]
        items, whole = self.items_of(self.value(first.iter, scope))
        for element in items:
            self.assign(first.target, element, scope)
            truths = [self.truth(self.value(test, scope)) for test in first.ifs]
            if False in truths:
                continue
            if whole and None not in truths:
                whole &= self._each(rest, scope, do)
            else:
                whole = False
                with self.perhaps():
                    self._each(rest, scope, do)
        return whole

    def items_of(self, value: Any) -> tuple[list[Any], bool]:
        """What a loop goes over, and whether that is all of it."""
        if isinstance(value, Instance) and value.of is not None and value.of.find("__iter__") is not None:
            return self.items_of(self.call(self.attribute(value, "__iter__"), (), {}))
        if isinstance(value, range) and len(value) > 1000:
            return [UNKNOWN], False
        if isinstance(value, list | tuple | set | frozenset | dict | str | range):
            return list(value), not self.is_doubtful(value)
        return [UNKNOWN], False

    def truth(self, value: Any) -> bool | None:
        """Whether a value is true; ``None`` where that is not known."""
        if self.is_doubtful(value):
            return None
        if isinstance(value, PLAIN):
            return bool(value)
        if isinstance(value, Instance):
            special = value.of is not None and any(value.of.find(name) for name in ("__bool__", "__len__"))
            return None if special or value.of is None else True
        return True if isinstance(value, Function | Native | ClassValue | ModuleValue | type) else None

    def method(self, value: Any, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """What a method of a plain value gives."""
        if self.doubt and name in CHANGES:
            self._doubtful[id(value)] = value
        return call_method(value, name, arguments, keywords, doubt=bool(self.doubt))

    def is_doubtful(self, value: Any) -> bool:
        """Whether a list or the like may hold more or less than it seems."""
        return isinstance(value, Doubtful) or id(value) in self._doubtful


def _compared(kind: ast.cmpop, left: Any, right: Any) -> Any:
    if isinstance(kind, ast.Is | ast.IsNot):
        return _is(left, right) if isinstance(kind, ast.Is) else _negated(_is(left, right))
    if isinstance(kind, ast.In | ast.NotIn) and isinstance(right, dict) and type(right) is not dict:
        return UNKNOWN
    if is_known(left) and is_known(right):
        return _guarded(_COMPARE[type(kind)], left, right)
    plain_keys = isinstance(right, dict) and all(map(is_known, right))
    if isinstance(kind, ast.In | ast.NotIn) and plain_keys and is_known(left) and is_hashable(left):
        return (left in right) is isinstance(kind, ast.In)
    return UNKNOWN


def _is(left: Any, right: Any) -> Any:
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return UNKNOWN
    if left is None or right is None or isinstance(left, bool):
        return left is right
    return True if left is right else UNKNOWN


def _negated(value: Any) -> Any:
    return value if isinstance(value, Unknown) else not value


def is_hashable(value: Any) -> bool:
    """Whether a value may be a key, and is known."""
    if isinstance(value, tuple):
        return all(map(is_hashable, value))
    return isinstance(value, str | bytes | int | float | type(None) | frozenset | PurePosixPath)


def _guarded(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """What a function of plain values gives; its exceptions are the code's."""
    try:
        return function(left, right)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise Raised(type(error), str(error)) from error
