"""What may be shown of addresses: no password, no token; whom ssh is asked for says which service is meant."""

from __future__ import annotations

import doctest

import pytest

from dataloader.base import redaction
from dataloader.base.redaction import redact
from dataloader.index.web import credentials


@pytest.mark.parametrize("module", [redaction, credentials])
def test_its_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("say", [redact, credentials.redact])
@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("https://hunter2@host/a", True),
        ("https://me:hunter2@host/a", True),
        ("git+https://hunter2@host/a", True),
        ("ssh://git:hunter2@host/a", True),
        ("git+ssh://git:hunter2@host/a", True),
        ("ssh://:hunter2@host/a", True),
        ("ssh://git@host/a", False),
        ("git+ssh://git@host/a@main", False),
    ],
)
def test_secrets_are_hidden_and_services_are_not(say: object, address: str, hidden: bool) -> None:
    shown = say(address)  # type: ignore[operator]

    assert "hunter2" not in shown
    assert (shown != address) == hidden
