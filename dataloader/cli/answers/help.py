"""``dataloader help``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand, own_option


@command(example="dataloader help no-solution", takes=("Output",))
def help_about(
    options: CommonOptions,
    word: Annotated[str, Operand("WORD", "A command, or the code of an error: no-solution, say.")] = "",
    schema: Annotated[
        bool, own_option("--schema", about="Write the JSON Schema of what the command writes with --json.")
    ] = False,
) -> int:
    """Explain a command, or an error by its code; without a word, list the commands."""
    from dataloader.cli.commands import COMMANDS
    from dataloader.cli.line.grammar import page_of
    from dataloader.cli.stages.session import open_session

    with open_session(options) as session:
        if schema:
            text = json.dumps(schema_of(word), indent=1, ensure_ascii=False) + "\n"
            sys.stdout.write(text)
            return 0
        if not word or word in COMMANDS:
            text = shown = page_of(word)
        else:
            pages = error_pages()
            if word not in pages:
                raise _unknown(word, [*COMMANDS, *pages])
            text, shown = pages[word], unwrapped(pages[word])
        document = {"status": "ok", "about": word or None, "text": text}
        session.write(document, shown, fold=True)
    return 0


def schema_of(word: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's document, or of ``error``; of all of them, for the empty word.

    Raises:
        UsageError: ``usage``; the command writes none.
    """
    schema: dict[str, Any] = json.loads(_page("schemas/v1.json").read_text(encoding="utf-8"))
    parts = schema["$defs"]
    if not word:
        return schema
    if word not in parts:
        raise UsageError(
            f"{word} writes no document",
            causes=(f"schemas there are: {', '.join(sorted(parts))}",),
            suggestions=("`dataloader help --schema` shows all of them",),
        )
    wanted: dict[str, Any] = {}
    todo = [word]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted[name] = parts[name]
            todo += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(parts[name]))
    own = {"anyOf": [{"$ref": f"#/$defs/{word}"}, {"$ref": "#/$defs/error"}]} if word != "error" else parts["error"]
    return {"$schema": schema["$schema"], **own, "$defs": {**wanted, "error": parts["error"]}}


def _page(name: str) -> Path:
    """A file of the documentation, where it is installed with the program, or in the source tree."""
    package = Path(__file__).parents[2]
    installed = package / "_docs" / name
    return installed if installed.is_file() else package.parent / "docs" / name


def error_pages() -> dict[str, str]:
    """Error code -> what is to be known of it, as Markdown; from the page that is installed with the program."""
    page = _page("errors.md")
    parts = re.split(r"^### (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    bodies = (re.split(r"^#{1,2} ", body, maxsplit=1, flags=re.MULTILINE)[0].strip() for body in parts[2::2])
    return {code: f"{code}\n\n{body}\n" for code, body in zip(parts[1::2], bodies, strict=True)}


def unwrapped(page: str) -> str:
    """Return Markdown with each paragraph, and each item of a list, in one line: a terminal has its own width.

    >>> unwrapped("code\\n\\nA sentence\\nof two lines.\\n- item\\n  of two\\n\\n    code stays\\n    as it is\\n")
    'code\\n\\nA sentence of two lines.\\n- item of two\\n\\n    code stays\\n    as it is\\n'
    """
    lines: list[str] = []
    for line in page.split("\n"):
        goes_on = line.strip() and not re.match(r"    |\s*[-*#|] ?|\s*\d+\. ", line)
        if goes_on and lines and lines[-1].strip() and not re.match(r"    |[#|]", lines[-1]):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _unknown(word: str, known: list[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(word, known, n=3)
    return UsageError(
        f"there is no command and no error code {word}",
        suggestions=(*(f"`dataloader help {name}`" for name in near), "`dataloader help` lists the commands"),
    )
