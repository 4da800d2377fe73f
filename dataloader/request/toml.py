"""TOML (and JSON of the same shape) read with its mistakes collected.

Every wrong key is said with its file, line, table and key, all at once.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from dataloader.base.errors import ManifestError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEY = r"""(?:[A-Za-z0-9_\-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[(\[)?\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line that says ``path`` (tables, then a key), or the nearest table around it; ``None`` when there is none.

    >>> line_of('[a]\\nb = 1\\nc = {d = 2}', ("a", "c", "d"))
    3
    >>> line_of('[[a]]\\nb = 1\\n[[a]]\\nb = 2', ("a[1]", "b"))
    4
    """
    table: tuple[str, ...] = ()
    seen: Counter[tuple[str, ...]] = Counter()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = table = _keys(header[2])
            if header[1]:
                table = (*here[:-1], f"{here[-1]}[{seen[here]}]")
                seen[here] += 1
                here = table
        elif assignment := _ASSIGNMENT.match(line):
            here = (*table, *_keys(assignment[1]))
        else:
            continue
        if path[: len(here)] == here and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))


class Document:
    """One parsed file, JSON if its name says so, and the mistakes found in it so far."""

    def __init__(self, text: str, path: Path, *, code: str, kind: str) -> None:
        self.text = text
        self.path = path
        self.code = code
        self.kind = kind
        self._mistakes: list[tuple[int, str]] = []
        self._read: set[tuple[str, ...]] = set()
        self.data = _parse(text, path, code)

    def root(self) -> Table:
        """The whole file as a table."""
        return Table(self, (), self.data)

    def where(self, path: tuple[str, ...]) -> str:
        """``FILE:LINE`` of a key, for messages and for the origin of a value."""
        line = line_of(self.text, path)
        return f"{self.path.name}:{line}" if line else self.path.name

    def mistake(self, path: tuple[str, ...], message: str) -> None:
        """Record one mistake; reading goes on."""
        *table, key = path
        name = f"[{'.'.join(table)}] {key}" if table else key
        self._mistakes.append((line_of(self.text, path) or 0, f"{self.where(path)}: {name}: {message}"))

    def mark(self, path: tuple[str, ...]) -> None:
        """Note that a key was looked at."""
        self._read.add(path)

    def unread(self) -> tuple[tuple[str, ...], ...]:
        """The keys that nobody looked at, in the order of the file; of a table that nobody looked into the table."""
        inner = {path[:depth] for path in self._read for depth in range(len(path))}
        return tuple(self._unread((), self.data, inner))

    def _unread(
        self, path: tuple[str, ...], data: dict[str, Any], inner: set[tuple[str, ...]]
    ) -> Iterator[tuple[str, ...]]:
        for key, value in data.items():
            here = (*path, key)
            if isinstance(value, list) and value and all(isinstance(inner_table, dict) for inner_table in value):
                parts = [((*path, f"{key}[{number}]"), inner_table) for number, inner_table in enumerate(value)]
            else:
                parts = [(here, value)] if isinstance(value, dict) else []
            if inside := [part for part in parts if part[0] in inner]:
                for place, element in inside:
                    yield from self._unread(place, element, inner)
            elif here not in self._read:
                yield here

    def check(self) -> None:
        """Raise ManifestError with all the mistakes, if there are any."""
        if self._mistakes:
            causes = tuple(text for _, text in sorted(self._mistakes))
            raise ManifestError(f"{self.path} cannot be read as a {self.kind}", code=self.code, causes=causes)


def _parse(text: str, path: Path, code: str) -> dict[str, Any]:
    if path.suffix != ".json":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ManifestError(f"{path} is not TOML: {error}", code=code) from error
    import json

    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path} is not JSON: {error}", code=code) from error
    if not isinstance(data, dict):
        raise ManifestError(f"{path} holds no JSON object", code=code)
    return data


class Table:
    """One table of a document. A value of the wrong type is a mistake and reads as missing."""

    def __init__(self, document: Document, path: tuple[str, ...], data: dict[str, Any]) -> None:
        self.document = document
        self.path = path
        self._data = data

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def peek(self, key: str) -> Any:
        """What stands under ``key``, as it is; it does not count as read."""
        return self._data.get(key)

    def raw(self, key: str, default: Any = None) -> Any:
        """What stands under ``key``, as it is; it counts as read."""
        self.document.mark((*self.path, key))
        return self._data.get(key, default)

    def mistake(self, key: str, message: str) -> None:
        """Record a mistake about one key."""
        self.document.mistake((*self.path, key), message)

    def where(self, key: str) -> str:
        """``FILE:LINE`` of a key."""
        return self.document.where((*self.path, key))

    def table(self, key: str) -> Table:
        """The table under ``key``; an empty one when there is none."""
        value = self.raw(key, {})
        if not isinstance(value, dict):
            self.mistake(key, f"expected a table, not {_kind(value)}")
            value = {}
        return Table(self.document, (*self.path, key), value)

    def tables(self, key: str) -> tuple[Table, ...]:
        """The list of tables under ``key``."""
        values = self.items(key)
        for value in values:
            if not isinstance(value, dict):
                self.mistake(key, f"expected a table, not {_kind(value)}")
        return tuple(
            Table(self.document, (*self.path, f"{key}[{number}]"), value)
            for number, value in enumerate(values)
            if isinstance(value, dict)
        )

    def string(self, key: str) -> str | None:
        """The string under ``key``."""
        value = self.raw(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # 12.10 would silently be 12.1.
            self.mistake(key, f'expected a string; write {key} = "{value}"')
            return None
        if value is not None and not isinstance(value, str):
            self.mistake(key, f"expected a string, not {_kind(value)}")
            return None
        return value

    def date(self, key: str) -> str | None:
        """The string under ``key``, or one of the dates that TOML has of its own, as text."""
        value = self.raw(key)
        return value.isoformat() if isinstance(value, date) else self.string(key)

    def boolean(self, key: str) -> bool | None:
        """The boolean under ``key``."""
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            self.mistake(key, f"expected true or false, not {_kind(value)}")
            return None
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """The list of strings under ``key``."""
        return tuple(value for value in self.items(key) if self._is_string(key, value))

    def items(self, key: str) -> tuple[Any, ...]:
        """The list under ``key``, whatever it holds."""
        value = self.raw(key, [])
        if not isinstance(value, list):
            self.mistake(key, f"expected a list, not {_kind(value)}")
            return ()
        return tuple(value)

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        """The string under ``key``, one of ``choices``."""
        value = self.string(key)
        if value is not None and value not in choices:
            self.mistake(key, f"{value!r} is not possible here{_did_you_mean(value, choices)}")
            return None
        return value

    def only(self, known: Collection[str]) -> None:
        """Every key outside ``known`` is a mistake."""
        for key in self._data:
            if key not in known:
                self.mistake(key, f"there is no such key{_did_you_mean(key, known)}")

    def _is_string(self, key: str, value: object) -> bool:
        if not isinstance(value, str):
            self.mistake(key, f"expected a list of strings, found {value!r}")
        return isinstance(value, str)


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(sorted(known))})"


def _kind(value: object) -> str:
    names = {
        dict: "a table",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "a date")
