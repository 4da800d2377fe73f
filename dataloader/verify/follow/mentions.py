"""Whether a source can open a library at all: asked of thousands, so that few are followed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

OPENERS: Final = frozenset({"dlopen", "load_library", "load_op_library", "LoadLibrary", "CDLL", "PyDLL"})
"""What functions are called that open the library that they are given (ctypes, cffi, torch.ops, tensorflow)."""
_FINDER: Final = "pathfinder"
"""``cuda.pathfinder`` opens what it finds."""
_STEMS: Final = (b"DLL", b"ibrary", b"dlopen", _FINDER.encode())
"""Each word has one of them: to look for all seven words in 10 MB of sources takes 30 ms, and for these 20."""
_WORDS: Final = (*(name.encode() for name in OPENERS), _FINDER.encode())


def may_open(source: bytes) -> bool:
    """Whether code opens a library, or hands on what does. ``CDLL(None)`` opens nothing: that is the process itself.

    >>> may_open(b"libc = ctypes.CDLL(None, use_errno=True)"), may_open(b"opener = ctypes.CDLL")
    (False, True)
    """
    if not any(stem in source for stem in _STEMS) or not any(word in source for word in _WORDS):
        return False
    try:
        return any(_opens(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # whoever follows it says so


def _opens(tree: ast.AST) -> Iterator[bool]:
    """For each mention in code, as opposed to annotations and documents, whether it may open something."""
    harmless: set[int] = set()
    for node in ast.walk(tree):  # what is around comes first
        if isinstance(node, ast.Call) and _is_none(node.args):
            harmless.add(id(node.func))
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            harmless.update(map(id, ast.walk(node.annotation)))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            harmless.update(map(id, ast.walk(node.returns)))
        elif isinstance(node, ast.ImportFrom) and _FINDER in (node.module or ""):
            yield True
        elif isinstance(node, ast.alias):
            yield _FINDER in node.name or (node.asname is not None and node.name in OPENERS)
        elif isinstance(node, ast.Attribute | ast.Name | ast.Constant) and id(node) not in harmless:
            yield _is_opener(node)


def _is_opener(node: ast.Attribute | ast.Name | ast.Constant) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value in OPENERS  # for getattr
    name = node.attr if isinstance(node, ast.Attribute) else node.id
    return isinstance(node.ctx, ast.Load) and name in OPENERS


def _is_none(arguments: list[ast.expr]) -> bool:
    return bool(arguments) and isinstance(arguments[0], ast.Constant) and arguments[0].value is None
