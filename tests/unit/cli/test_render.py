"""Values as text and as JSON."""

from __future__ import annotations

import doctest
import json

import pytest

from dataloader.base.errors import ResolutionFailure
from dataloader.base.redaction import redact
from dataloader.cli.telling import render
from dataloader.cli.telling.render import error_document, error_text, table, to_json


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(render).failed == 0


def test_json_is_one_sorted_document_of_version_one() -> None:
    text = to_json({"status": "ok", "b": [2, 1], "a": "é"})

    assert json.loads(text) == {"version": 1, "status": "ok", "a": "é", "b": [2, 1]}
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert text.endswith("}\n")


def test_an_error_is_the_same_in_words_and_as_a_document() -> None:
    error = ResolutionFailure("No set fits", causes=("a needs b", "line\nbreak"), suggestions=("drop a",))

    assert error_document(error)["error"] == {
        "code": "no-solution",
        "message": "No set fits",
        "causes": ["a needs b", "line\nbreak"],
        "suggestions": ["drop a"],
    }
    assert error_text(error).splitlines() == [
        "error[no-solution]: No set fits",
        "  - a needs b",
        "  - line",
        "    break",
        "  try: drop a",
        "  see: dataloader help no-solution",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:s3cr3t@example.org/simple", "https://****@example.org/simple"),
        ("https://s3cr3t@example.org/simple and more", "https://****@example.org/simple and more"),
        ("'https://x/t/s3cr3t/channel'", "'https://x/t/****/channel'"),
        ("https://x/a?x=1&access_token=s3cr3t&y=2", "https://x/a?****"),
        ("PASSWORD=s3cr3t", "PASSWORD=****"),
        ("https://me:s3c@ret@example.org/simple", "https://****@example.org/simple"),
        ("(https://b.example/w.whl?X-Amz-Signature=s3cr3t&X-Amz-Date=1)", "(https://b.example/w.whl?****)"),
        ("https://b.example/w.whl?sv=2024&sig=s3cr3t%3D broke off", "https://b.example/w.whl?**** broke off"),
        ("Authorization: Bearer s3cr3t.s3cr3t", "Authorization: Bearer ****"),
        ("{'authorization': 'Basic bWU6czNjcjN0'}", "{'authorization': 'Basic ****'}"),
        ("Basic authentication is asked for", "Basic authentication is asked for"),
        (
            "mail me@example.org about https://example.org/@scope",
            "mail me@example.org about https://example.org/@scope",
        ),
    ],
)
def test_secrets_are_taken_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_rows_may_differ_in_length() -> None:
    assert table([["a"], ["bb", "c"]]) == "a\nbb  c\n"
    assert table([]) == ""
