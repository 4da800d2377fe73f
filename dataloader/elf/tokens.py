"""Dynamic string tokens of search paths and sonames (ld.so(8)): ``$ORIGIN``, ``$LIB``, ``$PLATFORM``."""

from __future__ import annotations

from collections.abc import Mapping


def expanded(text: str, tokens: Mapping[str, str]) -> str:
    """Return a path with its tokens replaced, as glibc 2.28 and later do: wherever the name ends.

    >>> expanded("$ORIGIN/../${LIB}:$ORIGINS", {"ORIGIN": "/a", "LIB": "lib64"})
    '/a/../lib64:/aS'
    """
    if "$" in text:
        for name, value in tokens.items():
            text = text.replace("${" + name + "}", value).replace("$" + name, value)
    return text
