"""What conda's activation scripts do to variables, read without running them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from dataloader.prefix.variables import COUNTED

_WORD = r"""("[^"`]*"|'[^']*'|[^\s;&|"'`]*)"""
_ASSIGNMENT = re.compile(rf"\s*(?:export\s+)?([A-Za-z_]\w*)={_WORD}\s*(?:;\s*(?:export\s+\1\s*)?)?(?:#.*)?")
_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])((?:[^{}]|\$\{[^{}]*\})*))?\})")
_BLOCK = re.compile(r"\s*(?:(?:if|for|while|until|case)\b|\w+\s*\(\))")
_END = re.compile(r"\s*(?:(?:fi|done|esac)\b|\})")


def after_script(text: str, variables: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Variables as a simple shell script leaves them, and the names of those that it sets to what cannot be told.

    Assignments and ``export`` are read, with what they say of other variables; what stands in a condition, a loop or a
    function may happen or not.

    >>> after_script('export LD_LIBRARY_PATH="$P/x${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"', {"P": "/e"})
    ({'P': '/e', 'LD_LIBRARY_PATH': '/e/x'}, frozenset())
    """
    known, depth = dict(variables), 0
    unknown: set[str] = set()
    for line in text.replace("\\\n", " ").splitlines():
        if _END.match(line):
            depth = max(0, depth - 1)
        elif _BLOCK.match(line) and not re.search(r";\s*(fi|done|esac)\b", line):
            depth += 1
        found = _ASSIGNMENT.fullmatch(line)
        if found is None:
            unknown.update(name for name in COUNTED if re.search(rf"\b{name}\b\+?=|\bunset\b.*\b{name}\b", line))
            continue
        name, value = found[1], _value(found[2], known)
        if value is None or depth:
            unknown.add(name)
        else:
            unknown.discard(name)
            known[name] = value
    return known, frozenset(unknown)


def _value(text: str, known: Mapping[str, str]) -> str | None:
    """What a word of the shell comes to; ``None`` where that is not known."""
    if text[:1] == "'":
        return text[1:-1]
    text = text.strip('"')
    if "$(" in text or "`" in text:
        return None
    for _ in range(4):  # a reference within another one
        text, count = _REFERENCE.subn(lambda match: _referred(match, known), text)
        if not count:
            break
    return None if "$" in text else text


def _referred(match: re.Match[str], known: Mapping[str, str]) -> str:
    value, kind, other = known.get(match[1] or match[2], ""), match[3] or "", match[4] or ""
    if "+" in kind:
        return other if value else ""
    return value or (other if "-" in kind else "")


def scripts_of(prefix: str) -> Iterator[tuple[str, str]]:
    """Path and text of conda's activation scripts, in the order in which they are sourced."""
    folder = f"{prefix}/etc/conda/activate.d"
    try:
        names: Iterable[str] = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return
    for name in names:
        if name.endswith(".sh"):
            try:
                with open(f"{folder}/{name}", encoding="utf-8", errors="replace") as file:
                    yield f"{folder}/{name}", file.read(1 << 16)
            except OSError:
                continue
