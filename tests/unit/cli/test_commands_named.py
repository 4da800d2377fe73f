"""Every command that a message, a finding or a page names can be typed: the real grammar reads it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.line.grammar import _PARSING_ERROR, build

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILLED = "x1"
"""Stands for what a message fills in."""
_OPERATORS = re.compile(r"[();<>|&]+")


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a module that are said, with FILLED for what is filled in; no docstrings."""
    tree = ast.parse(path.read_text())
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(node.value)
        if isinstance(node, ast.JoinedStr):
            silent.update(ast.walk(node))
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else FILLED for v in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            yield node.value


def commands_in(text: str) -> Iterator[str]:
    """What a text says of our command lines: in backticks, or the whole of it."""
    yield from re.findall(r"`(dataloader [^`]*)`", text)
    if text.startswith("dataloader ") and "\n" not in text:
        yield text.partition("  #")[0]
    yield from re.findall(r"Example: (dataloader .*)", text)


def commands_of(page: str) -> Iterator[str]:
    """What a page shows of our command lines: in backticks, and the lines of its examples."""
    yield from re.findall(r"`(dataloader [^`]*)`", page)
    joined = page.replace("\\\n", " ")
    for line in re.findall(r"^(?:    |)(?:\$ |RUN |- run: |)(dataloader .*)$", joined, re.MULTILINE):
        yield re.split(r"  +\S| [|>&]+ | 2>", line)[0]


def read(line: str) -> str | None:
    """What is wrong with a command line; None for nothing."""
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    if any(_OPERATORS.fullmatch(word) for word in words):
        return "a shell reads an operator in it"
    name, rest = shlex.split(line)[1], shlex.split(line)[2:]
    if name.startswith("-"):
        return None if name in {"--help", "--version"} else f"there is no {name}"
    names = list(COMMANDS) if name == FILLED else [name]
    if not set(names) <= COMMANDS.keys():
        return f"there is no command {name}"
    mistakes = [mistake for each in names if (mistake := _by_grammar(each, rest))]
    return None if len(mistakes) < len(names) else mistakes[0]


def _by_grammar(name: str, rest: list[str]) -> str | None:
    if not rest or "..." in rest:
        return None  # the command is meant, not a line
    try:
        made = load(name)._replace(run=lambda _values, _typed: 0)
        build(name, made)(args=rest, prog_name="dataloader", standalone_mode=False)
    except _PARSING_ERROR as error:
        return str(error.format_message())  # type: ignore[attr-defined]
    return None


MODULES = sorted((ROOT / "dataloader").rglob("*.py"))


def test_every_command_that_is_advised_can_be_typed() -> None:
    found = {(path, line) for path in MODULES for text in texts_of(path) for line in commands_in(text)}
    wrong = [f"{path.relative_to(ROOT)}: {line}: {why}" for path, line in sorted(found) if (why := read(line))]

    assert len(found) > 40
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    lines = list(commands_of(page.read_text()))
    wrong = [f"{line}: {why}" for line in lines if (why := read(line.replace("COMMAND", FILLED)))]

    assert wrong == []


FOREIGN = {
    "build/compilers.py": "nvcc's",
    "build/git.py": "git's",
    "request/readers/requirements_txt.py": "of requirement files, which are pip's",
    "cli/clusters/data_loader.py": "the Dataset loader's own",
    "cli/shells/shell.py": "bash's",
    "dataset/": "the Dataset loader's own",
    "export/": "of the files that are written, and of style sheets",
    "formats/content.py": "--export is of conda list",
    "locking/answer.py": "--generate-hashes and --require-hashes are pip-compile's and pip's",
    "machine/detect.py": "nvidia-smi's",
    "prefix/activate.py": "bash's",
    "request/public.py": "--trusted-host is pip's",
    "verify/checks/loads.py": "patchelf's",
    "verify/fixes.py": "of pip, uv, conda and pixi, which own the environments that they made",
}
"""Modules that name options of other programs, and whose."""


def test_every_option_that_is_named_is_one() -> None:
    known = {word for name in COMMANDS for p in load(name).parameters for n in p.names for word in n.split("/")}
    wrong = [
        (str(path.relative_to(ROOT)), option)
        for path in MODULES
        if not any(path.relative_to(ROOT / "dataloader").as_posix().startswith(place) for place in FOREIGN)
        for text in texts_of(path)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
        if option not in {*known, "--help", "--version"}
    ]

    assert wrong == []


def test_every_variable_that_is_named_is_one() -> None:
    of_options = {variable for name in COMMANDS for p in load(name).parameters for variable in p.variables}
    of_settings = {
        f"DATALOADER_{name}"
        for name in ("CACHE_DIR", "INDEX_USERNAME", "INDEX_PASSWORD", "CERT", "NO_INDEX", "TRUSTED_HOST")
    } | {f"DATALOADER_BUILD_{name}" for name in ("TIMEOUT", "MEMORY", "JOBS", "REGISTRY")}
    texts = [path.read_text() for path in [*PAGES, *MODULES] if path.exists()]

    named = {name for text in texts for name in re.findall(r"(?<!_)DATALOADER_[A-Z][A-Z_]*[A-Z]", text)}

    assert named - of_options - of_settings == set()
