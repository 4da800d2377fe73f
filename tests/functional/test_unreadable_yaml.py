"""YAML that parses to nothing anybody can read: too deep, a day that there is not. Every reader says so by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.cli.app import main

TEXTS = {"deep": "a: " + "[" * 3000, "no day": "kind: Dataset\nx: 2020-13-45\n", "no hour": "x: 2020-01-01 99:00:00\n"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("words", [
    ("sync", "--dataset", "f.yaml", "--root", "v"), ("lock", "-f", "f.yaml"), ("lock", "-r", "f.yaml"),
    ("sync", "--lockfile", "f.yaml", "-p", "e"),
])  # fmt: skip
def test_it_is_refused_by_name(
    words: tuple[str, ...],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").write_text(text)

    assert main([*words, *(["--conda", "never"] if words[0] == "lock" else [])]) in {1, 2, 4}

    assert "f.yaml" in capsys.readouterr().err
