"""The shared options, and how they become parameters."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataloader.cli.line.command import INSTALL, command, expand_bare_flags
from dataloader.cli.line.grammar import alone, build
from dataloader.cli.line.options import CommonOptions, Flag, StackFlags, declared

seen: list[tuple[CommonOptions, StackFlags]] = []


@command(example="dataloader probe", takes=INSTALL)
def probe(stack: StackFlags, options: CommonOptions) -> int:
    """Keep what was given."""
    seen.append((options, stack))
    return 0


def invoke(*arguments: str, **environ: str) -> Result:
    """Run the command above alone."""
    return CliRunner().invoke(alone("probe", probe), list(arguments), env=environ)


def given(*arguments: str, **environ: str) -> tuple[CommonOptions, StackFlags]:
    """What a command gets for a command line."""
    seen.clear()
    result = invoke(*arguments, **environ)
    assert result.exit_code == 0, result.output
    return seen[0]


EVERYTHING = """
    -p env --manifest m.toml --lockfile l.lock -e cpu -r a.txt -r b.txt -f e.yml -c nvidia -c conda-forge
    --conda always --index-url https://i --extra-index-url https://j --find-links d --offline --refresh
    --mirror https://i=https://m --limit-rate 10M --fix 1 --require-attestation a=any --trusted-root r.json
    --platform linux-64 --target t.toml --prerelease allow --only-binary :all: --no-binary a
    --extra cpu --group test --all-extras --skip-unbuildable --build flash-attn
    --exclude-newer 2024-01-31 --matrix m.jsonl --no-verify --dry-run --yes --json -q -vvv --no-color
    --events e.jsonl --status-file s.json --metrics-file m.prom
    --cuda=11.8 --cudnn=8 --nccl=2 --gcc=11 --python=3.11 --pytorch=2.1.0 --tensorflow=2.14 --jax=0.4
"""


def test_nothing_given_is_the_defaults() -> None:
    assert given() == (CommonOptions(), StackFlags())


def test_every_field_can_be_given() -> None:
    options, stack = given(*shlex.split(EVERYTHING))

    left_at_default = [f.name for f in fields(options) if getattr(options, f.name) == f.default]
    assert left_at_default == []
    assert (options.requirements, options.channels) == ((Path("a.txt"), Path("b.txt")), ("nvidia", "conda-forge"))
    assert (options.verbosity, options.color) == (2, False)
    assert stack.torch == "2.1.0"
    assert stack.frameworks == {"torch": "2.1.0", "tensorflow": "2.14", "jax": "0.4"}


@pytest.mark.parametrize("kind", [CommonOptions, StackFlags])
def test_every_option_has_its_own_environment_variable(kind: type[CommonOptions]) -> None:
    flags: list[Flag] = [f.metadata["flag"] for f in declared(kind)]

    variables = [flag.envvar for flag in flags]

    assert len(set(variables)) == len(flags)
    assert all(variable.startswith("DATALOADER_") for variable in variables)


def test_environment_variables_are_read_and_flags_beat_them() -> None:
    environ = {
        "DATALOADER_PREFIX": "from-env",
        "DATALOADER_CHANNEL": "a b",
        "DATALOADER_OFFLINE": "1",
        "DATALOADER_CUDA": "12.1",
        "DATALOADER_VERBOSE": "1",
    }

    options, stack = given("--cuda=11.8", **environ)

    assert (options.prefix, options.channels, options.offline) == (Path("from-env"), ("a", "b"), True)
    assert (stack.cuda, options.verbosity) == ("11.8", 1)


@pytest.mark.parametrize(
    ("typed", "expanded"),
    [
        (["--torch"], ["--torch="]),
        (["--torch", "numpy"], ["--torch=", "numpy"]),
        (["--torch", "2.1.0"], ["--torch=2.1.0"]),
        (["--torch", ">=2,<3"], ["--torch=>=2,<3"]),
        (["--cuda", "none", "--jax"], ["--cuda=none", "--jax="]),
        (["--cuda", "--pytorch"], ["--cuda=", "--pytorch="]),
        (["--cuda=11.8"], ["--cuda=11.8"]),
        (["--", "--torch"], ["--", "--torch"]),
        (["2to3", "--python", "2to3"], ["2to3", "--python=", "2to3"]),
    ],
)
def test_a_stack_flag_may_stand_alone(typed: list[str], expanded: list[str]) -> None:
    assert expand_bare_flags(typed) == expanded


def test_a_bare_flag_asks_for_any_version_and_no_flag_for_nothing() -> None:
    _, stack = given("--torch", "--cuda", "*")

    assert stack.asked() == {"torch": "", "cuda": ""}
    assert stack.jax is None


def test_a_stack_value_that_cannot_be_read_is_refused() -> None:
    result = invoke("--cuda=eleven")

    assert "error[stack-value-invalid]: --cuda=eleven" in result.stderr


def test_a_built_command_carries_its_example() -> None:
    assert build("probe", probe).epilog == "Example: dataloader probe"
