"""Packages whose publisher must be proven, before anything is fetched: the locked sha256 against signed attestations.

Of wheels the verification is pypi-attestations' and sigstore's, of conda packages rattler's (``attest_conda.py``); each
is imported only where a policy asks for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dataloader.base.errors import UsageError
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import together
from dataloader.index.publishers import ISSUERS, Claims, Publisher, check_build, publisher_of
from dataloader.index.settings import IndexSettings
from dataloader.install.attest.telling import EvidenceSource, Tell, invalid, missing
from dataloader.lockfile.model import Lockfile, Package, PypiPackage
from dataloader.process.distribution import extra_command

if TYPE_CHECKING:
    from pypi_attestations import Attestation, Provenance
    from sigstore.verify import Verifier
    from sigstore.verify.policy import VerificationPolicy


_PRODUCTION = "https://tuf-repo-cdn.sigstore.dev"
_PREDICATES = {"https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v1"}
"""What PyPI takes (docs.pypi.org/attestations)."""
_BUILD_SIGNER, _BUILD_CONFIG = "1.3.6.1.4.1.57264.1.9", "1.3.6.1.4.1.57264.1.18"
"""Claims in the certificate (Fulcio's OID list): who built, and the file of the workflow."""


async def require_attestations(
    lock: Lockfile, settings: IndexSettings, evidence: EvidenceSource, reporter: Reporter
) -> None:
    """Return when every package that the policy of ``settings`` names was published by whom it says.

    Raises:
        IntegrityError: a package has no attestation (``attestation-missing``), or none that holds
            (``attestation-invalid``).
        IndexUnavailable: an index or a channel did not answer.
        UsageError: the libraries are not installed (``attestations-unsupported``).
    """
    policy = settings.attestations
    wheels = {package: publisher for package in lock.pypi() if (publisher := publisher_of(policy, package.name))}
    conda = {p: publisher for p in lock.conda() if (publisher := publisher_of(policy, p.name, conda=True))}
    if not (wheels or conda):
        return

    def tell(package: Package, publisher: str) -> None:
        reporter.debug(f"{package.file_name} was published by {publisher}")
        reporter.event("attested", package=package.name, package_version=package.version, publisher=publisher)

    with reporter.stage("attest"):
        if wheels:
            await _require_wheels(wheels, settings, evidence, tell)
        if conda:
            from dataloader.install.attest.conda import require_conda

            await require_conda(conda, settings, evidence, reporter, tell)


async def _require_wheels(
    wanted: Mapping[PypiPackage, Publisher], settings: IndexSettings, evidence: EvidenceSource, tell: Tell
) -> None:
    verifier = await asyncio.to_thread(_verifier, settings.trusted_root)
    documents = await together(
        [evidence.provenance(package.name, package.file_name, package.sha256, package.index) for package in wanted]
    )
    for (package, expected), document in zip(wanted.items(), documents, strict=True):
        tell(package, await asyncio.to_thread(partial(_check, package, document, expected, verifier)))


def _verifier(trusted_root: str | None) -> Verifier:
    """``None``: the trust anchors of the public good instance, as the sigstore package ships them."""
    try:
        from sigstore.models import TrustedRoot
        from sigstore.verify import Verifier
    except ImportError as error:
        raise UsageError(
            "attestations are required, and what verifies them is not installed",
            code="attestations-unsupported",
            suggestions=(extra_command("attestations", "pypi-attestations", "sigstore"),),
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
        raise missing(package, expected)
    try:
        provenance = Provenance.model_validate_json(document)
    except ValueError as error:
        raise invalid(package, expected, ["its provenance is malformed"]) from error
    reasons = []
    for publisher, attestation in _attestations(provenance):
        try:
            _verify(package, attestation, _policy(publisher if expected.kind == "any" else expected), verifier)
            _check_claims(attestation, publisher if expected.kind == "any" else expected)
        except ValueError as error:
            reasons.append(str(error))
        else:
            return str(publisher if expected.kind == "any" else expected)
    raise invalid(package, expected, reasons or ["its provenance holds no attestation"])


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

    issuer = ISSUERS.get(publisher.kind)
    if issuer is None:
        raise ValueError(f"publishers of kind {publisher.kind} are not known here")
    if publisher.kind == "google":
        return policy.Identity(identity=publisher.subject, issuer=issuer)
    children: list[VerificationPolicy] = [policy.OIDCIssuerV2(issuer)]
    if publisher.kind != "circleci":
        children.append(policy.OIDCSourceRepositoryURI(f"https://{publisher.kind}.com/{publisher.subject}"))
    return policy.AllOf(children)


def _check_claims(attestation: Attestation, publisher: Publisher) -> None:
    """What no policy of the library can say, for these claims end with a commit or a branch."""
    said = attestation.certificate_claims
    claims = Claims(build_config=said.get(_BUILD_CONFIG, ""), build_signer=said.get(_BUILD_SIGNER, ""))
    check_build(claims, publisher)


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
