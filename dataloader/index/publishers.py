"""Who must have published which package ([attestations], --require-attestation): PEP 740's publishers. Values only.

A policy names packages: NAME is of either kind, conda:NAME a conda package, "*" every other wheel, "conda:*" every
other conda package.

any                                of a wheel whom the index names, of a conda package whoever signed it for its channel
none                               nobody: excepts a package from "*" or "conda:*"
github:OWNER/REPOSITORY[:FILE]     a GitHub workflow of that repository, the file release.yml say
gitlab:GROUP/PROJECT[:FILE]        a GitLab pipeline of that project
google:EMAIL                       a Google Cloud service account
circleci:PROJECT-ID                a CircleCI project
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dataloader.base.names import normalized
from dataloader.base.values import dataclass

EVERY = "*"
"""Stands for every wheel that is not named itself."""
CONDA = "conda:"
"""Before a name: the conda package. Before EVERY: every conda package that is not named itself."""

ISSUERS = {
    "github": "https://token.actions.githubusercontent.com",
    "gitlab": "https://gitlab.com",
    "google": "https://accounts.google.com",
    "circleci": "https://oidc.circleci.com",
}
"""Who vouches for the publishers of a kind."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a certificate says of who signed (Fulcio's names); the empty text where it says nothing."""

    issuer: str = ""
    identity: str = ""
    """Its subject: the workflow's URI, or an address."""
    source_repository: str = ""
    build_config: str = ""
    """The file of the workflow, with a branch or a commit."""
    build_signer: str = ""


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
        pairs = [str(pair).partition("=") for pair in items]
        if any(not (name and equals) for name, equals, _ in pairs):
            raise ValueError("an attestation is required as NAME=PUBLISHER, torch=github:pytorch/pytorch say")
        said = {name: publisher for name, _, publisher in pairs}
    for publisher in said.values():
        parse_publisher(publisher)
    return {_key(name): publisher for name, publisher in said.items()}


def _key(name: str) -> str:
    prefix = CONDA if name.startswith(CONDA) else ""
    rest = name.removeprefix(prefix)
    return prefix + (rest if rest == EVERY else normalized(rest))


def publisher_of(policy: Mapping[str, str], name: str, *, conda: bool = False) -> Publisher | None:
    """Who must have published a project, or a conda package, if anybody."""
    name = normalized(name)
    keys = (CONDA + name, name, CONDA + EVERY) if conda else (name, EVERY)
    text = next((policy[key] for key in keys if key in policy), None)
    return parse_publisher(text) if text else None


def check_claims(claims: Claims, publisher: Publisher) -> None:
    """Return when a certificate is the publisher's.

    Raises:
        ValueError: it is somebody else's; the message says whose.
    """
    if publisher.kind == "any":
        return
    _same("issued by", claims.issuer, ISSUERS[publisher.kind])
    if publisher.kind == "google":
        _same("for", claims.identity, publisher.subject)
    elif publisher.kind != "circleci":
        _same("for", claims.source_repository, f"https://{publisher.kind}.com/{publisher.subject}")
    check_build(claims, publisher)


def check_build(claims: Claims, publisher: Publisher) -> None:
    """As ``check_claims``, of the claims that end with a commit or a branch."""
    if publisher.kind == "circleci":
        _starts(claims.build_signer, f"https://circleci.com/api/v2/projects/{publisher.subject}/")
    elif publisher.workflow:
        inside = "/.github/workflows/" if publisher.kind == "github" else "//"
        expected = f"https://{publisher.kind}.com/{publisher.subject}{inside}{publisher.workflow}@"
        _starts(claims.build_config, expected)


def _same(word: str, claim: str, expected: str) -> None:
    if claim != expected:
        raise ValueError(f"the certificate is {word} {claim or 'nobody of the kind'}, not {word} {expected}")


def _starts(claim: str, expected: str) -> None:
    if not claim.startswith(expected):
        raise ValueError(f"the certificate is for {claim or 'nothing of the kind'}, not for {expected}")
