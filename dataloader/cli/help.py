"""``dataloader help``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.command import command
from dataloader.cli.options import CommonOptions, Operand


@command(example="dataloader help no-solution", takes=("Output",))
def help_about(
    options: CommonOptions,
    word: Annotated[str, Operand("WORD", "A command, or the code of an error: no-solution, say.")] = "",
) -> int:
    """Explain a command, or an error by its code; without a word, list the commands."""
    from dataloader.cli.commands import COMMANDS
    from dataloader.cli.grammar import page_of
    from dataloader.cli.session import session

    with session(options) as one:
        if not word or word in COMMANDS:
            text = page_of(word)
        else:
            pages = error_pages()
            if word not in pages:
                raise _unknown(word, [*COMMANDS, *pages])
            text = pages[word]
        one.write({"status": "ok", "about": word or None, "text": text}, text)
    return 0


def error_pages() -> dict[str, str]:
    """Error code -> what is to be known of it, as Markdown; from the page that is installed with the program."""
    package = Path(__file__).parents[1]
    page = package / "_docs" / "errors.md"
    if not page.is_file():
        page = package.parent / "docs" / "errors.md"
    parts = re.split(r"^### (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    bodies = (re.split(r"^#{1,2} ", body, maxsplit=1, flags=re.MULTILINE)[0].strip() for body in parts[2::2])
    return {code: f"{code}\n\n{body}\n" for code, body in zip(parts[1::2], bodies, strict=True)}


def _unknown(word: str, known: list[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(word, known, n=3)
    return UsageError(
        f"there is no command and no error code {word}",
        suggestions=(*(f"`dataloader help {each}`" for each in near), "`dataloader help` lists the commands"),
    )
