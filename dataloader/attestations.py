"""Who must have published which wheel ([attestations], --require-attestation): PEP 740's publishers. Values only.

any                                the publisher that the index names, whoever that is
none                               nobody: excepts a package from "*"
github:OWNER/REPOSITORY[:FILE]     a GitHub workflow of that repository, the file release.yml say
gitlab:GROUP/PROJECT[:FILE]        a GitLab pipeline of that project
google:EMAIL                       a Google Cloud service account
circleci:PROJECT-ID                a CircleCI project
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataloader.names import normalized

EVERY = "*"
"""Stands for every wheel that is not named itself."""

_FORMS = {
    "github": re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?"),
    "gitlab": re.compile(r"[\w.-]+(/[\w.-]+)+(:[\w./-]+)?"),
    "google": re.compile(r"[^@\s]+@[^@\s]+"),
    "circleci": re.compile(r"[0-9A-Fa-f-]{36}"),
}


@dataclass(frozen=True, slots=True)
class Publisher:
    """One identity that may have signed."""

    kind: str
    """``any``, ``github``, ``gitlab``, ``google`` or ``circleci``."""
    subject: str = ""
    """The repository, project, address or id."""
    workflow: str | None = None

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, self.subject, self.workflow) if part)


def parse_publisher(text: str) -> Publisher | None:
    """Read one publisher; ``None`` for ``none``.

    >>> parse_publisher("github:pypa/sampleproject:release.yml")
    Publisher(kind='github', subject='pypa/sampleproject', workflow='release.yml')

    Raises:
        ValueError: it is none.
    """
    kind, _, rest = text.strip().partition(":")
    if not rest and kind in {"any", "none"}:
        return Publisher("any") if kind == "any" else None
    form = _FORMS.get(kind)
    if form is None or not form.fullmatch(rest):
        raise ValueError(f"{text!r} is no publisher: any, none, github:OWNER/REPO[:FILE], gitlab:..., google:EMAIL")
    subject, _, workflow = (rest, "", "") if kind == "google" else rest.partition(":")
    return Publisher(kind, subject, workflow or None)


def read_policy(value: object) -> Mapping[str, str]:
    """``{project: publisher}`` from a mapping, or from items ``NAME=PUBLISHER`` (a list, or parted by white space).

    Raises:
        ValueError: an item cannot be read.
    """
    if isinstance(value, Mapping):
        said = {str(name): str(publisher) for name, publisher in value.items()}
    else:
        items: Iterable[object] = value.split() if isinstance(value, str) else value  # type: ignore[assignment]
        pairs = [str(item).partition("=") for item in items]
        if any(not (name and equals) for name, equals, _ in pairs):
            raise ValueError("an attestation is required as NAME=PUBLISHER, torch=github:pytorch/pytorch say")
        said = {name: publisher for name, _, publisher in pairs}
    for publisher in said.values():
        parse_publisher(publisher)
    return {name if name == EVERY else normalized(name): publisher for name, publisher in said.items()}


def publisher_of(policy: Mapping[str, str], name: str) -> Publisher | None:
    """Who must have published a project, if anybody."""
    text = policy.get(name, policy.get(EVERY))
    return parse_publisher(text) if text else None
