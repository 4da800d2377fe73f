"""Follows the import of modules: finds them as Python does, goes through their sources, and tells what they open."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from dataloader.verify.follow.mentions import OPENERS
from dataloader.verify.follow.methods import has_method
from dataloader.verify.follow.statements import Frame, Statements
from dataloader.verify.follow.surroundings import ParsedSource, Surroundings
from dataloader.verify.follow.values import (
    PLAIN,
    UNKNOWN,
    ClassValue,
    Doubtful,
    FileValue,
    Function,
    Instance,
    ModuleValue,
    Native,
    Raised,
    Return,
    Scope,
    TooMuch,
    Unknown,
    merged,
    text_of,
)

_MODULES: Final = 400
"""Modules that are followed for one import."""
_DEPTH: Final = 40
"""Calls within calls."""
_SOURCE: Final = 6 << 20
"""Bytes of sources that are followed for one import."""
_NEVER_CALL: Final = frozenset({"atexit.register", "weakref.finalize", "signal.signal", "os.register_at_fork"})
RTLD_GLOBAL: Final = 0x100

Library = Mapping[str, Mapping[str, Any]]
"""Module of Python's own library -> what it has."""


class Follower(Statements):
    """Follows imports in one process; a module that was imported is not again."""

    def __init__(self, around: Surroundings, library: Callable[[Surroundings], Library], names: Mapping[str, Any]):
        """``library`` and ``names``: Python's own modules and builtins, as far as they matter."""
        super().__init__()
        self.around = around
        self.modules: dict[str, ModuleValue] = {}
        self.path: list[Any] = list(around.sites)
        self.open_flags = 2
        self._library, self._names = {**library(around)}, names
        self._library["sys"] = {**self._library["sys"], "path": self.path}
        self._read = 0
        self.where: list[str] = []
        """Files that are being followed, the last one now."""

    # -- modules -----------------------------------------------------------------------------------------------------

    def import_module(self, name: str) -> Any:
        """The module of an absolute dotted name, imported with what is above it."""
        parent: ModuleValue | None = None
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            whole = ".".join(parts[:length])
            module = self.modules.get(whole)
            if module is None:
                found = self._import_one(whole, parent)
                if not isinstance(found, ModuleValue):
                    return Unknown(name)
                module = found
                if parent is not None:
                    parent.names.setdefault(parts[length - 1], module)
            parent = module
        return parent

    def _import_one(self, name: str, parent: ModuleValue | None) -> Any:
        if name in self._library:
            module = self.modules[name] = ModuleValue(name, None, dict(self._library[name]))
            return module
        top = name.partition(".")[0]
        if top in _STANDARD or (parent is not None and parent.path is None and not parent.folders):
            return Unknown(name)
        found = self.find(parent, name.rpartition(".")[2])
        if found is None:
            if self.doubt or len(self.path) > len(self.around.sites) or (parent is not None and not parent.followed):
                return Unknown(name)
            raise Raised(ModuleNotFoundError, f"No module named {name!r}")
        return self._load(name, *found)

    def _find(self, folders: Sequence[str], last: str) -> tuple[str | None, list[str]] | None:
        """File of a module, and where its submodules are; importlib's order: package, extension, source, namespace."""
        namespace: list[str] = []
        for folder in folders:
            names = self.around.listing(folder) or ()
            if last in names and (inside := self.around.listing(f"{folder}/{last}")) is not None:
                if init := self._source_or_extension("__init__", inside):
                    return f"{folder}/{last}/{init}", [f"{folder}/{last}"]
                namespace.append(f"{folder}/{last}")
            if file := self._source_or_extension(last, names):
                return f"{folder}/{file}", []
        return (None, namespace) if namespace else None

    def find(self, parent: ModuleValue | None, last: str) -> tuple[str | None, list[str]] | None:
        """File of a module below another one or on the search path, and where its submodules are."""
        folders = parent.folders if parent is not None else [folder for folder in map(text_of, self.path) if folder]
        return self._find(folders, last)

    def load_file(self, name: str, path: str) -> Any:
        """The module of a file, wherever it is."""
        return self.modules.get(name) or self._load(name, path, [])

    def _source_or_extension(self, stem: str, names: Sequence[str]) -> str | None:
        libraries = [n for n in names if n.startswith(f"{stem}.") and n.endswith(".so")]
        libraries = [n for n in libraries if n.count(".") <= 2 and self.around.takes_extension(n)]
        if libraries:
            return max(libraries, key=lambda library: ("cpython" in library, "abi3" in library))
        return f"{stem}.py" if f"{stem}.py" in names else None

    def _load(self, name: str, path: str | None, folders: list[str]) -> ModuleValue:
        """The module of a file; it is known by its name while it is being imported, as in Python."""
        module = self.modules[name] = ModuleValue(name, path, folders=folders)
        package = name if folders else name.rpartition(".")[0]
        module.names |= {"__name__": name, "__package__": package, "__doc__": None, "__spec__": UNKNOWN}
        if folders:
            module.names["__path__"] = list(folders)
        if path is None:
            module.followed = True
            return module
        module.names["__file__"] = path
        try:
            if path.endswith(".so"):
                self._import_extension(path)
            elif self.around.follows(path):
                self._follow(module, path)
            else:
                for brought in self.around.bring(path, certain=not self.doubt):
                    self._import_beside(brought)
        except Raised:
            self.modules.pop(name, None)
            raise
        return module

    def _import_beside(self, name: str) -> None:
        """Import what another module brings; if it fails, so does whoever imports it plainly."""
        try:
            self.import_module(name)
        except Raised:
            return

    def _import_extension(self, path: str) -> None:
        everywhere = bool(self.open_flags & RTLD_GLOBAL)
        loads = self.around.import_extension(path, certain=not self.doubt, everywhere=everywhere)
        if loads is False:
            raise Raised(ImportError, path)
        self.unsure += loads is None

    def _follow(self, module: ModuleValue, path: str) -> None:
        source = self._source(path)
        self._read += source.size
        if len(self.modules) > _MODULES or self._read > _SOURCE:
            raise TooMuch("its import does more than is followed")
        tree = source.tree
        if tree is None:
            self.around.open_unknown(f"{path} cannot be parsed")
            return
        module.followed, module.opens = True, source.opens
        self.frames.append(Frame(doubt=self.doubt))
        self.where.append(path)
        try:
            self.block(tree.body, Scope(module.names, module))
        except Return:
            return
        finally:
            self.where.pop()
            self.doubt = self.frames.pop().doubt

    def _source(self, path: str) -> ParsedSource:
        known = self.around.parsed.get(path)
        if known is None:
            text = self.around.text(path) or ""
            try:
                tree: ast.Module | None = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                tree = None
            known = ParsedSource(tree, len(text), any(word in text for word in _OPENING))
            self.around.parsed[path] = known
        return known

    def import_from(self, module: Any, name: str) -> Any:
        """What ``from module import name`` binds."""
        if not isinstance(module, ModuleValue):
            return Unknown(f"{module.what}.{name}" if isinstance(module, Unknown) else name)
        if name in module.names:
            return module.names[name]
        if module.folders:
            found = self._find(module.folders, name)
            if found is not None and f"{module.name}.{name}" not in self._library:
                return self.import_module(f"{module.name}.{name}")
        return self.attribute(module, name)

    # -- names and attributes ----------------------------------------------------------------------------------------

    def builtin(self, name: str) -> Any:
        """A name that no scope has."""
        if name in self._names:
            return self._names[name]
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind
        return Unknown(name)

    def attribute(self, value: Any, name: str) -> Any:
        """An attribute of a value."""
        if isinstance(value, Unknown):
            return Unknown(f"{value.what}.{name}" if value.what else name)
        if isinstance(value, ModuleValue):
            return self._of_module(value, name)
        if isinstance(value, Instance):
            return self._of_instance(value, name)
        if isinstance(value, ClassValue):
            found = value.find(name)
            if isinstance(found, Function) and found.kind == "classmethod":
                return _bound(found, value)
            return UNKNOWN if found is None else found
        if isinstance(value, PLAIN) and has_method(value, name):
            return Native(name, lambda _, arguments, keywords: self.method(value, name, arguments, keywords))
        own = self._library[""].get(name) if isinstance(value, PurePosixPath) else None
        if isinstance(own, Native):
            return Native(name, lambda follower, arguments, keywords: own.call(follower, (value, *arguments), keywords))
        if isinstance(value, PurePosixPath) and name in _PATH_PARTS:
            part = getattr(value, name)
            return list(part) if name == "parents" else part
        if isinstance(value, PurePosixPath) and name == "path":
            return str(value)  # what os.scandir gives
        if isinstance(value, FileValue) and name == "read":
            text = self.around.text(value.path)
            return Native(name, lambda *_: UNKNOWN if text is None else text)
        if isinstance(value, tuple) and hasattr(value, "_fields") and name in value._fields:
            return getattr(value, name)
        return Unknown(name)

    def _of_module(self, module: ModuleValue, name: str) -> Any:
        if name in module.names:
            return module.names[name]
        whole = f"{module.name}.{name}"
        if whole in self.modules or whole in self._library:
            return self.import_module(whole)
        hook = module.names.get("__getattr__")
        if isinstance(hook, Function):
            return self.call(hook, (name,), {})
        return Unknown(whole)

    def _of_instance(self, value: Instance, name: str) -> Any:
        if name in value.names:
            return value.names[name]
        found = value.of.find(name) if value.of is not None else None
        if isinstance(found, Function) and found.kind != "staticmethod":
            bound = _bound(found, value.of if found.kind == "classmethod" else value)
            return self.call(bound, (), {}) if found.kind == "property" else bound
        return Unknown(name) if found is None else found

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """What a call gives."""
        if isinstance(function, Native):
            return function.call(self, arguments, keywords)
        if isinstance(function, Function):
            return self._call_function(function, arguments, keywords)
        if isinstance(function, ClassValue):
            instance = Instance(function)
            begin = function.find("__init__")
            if isinstance(begin, Function):
                self._call_function(_bound(begin, instance), arguments, keywords)
            return instance
        if isinstance(function, Instance) and function.of is not None:
            called = function.of.find("__call__")
            return self._call_function(_bound(called, function), arguments, keywords) if called else UNKNOWN
        if isinstance(function, type):
            return Raised(function, str(arguments[0]) if arguments and isinstance(arguments[0], str) else "")
        return self._call_unknown(function, arguments, keywords)

    def _call_unknown(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        what = function.what if isinstance(function, Unknown) else ""
        if what.rpartition(".")[2] in OPENERS:
            return self.open(arguments[0] if arguments else keywords.get("name", UNKNOWN), *arguments[1:2], **keywords)
        if what not in _NEVER_CALL:
            for argument in (*arguments, *keywords.values()):
                # Whoever it is handed to may call it.
                if isinstance(argument, Function) and not isinstance(argument.node, ast.Lambda):
                    with self.perhaps():
                        self._call_perhaps(argument)
        return Unknown(f"{what}()" if what else "")

    def _call_perhaps(self, function: Function) -> None:
        try:
            self._call_function(function, [UNKNOWN] * len(function.node.args.args), {})
        except Raised:
            return

    def _call_function(self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        if len(self.frames) > _DEPTH or (self.doubt and not function.scope.module.opens):
            return UNKNOWN  # too deep, or perhaps, and it opens nothing
        node = function.node
        scope = Scope(_bind(function, [*function.bound, *arguments], keywords), function.scope.module, function.scope)
        if isinstance(node, ast.Lambda):
            return self.value(node.body, scope)
        frame = Frame(doubt=self.doubt, yielded=[] if _is_generator(node) else None)
        self.frames.append(frame)
        result: Any = None
        self.where.append(function.scope.module.path or "")
        try:
            self.block(node.body, scope)
        except Return as leave:
            result = leave.value
        finally:
            self.frames.pop()
            self.where.pop()
            whole, self.doubt = self.doubt == frame.doubt, frame.doubt
        if frame.yielded is not None:
            return frame.yielded if whole else Doubtful(frame.yielded)
        for returned in frame.returned:
            result = merged(returned, result)
        return result

    # -- what code opens ---------------------------------------------------------------------------------------------

    def open(self, name: Any, mode: Any = 0, **keywords: Any) -> Any:
        """``ctypes.CDLL(name, mode)``: what is opened, or an OSError of the code."""
        mode = keywords.get("mode", mode)
        if name is None:
            return Unknown("library")  # the process itself
        path = text_of(name)
        if path is None:
            self.around.open_unknown(self.where[-1] if self.where else "")
            self.unsure += 1
            return Unknown("library")
        everywhere = isinstance(mode, int) and bool(mode & RTLD_GLOBAL)
        loads = self.around.open(path, certain=not self.doubt, everywhere=everywhere)
        if loads is False:
            raise Raised(OSError, path)
        self.unsure += loads is None
        return Instance(names={"_name": path})


_OPENING: Final = (*OPENERS, "pathfinder", "setdlopenflags", "import_module", "spec_from_file_location")
"""Words without which a module opens nothing by name."""
_STANDARD: Final = sys.stdlib_module_names
_PATH_PARTS: Final = frozenset({"parent", "parents", "name", "stem", "suffix", "suffixes", "parts"})


def _bound(function: Function, value: Any) -> Function:
    return Function(
        function.node, function.scope, function.defaults, function.keyword_defaults, (value,), kind=function.kind
    )


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    pending: list[ast.AST] = list(node.body)
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(inner)
    return False


def _bind(function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters -> values; one that is not given and has no default is unknown."""
    asked = function.node.args
    positional = [parameter.arg for parameter in (*asked.posonlyargs, *asked.args)]
    bound: dict[str, Any] = dict.fromkeys(positional, UNKNOWN)
    bound |= dict(zip(positional[len(positional) - len(function.defaults) :], function.defaults, strict=True))
    bound |= dict.fromkeys((parameter.arg for parameter in asked.kwonlyargs), UNKNOWN) | dict(function.keyword_defaults)
    bound |= dict(zip(positional, arguments, strict=False))
    rest = {name: value for name, value in keywords.items() if name not in bound}
    bound |= {name: value for name, value in keywords.items() if name in bound}
    if asked.vararg:
        bound[asked.vararg.arg] = tuple(arguments[len(positional) :])
    if asked.kwarg:
        bound[asked.kwarg.arg] = rest
    return bound
