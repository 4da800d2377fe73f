"""No PowerShell runs here: that what is written for it is PowerShell is asked of a grammar (``nox -s powershell``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.cli.app import main
from dataloader.prefix.activate import Activation
from dataloader.prefix.activators import activators

grammar = pytest.importorskip("tree_sitter_language_pack", reason="its grammars take 190 MB: nox -s powershell")

QUOTES = "'\u2018\u2019\u201a\u201b"
"""All of them end a text that began with any of them; two of one are one inside (about_Quoting_Rules)."""
ODD = st.text(st.sampled_from("a b'\"$(){}`;#\\é" + QUOTES), min_size=1, max_size=12)


def tree(text: str) -> Any:
    return grammar.get_parser("powershell").parse(text.encode()).root_node


def literals(node: Any) -> list[str]:
    """The texts between single quotes, as PowerShell reads them."""
    if node.type == "verbatim_string_characters":
        return [re.sub(f"([{QUOTES}])\\1", r"\1", node.text.decode()[1:-1])]
    return [text for child in node.children for text in literals(child)]


def test_a_mistake_is_seen() -> None:
    assert tree("if ($a) { $b = 'x").has_error


def test_the_completion_is_powershell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "powershell"]) == 0
    assert not tree(capsys.readouterr().out).has_error


@settings(max_examples=100)
@given(ODD, ODD)
def test_activation_is_powershell_and_values_are_nothing_but_text(folder: str, value: str) -> None:
    root = f"/envs/{folder}"
    active = Activation(
        prefix=Path(root), path=(f"{root}/bin",), library_path=(), variables={"VIRTUAL_ENV": root, "WORD": value}
    )
    for text in (activators(active, [], [])["bin/Activate.ps1"].decode(), active.shell({}, "powershell")):
        found = tree(text)
        assert not found.has_error, text
        assert {root, value} <= set(literals(found)), text
