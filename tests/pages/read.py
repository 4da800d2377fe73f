"""What a page says to type: its blocks, and in pages for doing (README, tutorial, how-tos) its sentences too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
)
DOING = re.compile(r"README\.md|docs/(index|tutorial|howto/.*)\.md")
"""Pages whose sentences tell what to do as well; elsewhere they tell what commands are."""
_PROGRAMS = (
    "dataloader", "data-loader", "buildah", "cd", "eval", "git", "kubectl", "mount", "nox", "pip", "python3?", "sh",
    "skopeo", r"\.ci/run", r"\.venv/bin/\w+",
)  # fmt: skip
_FILES = {"toml", "yaml", "json", "dockerfile"}
"""Languages of blocks that are files."""
_COMMAND = re.compile(rf"(?:\$ |RUN )?(?P<line>(?:{'|'.join(_PROGRAMS)}) .*|\.ci/run)")


class Typed(NamedTuple):
    """One command line of a page."""

    page: str
    line: str


class Block(NamedTuple):
    """Lines that stand apart in a page, and the language that they are said to be of."""

    page: str
    language: str
    lines: tuple[str, ...]


def typed_of(page: str) -> list[Typed]:
    """Return the command lines of a page in their order."""
    found = []
    for part in _parts(page):
        if isinstance(part, Block):
            found += [Typed(page, line) for line in commands_in(part)]
        elif DOING.fullmatch(page):
            spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", part))
            found += [Typed(page, span) for span in spans if re.match(r"(dataloader|git|mount|sh) \S", span)]
    return found


def blocks_of(page: str) -> list[Block]:
    """Return what stands apart in a page."""
    return [part for part in _parts(page) if isinstance(part, Block)]


def commands_in(block: Block) -> list[str]:
    """Return the command lines in a block, if it is of any; one that goes on behind a backslash is one."""
    if block.language in _FILES:
        return []
    joined = re.sub(r"\\\n\s*", "", "\n".join(block.lines)).splitlines()
    return [found["line"] for line in joined if (found := _COMMAND.fullmatch(line))]


def _parts(page: str) -> Iterator[Block | str]:
    """Yield the text of a page and what stands apart in it, in turn."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    text: list[str] = []
    while lines:
        if fence := re.fullmatch(r" *```(\S*)", lines[0]):
            end = next(i for i, line in enumerate(lines) if i and line.strip() == "```")
            block, lines = Block(page, fence[1] or "text", tuple(lines[1:end])), lines[end + 1 :]
        elif lines[0].startswith("    "):
            end = next((i for i, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
            apart = "\n".join(line[4:] for line in lines[:end]).rstrip()
            block, lines = Block(page, "", tuple(apart.splitlines())), lines[end:]
        else:
            text.append(lines.pop(0))
            continue
        yield "\n".join(text)
        yield block
        text = []
    yield "\n".join(text)
