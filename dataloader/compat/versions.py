"""Order and ranges of the plain versions that matrix rows use: release numbers and post-releases.

``packaging`` knows all of PEP 440 but costs 25 ms to import, a sixth of what ``dataloader plan`` may take; the schema
holds matrix rows to the plain subset, and what else a person may ask for (a pre-release) is left to ``packaging``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

_PLAIN = re.compile(r"v?(\d+(?:\.\d+)*)(?:\.?post(\d+))?(?:\+[0-9A-Za-z.]+)?", re.ASCII)
_CLAUSE = re.compile(r"(==|!=|<=|>=|~=|<|>)\s*(\d+(?:\.\d+)*(?:\.?post\d+)?)(\.\*)?", re.ASCII)

_RELEASE = re.compile(r"\d+(?:\.\d+)*", re.ASCII)

Key = tuple[tuple[int, ...], int]


@lru_cache(maxsize=4096)
def key(version: str) -> Key:
    """Return a sort key; the local label does not count and trailing zeros are equal to none.

    >>> key("12.1") == key("12.1.0"), key("2.15.0.post1") > key("2.15.0"), key("9.10") > key("9.9")
    (True, True, True)

    Raises:
        ValueError: The version is not plain.
    """
    found = _PLAIN.fullmatch(version.strip())
    if not found:
        raise ValueError(f"{version!r} is not a release version")
    numbers = tuple(int(part) for part in found[1].split("."))
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers, int(found[2]) if found[2] else -1


def release(version: str) -> tuple[int, ...]:
    """Return the release numbers as written, zeros and all: ``(2, 1, 0)``."""
    found = _PLAIN.fullmatch(version.strip())
    if not found:
        raise ValueError(f"{version!r} is not a release version")
    return tuple(int(part) for part in found[1].split("."))


def near(text: str) -> str:
    """Return the release that a wish is about, for judging nearness: its first number, without pre-release or operator.

    >>> near(">=2.1,<3"), near("2.6.0rc1"), near("12.*"), near("")
    ('2.1', '2.6.0', '12', '0')
    """
    found = _RELEASE.search(text)
    return found[0] if found else "0"


@lru_cache(maxsize=8192)
def admits(specifier: str, version: str) -> bool:
    """Return whether a PEP 440 specifier set contains a version; the empty set of clauses contains all.

    >>> admits(">=11.2,<12", "11.8"), admits("==2.1.*", "2.10.0"), admits("~=12.0", "12.9"), admits("", "1")
    (True, False, True, True)
    """
    clauses = [clause.strip() for clause in specifier.split(",") if clause.strip()]
    try:
        return all(_admits_clause(clause, version) for clause in clauses)
    except ValueError:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(specifier).contains(version, prereleases=True)


def _admits_clause(clause: str, version: str) -> bool:
    compared, bound, star = _parsed(clause)
    if star or compared == "~=":
        prefix = release(bound) if star else release(bound)[:-1]
        inside = _begins(version, prefix)
        if compared == "~=":
            return inside and key(version) >= key(bound)
        return inside if compared == "==" else not inside
    return _COMPARED[compared](key(version), key(bound))


@lru_cache(maxsize=1024)
def _parsed(clause: str) -> tuple[str, str, bool]:
    found = _CLAUSE.fullmatch(clause)
    if not found:
        raise ValueError(f"{clause!r} is not a plain clause")
    return found[1], found[2], bool(found[3])


_COMPARED: Mapping[str, Callable[[Key, Key], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    # PEP 440: >V does not admit a post-release of V.
    ">": lambda mine, theirs: mine > theirs and (mine[0] != theirs[0] or theirs[1] >= 0),
}


def _begins(version: str, prefix: tuple[int, ...]) -> bool:
    numbers = release(version)
    return (numbers + (0,) * len(prefix))[: len(prefix)] == prefix


def specifier_of(wish: str) -> str:
    """Return the specifier that a version option means: a bare version admits all that begin with it.

    >>> specifier_of("2.1"), specifier_of("2.1.0"), specifier_of(">=2,<3"), specifier_of("")
    ('==2.1.*', '==2.1.0', '>=2,<3', '')
    """
    wish = wish.strip()
    if not wish or wish[0] in "=<>!~":
        return wish
    if wish.endswith(".*") or wish.count(".") >= 2:
        return f"=={wish}"
    return f"=={wish}.*"


def is_wish(text: str) -> bool:
    """Return whether a text is a version, the beginning of one, or a PEP 440 specifier set.

    >>> is_wish("2.1"), is_wish(">=2,<3"), is_wish("2.1.0+cu118"), is_wish("2.*"), is_wish("cu118")
    (True, True, True, True, False)
    """
    text = text.strip()
    if _PLAIN.fullmatch(text.removesuffix(".*")) or all(_CLAUSE.fullmatch(part.strip()) for part in text.split(",")):
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text if text[:1] in "=<>!~" else f"=={text}")
    except InvalidSpecifier:
        return False
    return True


def prefix_of(wish: str) -> str:
    """Return the specifier of a library option: every version that begins so, however many numbers are given.

    >>> prefix_of("8.9.2"), prefix_of("9"), prefix_of(">=8.9")
    ('==8.9.2.*', '==9.*', '>=8.9')
    """
    wish = wish.strip()
    if not wish or wish[0] in "=<>!~":
        return wish
    return f"=={wish.removesuffix('.*')}.*"


def major(version: str) -> str:
    """Return the first number of a version."""
    return version.split(".", 1)[0]


def minor(version: str) -> str:
    """Return the first two numbers of a version.

    >>> minor("12.1.105"), minor("12")
    ('12.1', '12')
    """
    return ".".join(version.split(".")[:2])
