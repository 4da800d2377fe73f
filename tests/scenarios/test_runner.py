"""Scenarios as any tool is asked them: the runner tells right answers from wrong ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.scenarios.runner import ask

FOLDER = Path(__file__).parent / "resolve"


def _tool(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.scenarios.tools", name]


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("what-the-channels-lack-comes-from-pypi", "dataloader"),
        ("older-glibc-takes-the-older-wheel", "dataloader"),
        ("constraints-limit-but-do-not-bring", "dataloader"),
        ("unknown-conda-package", "dataloader"),
        ("unknown-conda-package", "rattler"),
    ],
)
def test_a_tool_answers(name: str, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    assert ask(FOLDER / f"{name}.toml", _tool(tool)) == ("equal", "")


def test_what_is_not_for_a_tool_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    verdict, told = ask(FOLDER / "conda-serves-pypi-requirements.toml", _tool("rattler"))

    assert (verdict, told) == ("passed over", "it asks for more than conda packages")


@pytest.mark.parametrize("name", ["nested-extras", "unknown-package"])
def test_a_wrong_answer_is_told(name: str) -> None:
    program = 'print(\'{"packages": [{"name": "six", "version": "1", "from": "pypi"}]}\')'

    verdict, told = ask(FOLDER / f"{name}.toml", [sys.executable, "-c", program])

    assert verdict == "differs"
    assert "six 1 pypi" in told


@pytest.mark.parametrize("program", ["import sys; sys.exit(3)", "print('[]')", "print('{}')"])
def test_what_is_no_answer_is_an_error(program: str) -> None:
    with pytest.raises(RuntimeError, match="nested-extras"):
        ask(FOLDER / "nested-extras.toml", [sys.executable, "-c", program])
