"""What a matrix row may say: one table of keys per kind of row, and the check of a raw row against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_VERSION = re.compile(r"\d+(\.\d+)*(\.?(post|rc|a|b|dev)\d+)*(\.post\d+)?", re.ASCII)
_CUDA = re.compile(r"\d+(\.\d+)?", re.ASCII)
_CAPABILITY = re.compile(r"\d+\.\d", re.ASCII)
_PYTHON = re.compile(r"3\.\d+", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*", re.ASCII)
_CLAUSE = re.compile(r"(===|==|!=|<=|>=|~=|<|>)\s*[0-9A-Za-z.+!*_-]+", re.ASCII)
_CHANNEL = re.compile(r"pypi|[a-z0-9-]+|conda:[A-Za-z0-9_.-]+", re.ASCII)
_PACKAGE = re.compile(r"(conda:[a-z0-9_.-]+|[a-z0-9][a-z0-9.-]*)", re.ASCII)

Check = Callable[[Any], "str | None"]
"""Returns what is wrong with a value, or None."""


def _matching(pattern: re.Pattern[str], what: str) -> Check:
    sound: set[str] = set()  # rows repeat their channels, Pythons and dates a thousand times

    def check(value: Any) -> str | None:
        if isinstance(value, str):
            if value in sound:
                return None
            if pattern.fullmatch(value):
                sound.add(value)
                return None
        return f"{value!r} is not {what}"

    return check


def _each(check: Check) -> Check:
    def check_all(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"{value!r} is not a list"
        for element in value:
            if problem := check(element):
                return problem
        return None

    return check_all


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else f"{value!r} is not a text"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{value!r} is not true or false"


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _specifier(value: Any) -> str | None:
    if isinstance(value, str) and all(_CLAUSE.fullmatch(clause.strip()) for clause in value.split(",") if value):
        return None
    return f"{value!r} is not a version specifier"


def _requirement(value: Any) -> str | None:
    """``NAME[SPECIFIER]``, ``conda:NAME [SPEC [BUILD]]``."""
    if not isinstance(value, str):
        return f"{value!r} is not a requirement"
    found = _PACKAGE.match(value)
    if not found:
        return f"{value!r} is not a requirement"
    if value.startswith("conda:"):
        return None
    rest = value[found.end() :].strip()
    return _specifier(rest) if rest else None


version = _matching(_VERSION, "a version")
cuda = _matching(_CUDA, "a CUDA version such as 12.1")
capability = _matching(_CAPABILITY, "a compute capability such as 8.6")
python = _matching(_PYTHON, "a Python minor such as 3.11")
name = _matching(_NAME, "a normalised name")


class RowKeys(NamedTuple):
    """The keys of one kind of row, each with its check; ``required`` ones must be there."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]


_COMMON: dict[str, Check] = {
    "id": _matching(_ID, "an identifier"),
    "source": _text,
    "date": _matching(_DATE, "a date such as 2026-11-21"),
}

TABLES: dict[str, RowKeys] = {
    "build": RowKeys(
        {
            **_COMMON,
            "framework": name,
            "version": version,
            "channel": _matching(_CHANNEL, "a channel"),
            "cuda": _optional(cuda),
        },
        {
            "versions": _specifier,
            "package": name,
            "cuda_runs": _specifier,
            "python": _each(python),
            "build": _text,
            "cudnn": version,
            "nccl": version,
            "gcc": version,
            "glibc": version,
            "cxx11_abi": _flag,
            "sm": _each(capability),
            "ptx": _each(capability),
            "driver": version,
            "needs": _each(_requirement),
            "note": _text,
        },
    ),
    "label": RowKeys({**_COMMON, "project": name, "label": _text, "wheels": _text}, {"note": _text}),
    "release": RowKeys(
        {**_COMMON, "framework": name, "version": version, "released": _matching(_DATE, "a date")}, {"note": _text}
    ),
    "toolkit": RowKeys(
        {**_COMMON, "cuda": cuda},
        {
            "driver": version,
            "gcc_max": version,
            "gcc_min": version,
            "clang_max": version,
            "sm": _each(capability),
            "ptx_isa": _matching(_CAPABILITY, "a version such as 9.0"),
            "note": _text,
        },
    ),
    "driver": RowKeys({**_COMMON, "cuda_major": cuda, "driver": version}, {"note": _text}),
    "gpu": RowKeys(
        {**_COMMON, "gpu": _text, "capability": capability}, {"architecture": _text, "segment": _text, "note": _text}
    ),
    "cudnn": RowKeys(
        {**_COMMON, "cudnn": version, "cuda_majors": _each(cuda)},
        {"capability_min": capability, "released": _matching(_DATE, "a date"), "note": _text},
    ),
    "nccl": RowKeys(
        {**_COMMON, "nccl": version, "channel": _text, "package": name, "built_with": _each(cuda)}, {"note": _text}
    ),
    "index": RowKeys({**_COMMON, "name": name, "url": _text, "local": _text, "projects": _each(name)}, {"note": _text}),
    "channel": RowKeys({**_COMMON, "name": name}, {"note": _text}),
    "component": RowKeys({**_COMMON, "cuda": cuda, "wheels": _each(_requirement)}, {"note": _text}),
    "part": RowKeys(
        {**_COMMON, "package": _matching(_PACKAGE, "a package")},
        {"tells": _matching(re.compile("minor|major"), "minor or major"), "cuda": _specifier, "note": _text},
    ),
    "library": RowKeys(
        {
            **_COMMON,
            "axis": _matching(re.compile("cudnn|nccl|gcc|nvcc"), "one of cudnn, nccl, gcc, nvcc"),
            "package": _matching(_PACKAGE, "a package"),
        },
        {"note": _text},
    ),
    "further": RowKeys(
        {**_COMMON, "project": name, "version": version, "place": name, "cuda": _optional(cuda)},
        {"torch": _specifier, "python": _each(python), "released": _matching(_DATE, "a date"), "note": _text},
    ),
    "pair": RowKeys({**_COMMON, "package": name, "other": name, "why": _text}, {"note": _text}),
    "rule": RowKeys(
        {**_COMMON, "why": _text, "then": _each(_requirement)},
        {
            "when": _requirement,
            "requires": _flag,
            "cuda": _specifier,
            "world": _matching(re.compile("pypi|conda"), "a world"),
            "note": _text,
        },
    ),
    "companion": RowKeys(
        {**_COMMON, "project": name, "version": version},
        {
            "torch": _specifier,
            "cuda": _each(cuda),
            "match": _matching(re.compile("major|minor"), "major or minor"),
            "released": _matching(_DATE, "a date"),
            "note": _text,
        },
    ),
}


def check_row(table: str, row: Any) -> list[str]:
    """Return everything that is wrong with one raw row; empty when it is sound."""
    if not isinstance(row, dict):
        return ["a row is not a table of keys"]
    keys = TABLES[table]
    problems = [f"key {key!r} is missing" for key in keys.required if key not in row]
    for key, value in row.items():
        check = keys.required.get(key) or keys.optional.get(key)
        if check is None:
            problems.append(f"unknown key {key!r}")
        elif problem := check(value):
            problems.append(f"{key}: {problem}")
    return problems
