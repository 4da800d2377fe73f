"""The documentation says what the code does: error codes, commands, manifests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml

from dataloader.base import errors
from dataloader.cli.answers.help import schema_of
from dataloader.cli.commands import COMMANDS
from dataloader.formats.content import _UNREAD, LOCKS, MANIFESTS, Form, Unread
from dataloader.loader.model import FailureKind
from dataloader.request.manifests.manifest import parse_manifest
from dataloader.verify.findings import OwnKind

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def error_codes() -> set[str]:
    """Every ``code="..."`` and ``default_code = "..."`` in the package."""
    codes = set()
    for path in (ROOT / "dataloader").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code":
                codes |= {leaf.value for leaf in ast.walk(node.value) if isinstance(leaf, ast.Constant)}
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id == "default_code" for t in targets):
                    codes |= {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
    return {code for code in codes if isinstance(code, str)}


def headings(name: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", (DOCS / name).read_text(), re.MULTILINE)


def test_error_codes_are_kebab_case() -> None:
    assert [code for code in error_codes() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []


def test_every_error_code_has_its_anchor_and_every_anchor_its_code() -> None:
    assert sorted(headings("errors.md", 3)) == sorted(error_codes())


def test_each_error_code_stands_below_its_exit_code() -> None:
    sections: dict[str, int] = {}
    code = 0
    for line in (DOCS / "errors.md").read_text().splitlines():
        if found := re.match(r"# Exit codes? (\d+)", line):
            code = int(found[1])
        elif line.startswith("### "):
            sections[line.removeprefix("### ")] = code
    raised = {
        (str(leaf.value), int(kind.exit_code))
        for path in (ROOT / "dataloader").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if isinstance(kind := getattr(errors, node.func.id, None), type) and issubclass(kind, errors.DataloaderError)
        for keyword in node.keywords
        if keyword.arg == "code"
        for leaf in ast.walk(keyword.value)
        if isinstance(leaf, ast.Constant)
    }
    assert len(raised) > 80
    assert sorted(each for each in raised if sections[each[0]] != each[1]) == []


def test_every_command_is_documented_with_an_example() -> None:
    text = (DOCS / "commands.md").read_text()
    sections = dict(zip(headings("commands.md", 2), re.split(r"^## .+$", text, flags=re.MULTILINE)[1:], strict=True))

    assert list(sections) == [f"dataloader {name}" for name in COMMANDS]
    assert all(
        f"    dataloader {name.split()[-1]}" in body or "$(dataloader" in body for name, body in sections.items()
    )


def test_the_site_has_every_page_once() -> None:
    """What `nox -s docs` would refuse; a new page goes into docs/mkdocs.yml."""

    def leaves(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from leaves(each)

    pages = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")]
    listed = list(leaves(yaml.safe_load((DOCS / "mkdocs.yml").read_text())["nav"]))

    assert sorted(listed) == sorted(pages)


def test_every_command_has_a_schema_of_its_document() -> None:
    """A new one goes into docs/schemas/v1.json, and a line that writes it into tests/functional/test_schemas.py."""
    schemas = schema_of("")["$defs"]

    assert COMMANDS.keys() - schemas.keys() == {"shell"}  # which becomes another program
    for name in schemas:
        kind = jsonschema.validators.validator_for(schema_of(name))
        kind.check_schema(schema_of(name))


def test_the_manifest_of_the_documentation_is_one(tmp_path: Path) -> None:
    from tests.helpers.wheels import make_wheel

    make_wheel(tmp_path / "wheels", "ours", "1.0")
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "manifest.md").read_text(), re.DOTALL)

    manifest = parse_manifest(block, tmp_path / "dataloader.toml")

    assert manifest.environment().stack["cuda"] == "12.1"


def test_the_target_file_of_the_documentation_is_one(tmp_path: Path) -> None:
    from dataloader.compat.matrix import load_matrix
    from dataloader.request.target_file import load_target

    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "targets.md").read_text(), re.DOTALL)
    (tmp_path / "target.toml").write_text(block)

    pools = load_target(tmp_path / "target.toml", load_matrix().capabilities, load_matrix().cuda_of_driver)

    assert [pool.name for pool in pools] == ["training", "inference"]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_links_inside_the_documentation_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_architecture_names_every_part_of_the_program_and_nothing_else() -> None:
    text = (DOCS / "development" / "architecture.md").read_text()
    table = text.split("| floor |")[1].split("\n\n")[0]
    parts = {
        f"{p.name}/" if p.is_dir() else p.name
        for p in (ROOT / "dataloader").iterdir()
        if not p.name.startswith("_") and (p.is_file() or any(p.glob("*.py")))  # bytecode of what is gone may lie there
    }

    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[2])}

    assert named == parts - {"py.typed"}


@pytest.mark.parametrize("columns", [80, 100])
def test_every_command_is_shown_at_a_terminal_and_fits(columns: int) -> None:
    lines = (ROOT / "docs" / "sessions" / f"{columns}-columns.txt").read_text(encoding="utf-8").splitlines()
    typed = {word for line in lines if line.startswith("$ ") for word in re.findall(r"dataloader ([a-z0-9-]+)", line)}
    assert COMMANDS.keys() - typed == set()
    assert [line for line in lines if len(line) > columns] == []


def test_every_kind_of_finding_is_on_the_page() -> None:
    table = (DOCS / "verify.md").read_text().partition("| kind | what it is about |")[2].partition("\n\n")[0]
    kinds = [kind for row in table.splitlines()[2:] for kind in row.split("|")[1].strip().split(", ")]

    assert sorted(kinds) == sorted((*get_args(FailureKind), *get_args(OwnKind)))


def test_formats_that_are_known_and_not_read_each_have_a_way() -> None:
    assert set(_UNREAD) == set(get_args(Unread))
    assert set(get_args(Form)) >= MANIFESTS | LOCKS
