"""One voice: what is said to the user is a sentence in the present tense that ends without a full stop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CODE = Path(__file__).parents[2] / "dataloader"
NAMES = {"Go", "Jupyter", "Python", "Python's", "No"}
"""Words of one capital that a message may begin with: names; click's own "No such option"."""


GATHERED = {"advice", "suggestions", "causes", "ways"}
"""Variables in which what is advised is gathered."""


class Message(NamedTuple):
    where: str
    role: str
    """``error``, ``causes``, ``suggestions``, ``warn``, ``info`` or ``finding``."""
    code: str | None
    text: str
    """With ``{}`` in the place of what is filled in."""


@cache
def trees() -> dict[str, ast.Module]:
    return {str(p.relative_to(CODE)): ast.parse(p.read_text(encoding="utf-8")) for p in sorted(CODE.rglob("*.py"))}


@cache
def errors() -> frozenset[str]:
    """Classes of the error tree, wherever they are defined."""
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"DataloaderError"}
    while more := {name for name, said in bases.items() if said & found} - found:
        found |= more
    return frozenset(found)


def texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may give, as far as they stand in the code."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (first + second for first in texts(node.left) for second in texts(node.right))
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (text for value in node.values for text in texts(value))
    elif isinstance(node, ast.Tuple | ast.List):
        yield from (text for value in node.elts for text in texts(value))
    elif isinstance(node, ast.Starred):
        yield from texts(node.value)
    elif isinstance(node, ast.GeneratorExp | ast.ListComp):
        yield from texts(node.elt)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "tuple" and node.args:
        yield from texts(node.args[0])


def put_into_variables(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Yield ``(role, text, line)`` of what a function puts into a variable and then says as an error's message."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        nodes = list(ast.walk(function))
        said = {
            node.args[0].id
            for node in nodes
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in errors() and node.args
            if isinstance(node.args[0], ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Assign) and said & {ast.unparse(target) for target in node.targets}:
                yield from (("error", text, node.lineno) for text in texts(node.value))


def said_in(tree: ast.Module, where: str) -> Iterator[Message]:
    yield from (Message(f"{where}:{line}", role, None, text) for role, text, line in put_into_variables(tree))
    for node in ast.walk(tree):
        line = f"{where}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)} & GATHERED
            yield from (Message(line, "suggestions", None, text) for _ in names for text in texts(node.value))
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in GATHERED and node.args:
            yield from (Message(line, "suggestions", None, text) for text in texts(node.args[0]))
        called = ast.unparse(node.func).rpartition(".")[2]
        role = "error" if called in errors() else called
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        code = next(texts(keywords["code"]), None) if "code" in keywords else None
        if role in {"error", "warn", "info"} and node.args:
            yield from (Message(line, role, code, text) for text in texts(node.args[0]))
        if called == "Finding" and "message" in keywords:
            yield from (Message(line, "finding", None, text) for text in texts(keywords["message"]))
        for name in ("causes", "suggestions"):
            if name in keywords:
                yield from (Message(line, name, code, text) for text in texts(keywords[name]))


@cache
def messages() -> tuple[Message, ...]:
    return tuple(message for where, tree in trees().items() for message in said_in(tree, where))


def faults(message: Message) -> Iterator[str]:
    """What is wrong with how something is said."""
    text = message.text.strip()
    if text.endswith(".") and not text.endswith("..."):
        yield "it ends with a full stop"
    if re.search(r"[\w}`)]\. [A-Z{`]", text):
        yield "it is several sentences"
    if (word := re.match(r"[A-Z][a-z']*(?=[ ,:;])", text)) and word[0] not in NAMES:
        yield "it begins with a capital"
    if re.search(r"!(?= |$)|\b(please|sorry|oops)\b", text, re.IGNORECASE):
        yield "it is no plain statement"
    if re.search(r"\bwill (be|have|not)\b", text) and message.role in {"error", "warn"}:
        yield "it is in the future tense"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("the lock is gone.", "full stop"),
        ("the lock is gone. Make another", "several"),
        ("The lock is gone", "capital"),
        ("please make a lock", "plain"),
        ("the lock will be gone", "future"),
    ],
)
def test_a_fault_is_seen(text: str, fault: str) -> None:
    assert any(fault in said for said in faults(Message("", "error", None, text)))


@pytest.mark.parametrize(
    "text", ["Python {} is gone", "{} is gone", "wait ...", "torch 2.1. is no version", "ELF is read"]
)
def test_a_plain_statement_has_none(text: str) -> None:
    assert not list(faults(Message("", "error", None, text)))


def test_what_is_put_into_a_variable_first_is_found() -> None:
    code = "def f():\n    message = f'The file {x} is gone.'\n    raise UsageError(message, code='x')\n"

    (found,) = said_in(ast.parse(code), "here.py")

    assert list(faults(found)) == ["it ends with a full stop", "it begins with a capital"]


def test_messages_are_found() -> None:
    roles = [message.role for message in messages()]

    assert min(map(roles.count, ("error", "causes", "suggestions", "warn", "info", "finding"))) >= 25


def test_one_voice() -> None:
    found = [f"{message.where}: {fault}: {message.text}" for message in messages() for fault in faults(message)]

    assert found == []
