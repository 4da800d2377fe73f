"""Statements of followed code, in order; a block that hangs on something unknown happens perhaps."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dataloader.verify.follow.exceptions import Suppress, catches, exception_of
from dataloader.verify.follow.expressions import Expressions, is_hashable
from dataloader.verify.follow.values import (
    PLAIN,
    UNKNOWN,
    Break,
    ClassValue,
    Continue,
    Doubtful,
    Function,
    Instance,
    Leave,
    ModuleValue,
    Raised,
    Return,
    Scope,
    Unknown,
    merged,
)

_TURNS: Final = 200
"""Turns of one loop that are followed."""
_KINDS: Final = frozenset({"property", "staticmethod", "classmethod", "contextmanager"})


@dataclass(slots=True)
class Frame:
    """One module, class body or call that is being followed."""

    doubt: int
    """That of whoever began it."""
    returned: list[Any] = field(default_factory=list)
    """What it returned perhaps."""
    yielded: list[Any] | None = None
    """What it yielded, if it is a generator."""
    left: int = 0
    """How often it was left perhaps."""


class Statements(Expressions):
    """Follows statements."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.unsure = 0
        """How many calls failed or not, which is not known."""
        self._handled: list[Raised] = []

    def block(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Follow statements one after the other."""
        for statement in body:
            self.step()
            method = getattr(self, f"_do_{type(statement).__name__.lower()}", None)
            if method is not None:
                method(statement, scope)

    # -- simple ones -------------------------------------------------------------------------------------------------

    def _do_expr(self, node: ast.Expr, scope: Scope) -> None:
        if isinstance(node.value, ast.Yield | ast.YieldFrom | ast.Await):
            value = self.value(node.value.value, scope)
            if isinstance(node.value, ast.Yield) and self.frames[-1].yielded is not None:
                self.frames[-1].yielded.append(value)
            return
        self.value(node.value, scope)

    def _do_assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.value(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _do_annassign(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value, scope), scope)

    def _do_augassign(self, node: ast.AugAssign, scope: Scope) -> None:
        before = self.value(node.target, scope)
        after = self.value(node.value, scope)
        if isinstance(before, list) and isinstance(node.op, ast.Add):
            self.method(before, "extend", [after], {})
            if isinstance(after, Unknown) or self.is_doubtful(after):
                self._doubtful[id(before)] = before
            return
        self.assign(node.target, self.binary(type(node.op), before, after), scope)

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Bind a target to a value."""
        if isinstance(target, ast.Name):
            where = scope
            if target.id in scope.outer:
                where = (scope.around.find(target.id) if scope.around else None) or scope
                if where is scope:
                    scope.module.names[target.id] = value
                    return
            where.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value, scope)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, scope)
            if isinstance(owner, Instance | ModuleValue | ClassValue):
                owner.names[target.attr] = value
        elif isinstance(target, ast.Subscript):
            owner, index = self.value(target.value, scope), self.value(target.slice, scope)
            if isinstance(owner, dict) and is_hashable(index) and len(owner) < 1 << 14:
                owner[index] = value
            elif isinstance(owner, dict | list):
                self._doubtful[id(owner)] = owner

    def _unpack(self, targets: Sequence[ast.expr], value: Any, scope: Scope) -> None:
        starred = any(isinstance(target, ast.Starred) for target in targets)
        whole = isinstance(value, list | tuple) and not isinstance(value, Doubtful)
        if whole and len(value) == len(targets) and not starred:
            for part, element in zip(targets, value, strict=True):
                self.assign(part, element, scope)
            return
        for part in targets:
            self.assign(part.value if isinstance(part, ast.Starred) else part, UNKNOWN, scope)

    def _do_delete(self, node: ast.Delete, scope: Scope) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name) and not self.doubt:
                scope.names.pop(target.id, None)

    def _do_global(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        scope.outer.update(node.names)

    _do_nonlocal = _do_global

    def _do_assert(self, node: ast.Assert, scope: Scope) -> None:
        if self.truth(self.value(node.test, scope)) is False:
            raise Raised(AssertionError)

    def _do_return(self, node: ast.Return, scope: Scope) -> None:
        raise Return(self.value(node.value, scope))

    def _do_break(self, node: ast.Break, scope: Scope) -> None:
        del node, scope
        raise Break

    def _do_continue(self, node: ast.Continue, scope: Scope) -> None:
        del node, scope
        raise Continue

    def _do_raise(self, node: ast.Raise, scope: Scope) -> None:
        if node.exc is None:
            raise self._handled[-1] if self._handled else Raised(RuntimeError)
        value = self.value(node.exc, scope)
        raise Raised(exception_of(value) or Exception, getattr(value, "message", ""))

    # -- definitions and imports -------------------------------------------------------------------------------------

    def _do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        function = self.function(node, scope)
        for decorator in node.decorator_list:
            name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
            if name in _KINDS:
                function = Function(
                    function.node, function.scope, function.defaults, function.keyword_defaults, kind=name
                )
        scope.names[node.name] = function

    _do_asyncfunctiondef = _do_functiondef

    def _do_classdef(self, node: ast.ClassDef, scope: Scope) -> None:
        inner = Scope({}, scope.module, scope)
        bases = tuple(self.value(base, scope) for base in node.bases)
        self.block(node.body, inner)
        scope.names[node.name] = ClassValue(node.name, inner.names, bases)

    def _do_import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            module = self.import_module(alias.name)
            if alias.asname is None:
                module = self.import_module(alias.name.partition(".")[0])
            scope.names[alias.asname or alias.name.partition(".")[0]] = module

    def _do_importfrom(self, node: ast.ImportFrom, scope: Scope) -> None:
        base = absolute_name(node.module or "", node.level, scope.module)
        module = self.import_module(base)
        for alias in node.names:
            if alias.name != "*":
                scope.names[alias.asname or alias.name] = self.import_from(module, alias.name)
            elif isinstance(module, ModuleValue):
                public = module.names.get("__all__")
                names = public if isinstance(public, list | tuple) else [n for n in module.names if n[:1] != "_"]
                scope.names |= {name: self.import_from(module, name) for name in names if isinstance(name, str)}

    @abstractmethod
    def import_module(self, name: str) -> Any:
        """The module of an absolute dotted name, imported with what is above it."""

    @abstractmethod
    def import_from(self, module: Any, name: str) -> Any:
        """What ``from module import name`` binds."""

    # -- branches ----------------------------------------------------------------------------------------------------

    def _do_if(self, node: ast.If, scope: Scope) -> None:
        truth = self.truth(self.value(node.test, scope))
        if truth is not None:
            self.block(node.body if truth else node.orelse, scope)
        else:
            self._either(node.body, node.orelse, scope)

    def _either(self, first: Sequence[ast.stmt], second: Sequence[ast.stmt], scope: Scope) -> None:
        """One of two blocks, which is not known. One that raises is taken to be the other one."""
        before = dict(scope.names)
        ways: list[tuple[Leave | None, dict[str, Any]]] = []
        for body in (first, second):
            scope.names.clear()
            scope.names.update(before)
            left: Leave | None = None
            with self.perhaps():
                try:
                    self.block(body, scope)
                except Leave as leave:
                    left = leave
            ways.append((left, dict(scope.names)))
        stays = [names for left, names in ways if left is None]
        leaves = [left for left, _ in ways if left is not None and not isinstance(left, Raised)]
        if not stays:
            raise leaves[0] if leaves else next(left for left, _ in ways if left is not None)
        scope.names.clear()
        scope.names.update(_joined(stays, before))
        for left in leaves:
            self._leave_perhaps(left)

    def _leave_perhaps(self, left: Leave) -> None:
        """Whether anything follows in this loop or function is not known from here on."""
        self.doubt += 1
        if isinstance(left, Return):
            self.frames[-1].returned.append(left.value)
            self.frames[-1].left += 1

    def _do_match(self, node: ast.Match, scope: Scope) -> None:
        self.value(node.subject, scope)
        with self.perhaps():
            for case in node.cases:
                try:
                    self.block(case.body, scope)
                except Leave:
                    continue

    # -- loops -------------------------------------------------------------------------------------------------------

    def _do_for(self, node: ast.For, scope: Scope) -> None:
        items, whole = self.items_of(self.value(node.iter, scope))
        if len(items) > _TURNS:
            items, whole = items[:_TURNS], False
        entry, left = self.doubt, self.frames[-1].left
        self.doubt += not whole
        try:
            for element in items:
                self.assign(node.target, element, scope)
                try:
                    self.block(node.body, scope)
                except Continue:
                    continue
                except Break:
                    if not whole:
                        continue
                    return
                except Leave as leave:
                    if whole:
                        raise
                    if not isinstance(leave, Raised):
                        self._leave_perhaps(leave)
            self.block(node.orelse, scope)
        finally:
            self.doubt = entry + self.frames[-1].left - left

    _do_asyncfor = _do_for

    def _do_while(self, node: ast.While, scope: Scope) -> None:
        entry, left = self.doubt, self.frames[-1].left
        try:
            for _ in range(_TURNS):
                truth = self.truth(self.value(node.test, scope))
                if truth is False:
                    self.block(node.orelse, scope)
                    return
                if truth is None:
                    self._either(node.body, (), scope)
                    return
                try:
                    self.block(node.body, scope)
                except Continue:
                    continue
        except (Break, Continue):
            return
        finally:
            self.doubt = entry + self.frames[-1].left - left

    # -- exceptions and contexts -------------------------------------------------------------------------------------

    def _do_try(self, node: ast.Try, scope: Scope) -> None:
        unsure = self.unsure
        try:
            try:
                self.block(node.body, scope)
            except Raised as raised:
                handler = self._handler(node.handlers, raised, scope)
                if handler is None:
                    raise
                self._handle(handler, raised, scope)
            else:
                if self.unsure > unsure and node.handlers:
                    # What was tried fails or not: the first that would take an OSError may run.
                    handler = self._handler(node.handlers, Raised(OSError), scope)
                    self._either(handler.body if handler else (), (), scope)
                self.block(node.orelse, scope)
        finally:
            self.block(node.finalbody, scope)

    _do_trystar = _do_try

    def _handler(self, handlers: Sequence[ast.ExceptHandler], raised: Raised, scope: Scope) -> ast.ExceptHandler | None:
        for handler in handlers:
            wanted = self.value(handler.type, scope)
            kinds = wanted if isinstance(wanted, tuple) else (wanted,)
            if handler.type is None or any(catches(kind, raised.kind) for kind in kinds):
                return handler
        return None

    def _handle(self, handler: ast.ExceptHandler, raised: Raised, scope: Scope) -> None:
        if handler.name:
            scope.names[handler.name] = raised
        self._handled.append(raised)
        try:
            self.block(handler.body, scope)
        finally:
            self._handled.pop()

    def _do_with(self, node: ast.With, scope: Scope) -> None:
        suppressed: list[Any] = []
        for context in node.items:
            value = self.value(context.context_expr, scope)
            if isinstance(value, Suppress):
                suppressed += value.kinds
            if context.optional_vars is not None:
                self.assign(context.optional_vars, self.entered(value), scope)
        try:
            self.block(node.body, scope)
        except Raised as raised:
            if not any(catches(kind, raised.kind) for kind in suppressed):
                raise

    _do_asyncwith = _do_with

    def entered(self, value: Any) -> Any:
        """What ``with value as x`` binds."""
        if isinstance(value, Instance) and value.of is not None and value.of.find("__enter__") is not None:
            return self.call(self.attribute(value, "__enter__"), (), {})
        if isinstance(value, list) and len(value) == 1:
            return value[0]  # what a context manager made of a generator yields
        return value


def absolute_name(name: str, level: int, module: ModuleValue) -> str:
    """What a relative import means in a module."""
    if not level:
        return name
    parts = module.name.split(".")
    parts = parts[: len(parts) - level + bool(module.folders)]
    return ".".join([*parts, name] if name else parts)


def _joined(ways: Sequence[dict[str, Any]], before: dict[str, Any]) -> dict[str, Any]:
    if len(ways) == 1:
        return ways[0]
    first, second = ways
    found: dict[str, Any] = {}
    for name in {**first, **second}:
        if name in first and name in second:
            found[name] = merged(first[name], second[name])
        elif isinstance(value := first.get(name, second.get(name)), PLAIN) and name not in before:
            found[name] = UNKNOWN
        else:
            found[name] = value
    return found
