"""Wheels whose publisher must be proven, before anything is fetched: the locked sha256 against signed attestations.

The verification is pypi-attestations' and sigstore's, imported only where a policy asks for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from dataloader.attestations import EVERY, Publisher, publisher_of
from dataloader.errors import IntegrityError, UsageError
from dataloader.install.fetch import gather_or_cancel
from dataloader.lockfile.model import Lockfile, PypiPackage
from dataloader.reporter import Reporter
from dataloader.settings import IndexSettings

if TYPE_CHECKING:
    from pypi_attestations import Attestation, Provenance
    from sigstore.verify import Verifier
    from sigstore.verify.policy import VerificationPolicy

_PRODUCTION = "https://tuf-repo-cdn.sigstore.dev"
_PREDICATES = {"https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v1"}
"""What PyPI takes (docs.pypi.org/attestations)."""
_ISSUERS = {
    "github": "https://token.actions.githubusercontent.com",
    "gitlab": "https://gitlab.com",
    "google": "https://accounts.google.com",
    "circleci": "https://oidc.circleci.com",
}
_BUILD_SIGNER, _BUILD_CONFIG = "1.3.6.1.4.1.57264.1.9", "1.3.6.1.4.1.57264.1.18"
"""Claims in the certificate (Fulcio's OID list): who built, and the file of the workflow."""


class Provenances(Protocol):
    """Fetches the provenance document of a file (``IndexClient.provenance``); ``None`` when the index has none."""

    async def __call__(self, project: str, filename: str, sha256: str, index: str | None) -> bytes | None:
        """As ``IndexClient.provenance``."""


async def require_attestations(lock: Lockfile, settings: IndexSettings, fetch: Provenances, reporter: Reporter) -> None:
    """Return when every wheel that the policy of ``settings`` names was published by whom it says.

    Raises:
        IntegrityError: a wheel has no attestation (``attestation-missing``), or none that holds
            (``attestation-invalid``).
        IndexUnavailable: an index did not answer.
        UsageError: the libraries are not installed (``attestations-unsupported``).
    """
    policy = settings.attestations
    _refuse_conda(lock, policy)
    wanted = {package: publisher for package in lock.pypi() if (publisher := publisher_of(policy, package.name))}
    if not wanted:
        return
    with reporter.stage("attest"):
        verifier = await asyncio.to_thread(_verifier, settings.trusted_root)
        packages = list(wanted)
        documents = await gather_or_cancel(
            [fetch(package.name, package.file_name, package.sha256, package.index) for package in packages]
        )
        for package, document in zip(packages, documents, strict=True):
            identity = await asyncio.to_thread(partial(_check, package, document, wanted[package], verifier))
            reporter.debug(f"{package.file_name} was published by {identity}")
            reporter.event("attested", package=package.name, package_version=package.version, publisher=identity)


def _refuse_conda(lock: Lockfile, policy: Mapping[str, str]) -> None:
    named = [p for p in lock.conda() if p.name in policy and p.name != EVERY and publisher_of(policy, p.name)]
    if named:
        raise IntegrityError(
            f"{named[0].name} comes from a conda channel, whose attestations are not looked at.",
            code="attestation-missing",
            causes=tuple(package.url for package in named),
            suggestions=("Take it from PyPI (`pypi:NAME`), or take it out of the policy.",),
        )


def _verifier(trusted_root: str | None) -> Verifier:
    """``None``: the trust anchors of the public good instance, as the sigstore package ships them."""
    try:
        from sigstore.models import TrustedRoot
        from sigstore.verify import Verifier
    except ImportError as error:
        raise UsageError(
            "Attestations are required, and what verifies them is not installed.",
            code="attestations-unsupported",
            suggestions=("pip install 'dataloader[attestations]'",),
        ) from error
    if trusted_root is None:
        # Not Verifier.production(): that writes to the home directory, which a pod may not have.
        store = resources.files("sigstore") / "_store" / quote(_PRODUCTION, safe="") / "trusted_root.json"
        with resources.as_file(store) as path:
            return Verifier(trusted_root=TrustedRoot.from_file(str(path)))
    try:
        return Verifier(trusted_root=TrustedRoot.from_file(trusted_root))
    except (OSError, ValueError) as error:
        raise UsageError(f"{trusted_root} is no sigstore trusted root: {error}", code="setting-invalid") from error


def _check(package: PypiPackage, document: bytes | None, expected: Publisher, verifier: Verifier) -> str:
    """Return who published the wheel; raise unless that is whom we expect."""
    from pypi_attestations import Provenance

    if document is None:
        raise IntegrityError(
            f"{package.file_name} has no attestation, and {expected} must have published it.",
            code="attestation-missing",
            suggestions=(f"Choose another version of {package.name}, or except it: {package.name}=none.",),
        )
    try:
        provenance = Provenance.model_validate_json(document)
    except ValueError as error:
        raise _invalid(package, expected, ["its provenance is malformed"]) from error
    reasons = []
    for publisher, attestation in _attestations(provenance):
        try:
            _verify(package, attestation, _policy(publisher if expected.kind == "any" else expected), verifier)
            _check_claims(attestation, publisher if expected.kind == "any" else expected)
        except ValueError as error:
            reasons.append(str(error))
        else:
            return str(publisher if expected.kind == "any" else expected)
    raise _invalid(package, expected, reasons or ["its provenance holds no attestation"])


def _invalid(package: PypiPackage, expected: Publisher, reasons: list[str]) -> IntegrityError:
    return IntegrityError(
        f"It is not proven that {expected} published {package.file_name}.",
        code="attestation-invalid",
        causes=tuple(dict.fromkeys(reasons)),
        suggestions=("Do not install it, unless the publisher has changed for a reason that you know.",),
    )


def _attestations(provenance: Provenance) -> list[tuple[Publisher, Attestation]]:
    """Every attestation, with the publisher that the index names for it."""
    found = []
    for bundle in provenance.attestation_bundles:
        facts: dict[str, Any] = json.loads(bundle.publisher.model_dump_json())
        kind = str(facts["kind"]).lower()
        subject = facts.get("repository") or facts.get("email") or facts.get("project_id")
        workflow = facts.get("workflow") or facts.get("workflow_filepath")
        found += [(Publisher(kind, str(subject), workflow), attestation) for attestation in bundle.attestations]
    return found


def _policy(publisher: Publisher) -> VerificationPolicy:
    from sigstore.verify import policy

    issuer = _ISSUERS.get(publisher.kind)
    if issuer is None:
        raise ValueError(f"publishers of kind {publisher.kind} are not known here")
    if publisher.kind == "google":
        return policy.Identity(identity=publisher.subject, issuer=issuer)
    children: list[VerificationPolicy] = [policy.OIDCIssuerV2(issuer)]
    if publisher.kind != "circleci":
        children.append(policy.OIDCSourceRepositoryURI(f"https://{publisher.kind}.com/{publisher.subject}"))
    return policy.AllOf(children)


def _check_claims(attestation: Attestation, publisher: Publisher) -> None:
    """What no policy of the library can say, for the certificate's claim ends with a commit or a branch."""
    claims = attestation.certificate_claims
    if publisher.kind == "circleci":
        _starts(claims.get(_BUILD_SIGNER, ""), f"https://circleci.com/api/v2/projects/{publisher.subject}/")
    elif publisher.workflow:
        inside = "/.github/workflows/" if publisher.kind == "github" else "//"
        claim = claims.get(_BUILD_CONFIG, "")
        _starts(claim, f"https://{publisher.kind}.com/{publisher.subject}{inside}{publisher.workflow}@")


def _starts(claim: str, expected: str) -> None:
    if not claim.startswith(expected):
        raise ValueError(f"the certificate is for {claim or 'nothing of the kind'}, not for {expected}")


def _verify(package: PypiPackage, attestation: Attestation, policy: VerificationPolicy, verifier: Verifier) -> None:
    """Verify the signature and what is signed; ValueError with the reason."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from pypi_attestations import AttestationError
    from sigstore.errors import Error

    try:
        kind, payload = verifier.verify_dsse(attestation.to_bundle(), policy)
    except (Error, AttestationError) as error:
        raise ValueError(str(error)) from error
    statement = json.loads(payload)
    subjects = statement.get("subject") or []
    if kind != "application/vnd.in-toto+json" or statement.get("predicateType") not in _PREDICATES:
        raise ValueError(f"it states something else than a publication: {statement.get('predicateType')}")
    if len(subjects) != 1 or subjects[0].get("digest", {}).get("sha256") != package.sha256:
        raise ValueError("it was made for a file with another sha256")
    try:
        same = parse_wheel_filename(subjects[0]["name"]) == parse_wheel_filename(package.file_name)
    except (InvalidWheelFilename, KeyError) as error:
        raise ValueError(f"its subject is no wheel: {error}") from error
    if not same:
        raise ValueError(f"it was made for {subjects[0]['name']}")
