"""Command lines read without typer are read as typer reads them."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.line.command import Command, Parameter
from dataloader.cli.line.grammar import build
from dataloader.cli.line.options import Flag
from dataloader.cli.line.words import usual_values

_MISTAKE: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def by_typer(name: str, words: list[str]) -> tuple[dict[str, Any], frozenset[str]] | None:
    """What typer makes of the words behind a command; None for what it refuses."""
    seen: list[tuple[dict[str, Any], frozenset[str]]] = []

    def keep(values: Any, typed: Any) -> int:
        seen.append((dict(values), typed))
        return 0

    try:
        build(name, load(name)._replace(run=keep))(args=list(words), prog_name="dataloader", standalone_mode=False)
    except _MISTAKE:
        return None
    return seen[0]


def words_of(made: Command) -> st.SearchStrategy[list[str]]:
    """Command lines of a command, right and wrong."""
    spellings = [name for p in made.parameters if isinstance(p.said, Flag) for name in spelled(p.said)]
    choices = [text for p in made.parameters for text in typing.get_args(p.kind)]
    texts = st.sampled_from(["11.8", "a", "a b", "=", "", "-", "--", "-p", "-vq", "2", "2.5", ">=2", "none", *choices])
    names = st.sampled_from([*spellings, "--nothing", "--col"])
    one = st.one_of(
        names.map(lambda name: [name]),
        st.tuples(names, texts).map(list),
        st.tuples(names, texts).map(lambda pair: ["=".join(pair)]),
        texts.map(lambda text: [text]),
    )
    return st.lists(one, max_size=5).map(lambda parts: [word for part in parts for word in part])


def spelled(flag: Flag) -> list[str]:
    return [part for name in flag.names for part in name.split("/")]


LINES = {
    "plan": "--cuda=11.8 --torch=2.1.0 --json",
    "lock": "numpy torch --cuda --conda=never -r a.txt -r b.txt --no-color -v -v",
    "install": "--cuda 11.8 --pytorch -p env --fix 1",
    "sync": "--root /r --name n --timeout 2.5 --cache-layer a --cache-layer b --no-durable",
    "verify": "/opt/env --format json",
    "run": "-p env -- python -c pass -- --json",
    "init": "",
    "shell-hook": "-s bash",
    "prune": "--root r --name n --keep=3",
    "cache": "info --all",
}


@pytest.mark.parametrize("name", LINES)
def test_a_usual_line_is_read_without_typer(name: str) -> None:
    words = LINES[name].split()

    values = usual_values(load(name), words, {})

    assert values is not None
    assert values == by_typer(name, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_read_without_typer_is_read_as_typer_reads_it(name: str) -> None:
    made = load(name)

    @given(words_of(made))
    def agree(words: list[str]) -> None:
        values = usual_values(made, words, {})
        assert values is None or values == by_typer(name, words)

    agree()


def test_values_have_the_types_that_the_command_declares() -> None:
    usual = usual_values(load("install"), ["-p", "env", "--fix=2", "-r", "a.txt", "--no-color", "-v"], {})

    assert usual is not None
    values, typed = usual
    assert typed == {"prefix", "fix", "requirements", "color", "verbose"}
    assert (values["prefix"], values["fix"], values["requirements"]) == (Path("env"), 2, [Path("a.txt")])
    assert (values["color"], values["verbose"], values["cuda"]) == (False, 1, None)


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["--nothing"], ["-vv"], ["--prefix="], ["--fix=one"], ["--conda=maybe"], ["extra"]]
)
def test_anything_else_is_left_to_typer(words: list[str]) -> None:
    assert usual_values(load("plan"), words, {}) is None
    assert usual_values(load("plan"), [], {}) is not None


def test_a_variable_that_stands_for_an_option_is_left_to_typer() -> None:
    assert usual_values(load("plan"), [], {"DATALOADER_CUDA": "12.1"}) is None
    assert usual_values(load("plan"), [], {"DATALOADER_CACHE_DIR": "/c"}) is not None


def test_every_parameter_of_every_command_has_a_kind_that_is_understood() -> None:
    kinds: set[Any] = {str, Path, int, float, bool}
    parameters: list[Parameter] = [p for name in COMMANDS for p in load(name).parameters]

    assert all(p.kind in kinds or typing.get_origin(p.kind) is typing.Literal for p in parameters)
