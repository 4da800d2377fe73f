"""A sigstore instance of our own: a certificate authority, a CT log and a Rekor log that sign as the public ones do.

Nothing of the verifiers is replaced: they judge by ``trusted_root``, as they do for any private instance.

    instance = Sigstore()
    bundle = instance.attest(conda_statement(package, channel), Signer("https://github.com/our/repo", "build.yml"))
    (folder / "root.json").write_text(instance.trusted_root())
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GITHUB = "https://token.actions.githubusercontent.com"
_PAYLOAD = "application/vnd.in-toto+json"
_FULCIO = "1.3.6.1.4.1.57264.1."
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_LOG_NAME = "rekor.test - 1"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """What the certificate says of who signed."""

    identity: str = ""
    """A workflow's URI, or an address with an ``@``; empty: what ``repository`` and ``workflow`` come to."""
    repository: str | None = None
    """URI of the repository whose pipeline it was."""
    workflow: str = ".github/workflows/build.yml"
    """Path of the pipeline's file in it."""
    issuer: str = GITHUB

    @property
    def pipeline(self) -> str:
        return f"{self.repository}/{self.workflow}@refs/heads/main"


def conda_statement(archive: Path, channel: str, *, name: str | None = None) -> dict[str, object]:
    """What CEP 27 has signed about a conda package that is published on ``channel``."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name or archive.name, "digest": {"sha256": digest}}],
        "predicateType": "https://schemas.conda.org/attestations-publish-1.schema.json",
        "predicate": {"targetChannel": channel.rstrip("/")},
    }


class Sigstore:
    """An authority and two logs, with keys of their own."""

    def __init__(self, keys: Mapping[str, ec.EllipticCurvePrivateKey] | None = None) -> None:
        self._keys = {part: ec.generate_private_key(ec.SECP256R1()) for part in ("ca", "ct", "rekor")} | dict(
            keys or {}
        )
        self._ca, self._ct, self._rekor = self._keys["ca"], self._keys["ct"], self._keys["rekor"]
        self._since = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(days=1)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of a test")])
        self._root = (
            self._certificate(name, self._ca, name, self._since, dt.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._ca.public_key()), critical=False)
            .sign(self._ca, hashes.SHA256())
        )

    def but(self, part: str) -> Sigstore:
        """The same instance with another key of its ``ca``, ``ct`` or ``rekor``."""
        return Sigstore({name: key for name, key in self._keys.items() if name != part})

    def attest(
        self,
        statement: Mapping[str, object],
        signer: Signer,
        *,
        late: dt.timedelta = dt.timedelta(),
        is_promised: bool = True,
    ) -> dict[str, Any]:
        """Sign a statement; the bundle.

        Args:
            late: How long after the certificate was made the log saw the signature.
            is_promised: Whether the certificate carries the CT log's timestamp.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(hours=2)
        certificate = self._leaf(key, signer, now, is_promised=is_promised)
        payload = json.dumps(statement).encode()
        signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)
        signature = _b64(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        envelope = {"payload": _b64(payload), "payloadType": _PAYLOAD, "signatures": [{"sig": signature}]}
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(_canonical(envelope)).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": signature, "verifier": _b64(certificate.public_bytes(Encoding.PEM))}],
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._entry(body, int((now + late).timestamp()) + 1)],
            },
            "dsseEnvelope": envelope,
        }

    def trusted_root(self) -> str:
        """The anchors, as JSON."""
        since = {"start": self._since.isoformat().replace("+00:00", "Z")}
        logs = {
            kind: [
                {
                    "baseUrl": f"https://{kind}.test",
                    "hashAlgorithm": "SHA2_256",
                    "publicKey": {
                        "rawBytes": _b64(_spki(key)),
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "validFor": since,
                    },
                    "logId": {"keyId": _b64(_log_id(key))},
                }
            ]
            for kind, key in (("tlogs", self._rekor), ("ctlogs", self._ct))
        }
        authority = {
            "subject": {"organization": "test", "commonName": "An authority of a test"},
            "uri": "https://fulcio.test",
            "certChain": {"certificates": [{"rawBytes": _b64(self._root.public_bytes(Encoding.DER))}]},
            "validFor": since,
        }
        kind = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
        return json.dumps(
            {"mediaType": kind, "certificateAuthorities": [authority], "timestampAuthorities": [], **logs}
        )

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        since: dt.datetime,
        lifetime: dt.timedelta,
    ) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(), since, since + lifetime
        )

    def _leaf(
        self, key: ec.EllipticCurvePrivateKey, signer: Signer, now: dt.datetime, *, is_promised: bool
    ) -> x509.Certificate:
        identity = signer.identity or signer.pipeline
        name = x509.RFC822Name(identity) if "://" not in identity else x509.UniformResourceIdentifier(identity)
        claims = {"8": signer.issuer, "9": identity}
        if signer.repository:
            claims |= {"12": signer.repository, "18": signer.pipeline}
        builder = (
            self._certificate(x509.Name([]), key, self._root.subject, now, dt.timedelta(minutes=10))
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        )
        for number, claim in claims.items():
            oid = x509.ObjectIdentifier(_FULCIO + number)
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, _der(0x0C, claim.encode())), critical=False)
        before = builder.sign(self._ca, hashes.SHA256())
        if not is_promised:
            return before
        promise = x509.UnrecognizedExtension(_SCT_LIST, _der(0x04, self._timestamp(before.tbs_certificate_bytes, now)))
        return builder.add_extension(promise, critical=False).sign(self._ca, hashes.SHA256())

    def _timestamp(self, before: bytes, now: dt.datetime) -> bytes:
        """The list of one signed certificate timestamp (RFC 6962, section 3.2)."""
        moment = struct.pack(">Q", int(now.timestamp() * 1000))
        length = struct.pack(">I", len(before))[1:]
        entry = struct.pack(">H", 1) + hashlib.sha256(_spki(self._ca)).digest() + length + before
        signature = self._ct.sign(b"\0\0" + moment + entry + b"\0\0", ec.ECDSA(hashes.SHA256()))
        one = b"\0" + _log_id(self._ct) + moment + b"\0\0" + b"\x04\x03" + _sized(signature)
        return _sized(_sized(one))

    def _entry(self, body: bytes, integrated: int) -> dict[str, object]:
        """The log's entry, in a tree of its own: promised, and proven against a checkpoint."""
        promised = {
            "body": _b64(body),
            "integratedTime": integrated,
            "logID": _log_id(self._rekor).hex(),
            "logIndex": 0,
        }
        root = _b64(hashlib.sha256(b"\0" + body).digest())
        note = f"{_LOG_NAME}\n1\n{root}\n"
        hint = _log_id(self._rekor)[:4]
        signed = _b64(hint + self._rekor.sign(note.encode(), ec.ECDSA(hashes.SHA256())))
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(_log_id(self._rekor))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(integrated),
            "inclusionPromise": {
                "signedEntryTimestamp": _b64(self._rekor.sign(_canonical(promised), ec.ECDSA(hashes.SHA256())))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.test {signed}\n"},
            },
            "canonicalizedBody": _b64(body),
        }


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _log_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes([size])
        if size < 0x80
        else (b"\x81" + bytes([size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big"))
    )
    return bytes([tag]) + length + content


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
