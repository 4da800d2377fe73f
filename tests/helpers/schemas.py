"""The published schemas, and whether a document is as they say."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema

from dataloader.cli.answers.help import schema_of


def check_document(command: str, document: Any, *, strict: bool = False) -> None:
    """Raise ValidationError where what a command wrote is not what is published.

    Args:
        strict: Refuse keys that the schema does not name, too.
    """
    _validator(command, strict).validate(document)


@cache
def _validator(command: str, strict: bool) -> Any:
    schema = schema_of(command)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(_closed(schema) if strict else schema)


def _closed(schema: Any) -> Any:
    """The schema of documents without keys that it does not name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        return {"additionalProperties": False, **inner}
    return inner
