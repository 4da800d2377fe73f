"""The published schemas, and whether a document is as they say."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema

from dataloader.cli.help import schema_of


def check_document(command: str, document: Any) -> None:
    """Raise ValidationError where what a command wrote is not what is published."""
    _validator(command).validate(document)


@cache
def _validator(command: str) -> Any:
    schema = schema_of(command)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)
