"""Software bills of materials of both worlds: CycloneDX and SPDX, as JSON.

Package URLs are as purl-spec's types ``pypi`` and ``conda`` have them. The same lock gives the same document: its
identity is made from the packages' hashes, its time is the lock's.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import timezone
from typing import Any
from urllib.parse import quote

from dataloader import __version__
from dataloader.export.formats import ExportOptions
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, Package, PypiPackage

_SPDX_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def purl(package: Package) -> str:
    """The package URL of one package file."""
    version = quote(package.version, safe="")
    if isinstance(package, PypiPackage):
        where = {"file_name": package.file_name}
        if package.index and not package.index.startswith("https://pypi.org/"):
            where["repository_url"] = package.index
        return f"pkg:pypi/{package.name}@{version}{_qualifiers(where)}"
    kind = "conda" if package.file_name.endswith(".conda") else "tar.bz2"
    where = {"build": package.build, "channel": package.channel, "subdir": package.subdir, "type": kind}
    return f"pkg:conda/{quote(package.name, safe='')}@{version}{_qualifiers(where)}"


def _qualifiers(values: Mapping[str, str]) -> str:
    return "?" + "&".join(f"{key}={quote(value, safe=':/')}" for key, value in sorted(values.items()))


def cyclonedx(lock: Lockfile, options: ExportOptions) -> str:
    """CycloneDX 1.7: components with hashes, licences and where they are, and who needs whom."""
    references = _references(lock)
    needs = _needs(lock)
    root = f"environment:{options.name}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{_identity(lock)}",
        "version": 1,
        "metadata": {
            "timestamp": _time(options),
            "tools": {"components": [{"type": "application", "name": "dataloader", "version": __version__}]},
            "component": {"type": "platform", "bom-ref": root, "name": options.name},
            "properties": [
                {"name": f"dataloader:stack:{axis}", "value": value} for axis, value in sorted(lock.stack.items())
            ],
        },
        "components": [_component(package, references) for package in lock.packages],
        "dependencies": [
            {"ref": root, "dependsOn": sorted({references[name] for name in _asked(lock)})},
            *(
                {"ref": references[p.name], "dependsOn": sorted({references[n] for n in needs[p.name]})}
                for p in lock.packages
            ),
        ],
    }
    return _json(document)


def _component(package: Package, references: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": references[package.name],
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        "hashes": [
            {"alg": name, "content": digest}
            for name, digest in (("SHA-256", package.sha256), ("MD5", getattr(package, "md5", None)))
            if digest
        ],
        "externalReferences": [{"type": "distribution", "url": package.url}],
    }
    if licence := _licence(package):
        found["licenses"] = (
            [{"expression": licence}] if _SPDX_EXPRESSION.fullmatch(licence) else [{"license": {"name": licence}}]
        )
    return found


def spdx(lock: Lockfile, options: ExportOptions) -> str:
    """SPDX 2.3: packages with checksums, licences and where they are, and who needs whom."""
    identifiers = {package.name: f"SPDXRef-{at}" for at, package in enumerate(lock.packages, 1)}
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", identifiers[name]) for name in _asked(lock)]
    needs = _needs(lock)
    for package in lock.packages:
        relations += [
            _relation(identifiers[package.name], "DEPENDS_ON", identifiers[n]) for n in sorted(needs[package.name])
        ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": options.name,
        "documentNamespace": f"urn:uuid:{_identity(lock)}",
        "creationInfo": {"created": _time(options), "creators": [f"Tool: dataloader-{__version__}"]},
        "packages": [_spdx_package(package, identifiers[package.name]) for package in lock.packages],
        "relationships": relations,
    }
    return _json(document)


def _spdx_package(package: Package, identifier: str) -> dict[str, Any]:
    checksums = (("SHA256", package.sha256), ("MD5", getattr(package, "md5", None)))
    licence = _licence(package)
    declared = licence if licence and _SPDX_EXPRESSION.fullmatch(licence) else "NOASSERTION"
    return {
        "SPDXID": identifier,
        "name": package.name,
        "versionInfo": package.version,
        "packageFileName": package.file_name,
        "downloadLocation": package.url
        if package.url.startswith(("https://", "http://", "git+http"))
        else "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": name, "checksumValue": digest} for name, digest in checksums if digest],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": _known_licence(declared),
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl(package),
            }
        ],
        **({"comment": f"licence as published: {licence}"} if licence and declared == "NOASSERTION" else {}),
    }


def _known_licence(expression: str) -> str:
    """The expression where packaging knows all of its identifiers, else NOASSERTION."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if expression == "NOASSERTION":
        return expression
    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return "NOASSERTION"


def _licence(package: Package) -> str | None:
    return package.license if isinstance(package, CondaPackage) else None


def _relation(source: str, kind: str, target: str) -> dict[str, str]:
    return {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}


def _references(lock: Lockfile) -> dict[str, str]:
    return {package.name: purl(package) for package in lock.packages}


def _needs(lock: Lockfile) -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges_of(lock):
        found[edge.source].add(edge.target)
    return found


def _asked(lock: Lockfile) -> list[str]:
    """The packages that were asked for; all where that is not known."""
    names = {package.name for package in lock.packages}
    return sorted({name.removeprefix("conda:") for name in lock.requested} & names) or sorted(names)


def _identity(lock: Lockfile) -> uuid.UUID:
    files = sorted(package.sha256 or package.url for package in lock.packages)
    return uuid.UUID(bytes=hashlib.sha256("\n".join(files).encode()).digest()[:16], version=5)


def _time(options: ExportOptions) -> str:
    return options.created.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
