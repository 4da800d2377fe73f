"""Links of a page of an index, as both readers of HTML give them."""

from __future__ import annotations

from typing import TypeAlias

Link: TypeAlias = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""href without its fragment, sha256 from the fragment; Requires-Python, yank, upload time, announced METADATA."""


def fragment_hash(fragment: str) -> str | None:
    if len(fragment) == 71 and fragment.startswith("sha256="):
        return fragment[7:].lower()
    for part in fragment.split("&") if "&" in fragment else ():
        if len(part) == 71 and part.startswith("sha256="):
            return part[7:].lower()
    return None
