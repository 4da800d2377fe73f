"""Software bills of materials of both worlds: CycloneDX and SPDX 2.3, as JSON; SPDX 3 is in ``spdx3``.

What the packages hold inside is in them where an environment was looked into; the lock is the evidence. Package URLs
are as purl-spec's types ``pypi`` and ``conda`` have them. The same lock gives the same document: its identity is made
from the packages' hashes, its time is the lock's.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timezone
from typing import Any
from urllib.parse import quote

from dataloader import __version__
from dataloader.export.formats import ExportOptions
from dataloader.export.vex import JUSTIFICATIONS, STATES, Statement
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, Package, PypiPackage
from dataloader.prefix.contents import Declared, InnerLibrary

_SPDX_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def purl(package: Package) -> str:
    """The package URL of one package file, or of a repository at its commit; a tree has its name alone."""
    version = quote(package.version, safe="")
    if isinstance(package, PypiPackage):
        where = {"file_name": name} if (name := archive_of(package)) else {}
        if package.build and package.origin.kind == "git":
            where["vcs_url"] = package.url.partition("#")[0]
        if package.index and not package.index.startswith("https://pypi.org/"):
            where["repository_url"] = package.index
        return f"pkg:pypi/{package.name}@{version}{_qualifiers(where)}"
    kind = "conda" if package.file_name.endswith(".conda") else "tar.bz2"
    where = {"build": package.build, "channel": package.channel, "subdir": package.subdir, "type": kind}
    return f"pkg:conda/{quote(package.name, safe='')}@{version}{_qualifiers(where)}"


def archive_of(package: Package) -> str:
    """The name of the package's archive; empty for a repository and a tree, which are none."""
    is_none = isinstance(package, PypiPackage) and package.build is not None and package.origin.kind != "archive"
    return "" if is_none else package.file_name


def _qualifiers(values: Mapping[str, str]) -> str:
    said = "&".join(f"{key}={quote(value, safe=':/')}" for key, value in sorted(values.items()))
    return f"?{said}" if said else ""


def cyclonedx(lock: Lockfile, options: ExportOptions) -> str:
    """CycloneDX 1.7: components with hashes, licences and where they are, and who needs whom."""
    references = references_of(lock)
    needs = needs_of(lock)
    root = f"environment:{options.name}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{identity_of(lock)}",
        "version": 1,
        "metadata": {
            "timestamp": time_of(options),
            "tools": {"components": [{"type": "application", "name": "dataloader", "version": __version__}]},
            "component": {"type": "platform", "bom-ref": root, "name": options.name, **_evidence_of_lock(options)},
            "properties": [_property(f"stack:{axis}", value) for axis, value in sorted(lock.stack.items())],
        },
        "components": [_component(package, references, options) for package in lock.packages],
        "dependencies": [
            {"ref": root, "dependsOn": sorted({references[name] for name in asked_of(lock)})},
            *(
                {"ref": references[p.name], "dependsOn": sorted({references[n] for n in needs[p.name]})}
                for p in lock.packages
            ),
        ],
    }
    if statements := list(_vulnerabilities(lock, references, options)):
        document["vulnerabilities"] = statements
    return json_of(document)


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"dataloader:{name}", "value": value}


def _evidence_of_lock(options: ExportOptions) -> dict[str, Any]:
    """What the environment was read from."""
    if options.lock_sha256 is None:
        return {}
    lock = {"type": "other", "comment": "the lock", "url": "dataloader.lock"}
    return {"externalReferences": [{**lock, "hashes": [{"alg": "SHA-256", "content": options.lock_sha256}]}]}


def _component(package: Package, references: Mapping[str, str], options: ExportOptions) -> dict[str, Any]:
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
        "evidence": {
            "identity": [
                {
                    "field": "purl",
                    "confidence": 1,
                    "methods": [{"technique": "manifest-analysis", "confidence": 1, "value": "dataloader.lock"}],
                }
            ]
        },
    }
    if inside := [*_libraries(package, references, options), *_declared(package, references, options)]:
        found["components"] = inside
    if licence := licence_of(package, options):
        found["licenses"] = (
            [{"expression": licence}] if _SPDX_EXPRESSION.fullmatch(licence) else [{"license": {"name": licence}}]
        )
    return found


def _libraries(package: Package, references: Mapping[str, str], options: ExportOptions) -> Iterator[dict[str, Any]]:
    """Yield the libraries in a package, as verify sees them."""
    for library in libraries_of(package, options):
        said = [("origin", "put into the wheel")] if library.is_bundled else []
        said += [("kind", "Python extension module")] if library.is_module else []
        said += [("gpu-code", code) for code in library.gpu]
        yield {
            "type": "library",
            "bom-ref": f"{references[package.name]}#{quote(library.path, safe='/')}",
            "name": library.name,
            **({"version": library.version} if library.version else {}),
            **({"hashes": [{"alg": "SHA-256", "content": library.sha256}]} if library.sha256 else {}),
            "evidence": {"occurrences": [{"location": library.path}]},
            "properties": [_property(name, value) for name, value in said],
        }


def _declared(package: Package, references: Mapping[str, str], options: ExportOptions) -> Iterator[dict[str, Any]]:
    """Yield what a package says that it holds (PEP 770)."""
    for number, component in enumerate(declared_of(package, options)):
        yield {
            "type": "library",
            "bom-ref": f"{references[package.name]}#declared-{number}",
            "name": component.name,
            **({"version": component.version} if component.version else {}),
            **({"purl": component.purl} if component.purl else {}),
            "properties": [_property("declared-in", component.path)],
        }


def _vulnerabilities(lock: Lockfile, references: Mapping[str, str], options: ExportOptions) -> Iterator[dict[str, Any]]:
    """Yield what somebody says of vulnerabilities, one entry for each and what is said of it."""
    for statement, package in stated(lock, options):
        why = JUSTIFICATIONS.get(statement.justification or "", statement.justification)
        analysis = {"state": STATES[statement.status], "justification": why, "detail": statement.detail}
        yield {
            "id": statement.vulnerability,
            "analysis": {key: value for key, value in analysis.items() if value},
            "affects": [{"ref": references[package.name]}],
        }


def spdx(lock: Lockfile, options: ExportOptions) -> str:
    """SPDX 2.3: packages with checksums, licences and where they are, and who needs whom."""
    identifiers = {package.name: f"SPDXRef-{at}" for at, package in enumerate(lock.packages, 1)}
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", identifiers[name]) for name in asked_of(lock)]
    needs = needs_of(lock)
    for package in lock.packages:
        relations += [
            _relation(identifiers[package.name], "DEPENDS_ON", identifiers[n]) for n in sorted(needs[package.name])
        ]
    inside = []
    for package in lock.packages:
        parts: list[InnerLibrary | Declared] = [*libraries_of(package, options), *declared_of(package, options)]
        for number, component in enumerate(parts, 1):
            identifier = f"{identifiers[package.name]}-{number}"
            inside.append(_spdx_part(component, identifier))
            relations.append(_relation(identifiers[package.name], "CONTAINS", identifier))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": options.name,
        "documentNamespace": f"urn:uuid:{identity_of(lock)}",
        "creationInfo": {"created": time_of(options), "creators": [f"Tool: dataloader-{__version__}"]},
        "packages": [
            *(_spdx_package(package, identifiers[package.name], options) for package in lock.packages),
            *inside,
        ],
        "relationships": relations,
    }
    return json_of(document)


def _spdx_part(part: InnerLibrary | Declared, identifier: str) -> dict[str, Any]:
    """One thing inside a package."""
    found = {
        "SPDXID": identifier,
        "name": part.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        **({"versionInfo": part.version} if part.version else {}),
    }
    if isinstance(part, Declared):
        purl_ = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        return {**found, "comment": f"declared in {part.path}", **({"externalRefs": [purl_]} if part.purl else {})}
    if part.sha256:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": part.sha256}]
    return {**found, "comment": "; ".join([part.path, *(f"GPU code {code}" for code in part.gpu)])}


def _spdx_package(package: Package, identifier: str, options: ExportOptions) -> dict[str, Any]:
    checksums = (("SHA256", package.sha256), ("MD5", getattr(package, "md5", None)))
    licence = licence_of(package, options)
    declared = licence if licence and _SPDX_EXPRESSION.fullmatch(licence) else "NOASSERTION"
    return {
        "SPDXID": identifier,
        "name": package.name,
        "versionInfo": package.version,
        **({"packageFileName": name} if (name := archive_of(package)) else {}),
        "downloadLocation": package.url
        if package.url.startswith(("https://", "http://", "git+http"))
        else "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": name, "checksumValue": digest} for name, digest in checksums if digest],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": known_licence(declared),
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


def known_licence(expression: str) -> str:
    """The expression where packaging knows all of its identifiers, else NOASSERTION."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if expression == "NOASSERTION":
        return expression
    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return "NOASSERTION"


def licence_of(package: Package, options: ExportOptions) -> str | None:
    """What a package says of its licence: a conda package in the lock, a wheel where it is installed."""
    return package.license if isinstance(package, CondaPackage) else options.licences.get(package.name)


def libraries_of(package: Package, options: ExportOptions) -> list[InnerLibrary]:
    """The libraries in a package."""
    return [library for library in options.libraries if _is_of(library, package)]


def declared_of(package: Package, options: ExportOptions) -> list[Declared]:
    """What a package says that it holds."""
    return [component for component in options.declared if _is_of(component, package)]


def _is_of(part: InnerLibrary | Declared, package: Package) -> bool:
    return part.package == package.name and part.kind == kind_of(package)


def kind_of(package: Package) -> str:
    """``pypi`` or ``conda``."""
    return "pypi" if isinstance(package, PypiPackage) else "conda"


def stated(lock: Lockfile, options: ExportOptions) -> Iterator[tuple[Statement, Package]]:
    """Yield the statements about packages of the lock, in order, with the package."""
    for package in lock.packages:
        for statement in options.statements:
            is_of_it = (statement.kind, statement.package) == (kind_of(package), package.name)
            if is_of_it and statement.version in (None, package.version):
                yield statement, package


def _relation(source: str, kind: str, target: str) -> dict[str, str]:
    return {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}


def references_of(lock: Lockfile) -> dict[str, str]:
    """The package URL of each package, by its name."""
    return {package.name: purl(package) for package in lock.packages}


def needs_of(lock: Lockfile) -> defaultdict[str, set[str]]:
    """Who needs whom, by name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges_of(lock):
        found[edge.source].add(edge.target)
    return found


def asked_of(lock: Lockfile) -> list[str]:
    """The packages that were asked for; all where that is not known."""
    names = {package.name for package in lock.packages}
    return sorted({name.removeprefix("conda:") for name in lock.requested} & names) or sorted(names)


def identity_of(lock: Lockfile) -> uuid.UUID:
    """What the same lock gives always, and another one never."""
    files = sorted(package.sha256 or package.url for package in lock.packages)
    return uuid.UUID(bytes=hashlib.sha256("\n".join(files).encode()).digest()[:16], version=5)


def time_of(options: ExportOptions) -> str:
    """When the lock was made."""
    return options.created.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_of(document: object) -> str:
    """A document as JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
