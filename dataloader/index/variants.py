"""What an index says of the variants of a release (PEP 825): bytes -> values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dataloader.base.errors import IndexUnavailable
from dataloader.base.values import dataclass

_VERSION = re.compile(r"/v(\d+)\.\d+\.\d+\.json\Z")
_READ = ("0", "1")
"""Major versions of the format that are read; 0 are PEP 825's drafts."""


class Property(NamedTuple):
    """One thing that a variant was built for."""

    namespace: str
    feature: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantsFile:
    """The variants of one release, and what comes first among them."""

    namespaces: tuple[str, ...]
    """Most important first."""
    features: Mapping[str, tuple[str, ...]]
    """Namespace -> its features, most important first, as far as that is said."""
    values: Mapping[tuple[str, str], tuple[str, ...]]
    """Namespace and feature -> values, best first, as far as that is said."""
    variants: Mapping[str, frozenset[Property]]
    """Label -> what it was built for."""


def parse_variants(text: bytes, where: str) -> VariantsFile:
    """Read ``NAME-VERSION-variants.json``.

    Raises:
        IndexUnavailable: ``index-bad-page``; it is none, or one of a later version of the format.
    """
    try:
        data = json.loads(text)
        said = str(data.get("$schema", ""))
        version = _VERSION.search(said)
        if version is not None and version[1] not in _READ:
            raise _bad(where, f"its format is {said}, and versions {' and '.join(_READ)} are read")
        return _values(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(where, f"it does not describe variants ({error!r})") from error


def _values(data: Mapping[str, Any]) -> VariantsFile:
    priorities = data["default-priorities"]
    return VariantsFile(
        namespaces=_strings(priorities["namespace"]),
        features={name: _strings(values) for name, values in priorities.get("feature", {}).items()},
        values={
            (namespace, feature): _strings(values)
            for namespace, features in priorities.get("property", {}).items()
            for feature, values in features.items()
        },
        variants={
            label: frozenset(
                Property(namespace, feature, value)
                for namespace, features in namespaces.items()
                for feature, values in features.items()
                for value in _strings(values)
            )
            for label, namespaces in data["variants"].items()
        },
    )


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{values!r} is no list of strings")
    return tuple(values)


def _bad(where: str, why: str) -> IndexUnavailable:
    return IndexUnavailable(f"{where} cannot be read: {why}", code="index-bad-page")
