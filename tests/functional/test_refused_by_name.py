"""What cannot be meant is refused by name, in every command, whether it was typed or said by a variable."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.app import main
from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.line.advice import PLACES
from dataloader.cli.line.command import Parameter
from tests.helpers.wheels import make_wheel

Type = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Run a command line in a folder with a wheel; the exit code, and the error where there is one."""
    make_wheel(tmp_path / "wheels", "lib", "1.0", files={"lib.py": "\n"}, extras=["more"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("DATALOADER_INDEX_URL", (tmp_path / "wheels").as_uri())
    monkeypatch.setenv("DATALOADER_FIND_LINKS", str(tmp_path / "wheels"))

    def run(*words: str, **variables: str) -> tuple[int, dict[str, Any]]:
        for name, value in variables.items():
            monkeypatch.setenv(f"DATALOADER_{name}", value)
        monkeypatch.setenv("DATALOADER_JSON", "1")  # run refuses the option: --json is its command's
        code = main([*words])
        for name in variables:
            monkeypatch.delenv(f"DATALOADER_{name}")
        heard = capsys.readouterr()
        document = json.loads(heard.out or "{}")
        return code, {**document.get("error", {}), "heard": heard.err}

    return run


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [
        ("lock lib --conda never --index-url foo", "setting-invalid", "--index-url foo"),
        ("lock lib --conda never --extra-index-url foo", "setting-invalid", "--extra-index-url foo"),
        ("lock lib --conda never --find-links ./nosuch", "setting-invalid", "--find-links ./nosuch"),
        ("lock lib --conda never --trusted-root nosuch", "setting-invalid", "--trusted-root nosuch"),
        ("search 'lib==1.0'", "requirement-invalid", "lib==1.0"),
        ("search 'lib[more]'", "requirement-invalid", "lib[more]"),
        ("search 'conda:lib=1'", "requirement-invalid", "conda:lib=1"),
    ],
)
def test_mistakes_that_were_accepted(line: str, code: str, named: str, refusal: Type) -> None:
    status, error = refusal(*shlex.split(line))
    assert (status, error["code"]) == (2, code)
    assert named in error["message"]
    assert not Path("dataloader.lock").exists()


def test_a_place_that_a_machine_names_for_all_is_told_and_no_obstacle(refusal: Type) -> None:
    status, error = refusal("lock", "lib", "--conda", "never", EXTRA_INDEX_URL="./nosuch")
    assert status == 0
    assert "[WARN] ./nosuch is not there" in error["heard"]


def test_an_extra_that_there_is_not_is_named(refusal: Type) -> None:
    status, error = refusal("lock", "lib[More,nosuch]", "--conda", "never")
    assert status == 0
    assert "[WARN] lib 1.0 has no extra named nosuch (asked for by the command line)" in error["heard"]
    assert "named more" not in error["heard"]


def test_a_search_that_was_not_answered_may_be_repeated(refusal: Type) -> None:
    status, error = refusal("search", "lib", "-c", "http://127.0.0.1:9/channel", "--conda", "always")
    assert status == 0, error  # an index has it
    status, error = refusal("search", "conda:lib", "-c", "http://127.0.0.1:9/channel")
    assert (status, error["code"]) == (3, "index-unreachable")
    status, error = refusal("search", "nosuch", "--conda", "never")
    assert (status, error["code"]) == (1, "unknown-package")


def test_a_change_that_was_not_offered(refusal: Type) -> None:
    for number in ("0", "9"):
        status, error = refusal("lock", "lib>9", "--conda", "never", "--fix", number)
        assert (status, error["code"]) == (1, "no-matching-version")
        assert f"--fix {number} names no change that works" in error["causes"][0]
    status, error = refusal("lock", "lib", "--conda", "never", "--fix", "3")
    assert status == 0
    assert "--fix 3 was not needed" in error["heard"]


def parameters(takes: Callable[[Parameter], bool]) -> list[tuple[str, Parameter]]:
    return [(name, p) for name in COMMANDS for p in load(name).parameters if p.is_option and takes(p)]


@pytest.mark.parametrize(
    ("command", "parameter"),
    parameters(lambda p: p.kind is str and not p.may_be_empty and not p.choices),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_an_empty_text_says_nothing(command: str, parameter: Parameter, refusal: Type) -> None:
    status, error = refusal(command, f"{parameter.names[0]}=")
    assert (status, error["code"]) == (2, "usage")
    assert parameter.names[0] in error["message"]


@pytest.mark.parametrize(
    ("command", "parameter"),
    parameters(lambda p: p.kind in (int, float) and not p.is_switch),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
@pytest.mark.parametrize("value", ["-1", "nan", "x", ""])
def test_a_number_is_one_and_counts_something(command: str, parameter: Parameter, value: str, refusal: Type) -> None:
    status, error = refusal(command, f"{parameter.names[0]}={value}")
    assert (status, error["code"]) == (2, "usage")
    assert parameter.names[0] in error["message"]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("TIMEOUT", "abc", "sync"),
        ("CUDA", "zz", "lock lib"),
        ("CONDA", "bogus", "lock lib"),
        ("TARGET", "nosuch", "lock lib --conda never"),
        ("MANIFEST", "nosuch.toml", "lock lib"),
        ("MIRROR", "nonsense", "lock lib --conda never"),
        ("PLATFORM", "x", "lock lib --conda never"),
        ("OFFLINE", "maybe", "lock lib"),
        ("EXCLUDE_NEWER", "someday", "lock lib"),
        ("LIMIT_RATE", "x", "lock lib --conda never"),
        ("REQUIREMENT", "nosuch.txt", "lock lib --conda never"),
        ("MATRIX", "nosuch.toml", "lock lib --conda never"),
    ],
)
def test_a_variable_is_named_where_it_is_what_is_wrong(variable: str, value: str, line: str, refusal: Type) -> None:
    status, error = refusal(*line.split(), **{variable: value})
    told = " ".join([error["message"], *error["causes"]])
    assert status == 2
    assert f"DATALOADER_{variable}" in told
    assert f"--{variable.lower().replace('_', '-')}" not in told


FIRST_WORD = {"cache": ["warm"], "k8s": ["init"], "kernel": ["install"]}
ABOUT = {"manifest": "other.toml", "environment": "gpu", "prefix": "nosuch", "lockfile": "nosuch.lock"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if {p.name for p in load(name).parameters} & {*PLACES}])
def test_an_environment_that_there_is_not_is_named_by_every_command(command: str, refusal: Type) -> None:
    made = load(command)
    if "environment" not in {p.name for p in made.parameters}:
        pytest.skip("it is about no environment of a manifest")
    Path("dataloader.toml").write_text("[workspace]\nchannels = []\n")
    operands = ["lib" for p in made.parameters if not p.is_option and (p.is_required or p.many)]
    operands = FIRST_WORD.get(command, operands)
    status, error = refusal(command, "-e", "nosuch", *operands)
    assert (status, error["code"]) == (2, "environment-unknown"), error


@pytest.mark.parametrize("command", ["list", "run", "verify", "shell-hook", "tree", "sync"])
def test_advice_is_about_what_was_named(command: str, refusal: Type) -> None:
    Path("other.toml").write_text("[workspace]\nchannels = []\n[environments]\ngpu = []\n")
    made = load(command)
    flags = {p.name: min(p.names, key=len) for p in made.parameters if p.name in PLACES}
    places = [word for name, flag in flags.items() for word in (flag, ABOUT[name])]
    status, error = refusal(
        command, *places, *(["--locked"] if command == "sync" else []), *(["--", "x"] if command == "run" else [])
    )
    assert status in (1, 2)
    commands = [found for s in error["suggestions"] for found in re.findall(r"`dataloader ([^`]*)`", s)]
    assert commands, error
    for each in commands:
        verb = each.split()[0]
        takes = {p.name for p in load(verb).parameters} & flags.keys()
        assert all(f"{flags[name]} {ABOUT[name]}" in each for name in takes), each
