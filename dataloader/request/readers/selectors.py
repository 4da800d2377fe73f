"""Selectors of conda's files, ``- cudnn  # [linux64]``, as conda-lock has them: lines for some platforms. Pure."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*-\s.*?\s#\s*\[([a-z0-9_ ]+)\]\s*$")
_ARCHES = {"64": "x86_64", "aarch64": "aarch64", "arm64": "arm64", "ppc64le": "ppc64le", "32": "x86"}


def words_of(platform: str) -> frozenset[str]:
    """Return the words that hold on a platform.

    >>> sorted(words_of("linux-64"))
    ['linux', 'linux64', 'unix', 'x86_64']
    """
    system, _, arch = platform.partition("-")
    words = {system, _ARCHES.get(arch, arch), f"{system}{arch}" if arch in {"64", "32"} else arch}
    return frozenset({*words, *(() if system == "win" else ("unix",))} - {""})


_KNOWN = frozenset(
    {word for s in ("linux", "osx", "win") for a in (*_ARCHES, "s390x", "armv7l") for word in words_of(f"{s}-{a}")}
)


def selected(text: str, platform: str) -> str:
    """Return a file's text with the lines blank that are for other platforms; what is no selector stays.

    >>> selected("- a  # [win]\\\\n- b  # [not win]\\\\n- c  # [sic]\\\\n", "linux-64")
    '\\\\n- b  # [not win]\\\\n- c  # [sic]\\\\n'
    """
    words = words_of(platform)
    lines = text.splitlines(keepends=True)
    return "".join(line if _holds(line, words) else "\n" for line in lines)


def _holds(line: str, words: frozenset[str]) -> bool:
    found = _LINE.match(line)
    if not found:
        return True
    tokens = found[1].split()
    if not tokens or not {t for t in tokens if t not in ("and", "or", "not")} <= _KNOWN:
        return True
    return any(all(_one(part, words) for part in either.split(" and ")) for either in " ".join(tokens).split(" or "))


def _one(part: str, words: frozenset[str]) -> bool:
    plain = part.removeprefix("not ")
    return (plain in words) != (plain != part)
