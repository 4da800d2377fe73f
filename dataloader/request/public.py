"""What is written down for others holds no user and no password: they are a person's, and asked for again elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_USER = re.compile(r"(?<!ssh://)(?<=://)[^/?#@\s]*@")
"""What stands before the host of an address; in one of ssh, the user says which service is meant."""
_PASSWORD = re.compile(r"(?<=ssh://)([^/?#@:\s]*):[^/?#@\s]*@")

_OPAQUE = frozenset({"variables"})
"""Fields of texts that are a program's, whatever they look like."""


def public(value: T) -> T:
    """Return a value of texts, sequences, mappings and frozen dataclasses without users and passwords in its addresses.

    >>> public(("https://me:secret@example.org/simple", "numpy"))
    ('https://example.org/simple', 'numpy')
    >>> public("git+ssh://git:secret@example.org/a.git")
    'git+ssh://git@example.org/a.git'
    """
    found: Any = value
    if isinstance(value, str):
        found = _PASSWORD.sub(r"\1@", _USER.sub("", value))
    elif isinstance(value, tuple):
        found = tuple(map(public, value))
    elif isinstance(value, Mapping):
        found = {key: public(inner) for key, inner in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        said = {f.name: getattr(value, f.name) for f in fields(value) if f.init and f.name not in _OPAQUE}
        changed = {name: new for name, inner in said.items() if (new := public(inner)) != inner}
        found = replace(value, **changed) if changed else value
    return found  # type: ignore[no-any-return]


def secret_addresses(value: object) -> Iterator[str]:
    """Yield the addresses in a value that have a user, or a password."""
    if isinstance(value, str) and (_USER.search(value) or _PASSWORD.search(value)):
        yield value.removeprefix("git+")
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from secret_addresses(inner)
    elif isinstance(value, Mapping):
        yield from secret_addresses(tuple(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from secret_addresses(tuple(getattr(value, f.name) for f in fields(value) if f.name not in _OPAQUE))


def kept_back(value: object) -> tuple[str, ...]:
    """Return what to say of users and passwords that :func:`public` takes out, by host."""
    hosts = dict.fromkeys(urlsplit(address).hostname or address for address in secret_addresses(value))
    return tuple(
        f"the user and password for {host} are not written down: give them in netrc "
        f"(machine {host} login USER password PASSWORD), or by a variable (DATALOADER_INDEX_URL, ...)"
        for host in hosts
    )


def for_this_run(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to say of trusted hosts, which a manifest does not hold: trust is of a machine."""
    if not hosts:
        return ()
    return (f"--trusted-host is not written down: DATALOADER_TRUSTED_HOST='{' '.join(hosts)}' says it for a machine",)
