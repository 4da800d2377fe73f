"""Conda packages whose publisher must be proven: sidecars of attestations (CEP 27 and 50), verified by rattler.

rattler takes a sidecar as a whole and stops at the first bundle that holds, whosever it is. So each bundle of one that
we have fetched is shown to it alone, as the sidecar of a file of this machine, and its claims are ours to compare. A
sidecar that only rattler can fetch (other schemes than http, servers that want credentials which its own store has) is
judged by the first bundle of the right issuer.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dataloader.base.errors import IndexUnavailable, IntegrityError, UsageError
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import together
from dataloader.index.publishers import ISSUERS, Claims, Publisher, check_claims
from dataloader.index.settings import IndexSettings
from dataloader.index.web.failures import offline_missing
from dataloader.install.attest.telling import EvidenceSource, Tell, invalid, missing
from dataloader.install.conda.link import package_record
from dataloader.lockfile.model import CondaPackage

if TYPE_CHECKING:
    from rattler import RepoDataRecord
    from rattler.sigstore import TrustedRoot, VerifiedAttestation


async def require_conda(
    wanted: Mapping[CondaPackage, Publisher],
    settings: IndexSettings,
    evidence: EvidenceSource,
    reporter: Reporter,
    tell: Tell,
) -> None:
    """Return when every package was published by whom it should be; as ``require_attestations``."""
    root = _trusted_root(settings.trusted_root)
    judge = _Judge(root, settings, evidence, reporter)
    publishers = await together([judge.publisher(package, expected) for package, expected in wanted.items()])
    for package, publisher in zip(wanted, publishers, strict=True):
        tell(package, publisher)


def _trusted_root(path: str | None) -> TrustedRoot:
    """``None``: the trust anchors of the public good instance, as rattler ships them."""
    from rattler.sigstore import TrustedRoot

    if path is None:
        return TrustedRoot.embedded()
    try:
        return TrustedRoot.from_path(path)
    except ValueError as error:
        raise UsageError(f"{path} is no sigstore trusted root: {error}", code="setting-invalid") from error


class _Refused(Exception):
    """rattler, or the comparison of claims, did not accept what it was shown."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


class _Judge:
    def __init__(
        self, root: TrustedRoot, settings: IndexSettings, evidence: EvidenceSource, reporter: Reporter
    ) -> None:
        self._root = root
        self._offline = settings.offline
        self._evidence = evidence
        self._reporter = reporter

    async def publisher(self, package: CondaPackage, expected: Publisher) -> str:
        """Return who published the package; raise unless that is whom we expect."""
        sha256 = package.attestations_sha256
        if sha256 is None:
            raise missing(
                package,
                expected,
                f"The repodata of {package.channel} named no attestations of it when the lock was made.",
                "If it does now, or an older dataloader made the lock: `dataloader lock`.",
            )
        if not all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in (package.sha256, sha256)):
            raise invalid(package, expected, ["the lock has no sha256 of it that an attestation could be about"])
        if not package.url.startswith(("http:", "https:", "file:")):
            return await self._at_its_channel(package, expected, sha256)
        try:
            document = await self._evidence.sidecar(package.url, sha256)
        except IntegrityError as error:
            raise invalid(package, expected, [error.message, *error.causes]) from error
        except UsageError as error:
            if error.code != "index-auth":
                raise
            self._reporter.debug(f"{error.message} Trying what rattler's own store of credentials has.")
            return await self._at_its_channel(package, expected, sha256, error)
        if document is None:
            raise missing(package, expected, f"{package.channel} names attestations of it, and has none there.")
        return await self._in_sidecar(document, package, expected)

    async def _in_sidecar(self, document: bytes, package: CondaPackage, expected: Publisher) -> str:
        """Judge the bundles of a sidecar, each alone."""
        reasons = []
        with tempfile.TemporaryDirectory(prefix="dataloader-attest-") as folder:
            archive = Path(folder, "package.conda")
            for bundle in _bundles(document):
                digest = hashlib.sha256(bundle)
                archive.with_name(f"{archive.name}.sigs.{digest.hexdigest()}").write_bytes(bundle)
                try:
                    return await self._judged(_record(package, archive.as_uri(), digest.digest()), expected)
                except _Refused as refused:
                    reasons += refused.reasons
        raise invalid(package, expected, reasons or ["its sidecar is no list of attestations"])

    async def _at_its_channel(
        self, package: CondaPackage, expected: Publisher, sha256: str, refusal: UsageError | None = None
    ) -> str:
        """Let rattler fetch the sidecar; ``refusal`` is what our own try came to."""
        if self._offline:
            raise offline_missing(f"the attestations of {package.file_name} are not in the cache")
        try:
            return await self._judged(_record(package, package.url, bytes.fromhex(sha256)), expected)
        except _Refused as refused:
            said = refused.reasons[0]
            if refusal is not None and re.search(r"returned HTTP 40[137]", said):
                raise refusal from refused
            if re.search(r"returned HTTP (404|410)", said):
                raise missing(package, expected, *refused.reasons) from refused
            if re.search(r"returned HTTP|^failed to (fetch|read) attestation sidecar", said):
                message = f"the attestations of {package.file_name} cannot be fetched"
                raise IndexUnavailable(message, code="channel-unavailable", causes=tuple(refused.reasons)) from refused
            raise invalid(package, expected, refused.reasons) from refused

    async def _judged(self, record: RepoDataRecord, expected: Publisher) -> str:
        """Return who signed; raise ``_Refused`` unless rattler accepts it and it is whom we expect."""
        from rattler import sigstore
        from rattler.exceptions import AttestationError

        issuer = ISSUERS.get(expected.kind)
        signer = sigstore.Publisher(issuer=sigstore.Issuer(issuer) if issuer else None)
        policy = sigstore.VerificationPolicy.require(signer)
        try:
            outcome = await sigstore.verify_attestation(record, policy, trusted_root=self._root)
        except AttestationError as error:
            raise _Refused(_reasons(str(error))) from error
        if outcome.attestation is None:
            raise _Refused(["nothing of it was verified"])
        claims = _claims(outcome.attestation)
        try:
            check_claims(claims, expected)
        except ValueError as error:
            raise _Refused([str(error)]) from error
        return claims.identity if expected.kind == "any" else str(expected)


def _bundles(document: bytes) -> list[bytes]:
    """Each bundle of a sidecar as a sidecar of its own; none, if it is no list."""
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return []
    return [json.dumps([bundle]).encode() for bundle in found] if isinstance(found, list) else []


def _record(package: CondaPackage, url: str, attestations_sha256: bytes) -> RepoDataRecord:
    """A package as rattler verifies it, with its attestations beside ``url``."""
    from rattler import RepoDataRecord

    record = package_record(package)
    record.attestations_sha256 = attestations_sha256
    return RepoDataRecord(record, unquote(package.file_name), url, package.channel)


def _claims(attestation: VerifiedAttestation) -> Claims:
    said = attestation.claims
    return Claims(
        issuer=attestation.issuer or "",
        identity=attestation.identity or "",
        source_repository=(said and said.source_repository_uri) or "",
        build_config=(said and said.build_config_uri) or "",
        build_signer=(said and said.build_signer_uri) or "",
    )


def _reasons(message: str) -> list[str]:
    """What rattler says, bundle by bundle, without what a URL may hold of secrets."""
    message = re.sub(r"^attestation sidecar at file:\S+ is", "it is", redact(message))
    lines = [re.sub(r"^- bundle \d+: ", "", line.strip()) for line in message.splitlines()]
    return lines[1:] if lines[0].endswith("passed verification:") else lines
