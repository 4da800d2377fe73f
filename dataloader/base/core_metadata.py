"""The header of METADATA files (core metadata), for all who read one. No I/O."""

from __future__ import annotations

import re

_FIELD_LINE = re.compile(r"[!-9;-~]*:|[\t ]").match


def parse_headers(text: str) -> dict[str, list[str]]:
    """Field name in lower case to values; continued lines joined by a space.

    The header ends where ``email.parser`` (and so pip) ends it: at an empty line, or at one that is no field. A line
    of white space alone continues its field: licence texts are full of them.
    """
    fields: dict[str, list[list[str]]] = {}
    parts: list[str] | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        if not _FIELD_LINE(line):
            break
        if line[0] in " \t":
            if parts:
                parts.append(line.strip())
            continue
        name, _, value = line.partition(":")
        parts = [value.strip()]
        fields.setdefault(name.lower(), []).append(parts)
    # Joined once: a licence may have thousands of lines.
    return {name: [" ".join(lines) for lines in values] for name, values in fields.items()}


def is_version_of(said: str, version: str) -> bool:
    """Say whether METADATA with the version ``said`` is of a wheel whose filename says ``version``.

    >>> is_version_of("2.5.7", "2.5.7"), is_version_of("2.5.7", "2.5.7+cu12torch2.4"), is_version_of("2.5.6", "2.5.7")
    (True, True, False)
    """
    return said in (version, version.partition("+")[0])
