"""Headers of METADATA."""

from __future__ import annotations

from dataloader.base.core_metadata import parse_headers


def test_headers_are_folded_and_end_at_the_blank_line() -> None:
    text = "Name: x\nRequires-Dist: a\nRequires-Dist: b;\n  python_version < '3'\n\nName: body\n"

    assert parse_headers(text) == {"name": ["x"], "requires-dist": ["a", "b; python_version < '3'"]}
