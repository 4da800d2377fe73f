"""A software bill of materials as SPDX 3.0.1, in JSON-LD."""

from __future__ import annotations

from typing import Any

from dataloader import __version__
from dataloader.export.formats import ExportOptions
from dataloader.export.sbom import (
    asked_of,
    declared_of,
    identity_of,
    json_of,
    known_licence,
    libraries_of,
    licence_of,
    needs_of,
    purl,
    stated,
    time_of,
)
from dataloader.export.vex import Statement
from dataloader.lockfile.model import Lockfile, Package
from dataloader.prefix.contents import Declared, InnerLibrary

_CREATION = "_:creation"
_VEX = {
    "not_affected": ("NotAffected", "doesNotAffect"),
    "affected": ("Affected", "affects"),
    "fixed": ("Fixed", "fixedIn"),
    "under_investigation": ("UnderInvestigation", "underInvestigationFor"),
}
"""OpenVEX's status -> the class of the relationship, and its type."""
_JUSTIFICATIONS = {
    "component_not_present": "componentNotPresent",
    "inline_mitigations_already_exist": "inlineMitigationsAlreadyExist",
    "vulnerable_code_cannot_be_controlled_by_adversary": "vulnerableCodeCannotBeControlledByAdversary",
    "vulnerable_code_not_in_execute_path": "vulnerableCodeNotInExecutePath",
    "vulnerable_code_not_present": "vulnerableCodeNotPresent",
}


def spdx3(lock: Lockfile, options: ExportOptions) -> str:
    """Packages with hashes and licences, what is inside them, who needs whom, and what is said of vulnerabilities."""
    graph = _Graph(lock, options)
    graph.add_packages()
    graph.add_inside()
    graph.add_vulnerabilities()
    return json_of({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph.finished()})


class _Graph:
    """The elements, while they are made."""

    def __init__(self, lock: Lockfile, options: ExportOptions) -> None:
        self.lock, self.options = lock, options
        self.space = f"urn:uuid:{identity_of(lock)}#"
        self.packages = {package.name: f"{self.space}package-{at}" for at, package in enumerate(lock.packages, 1)}
        self.elements: list[dict[str, Any]] = []
        self._licences: dict[str, str] = {}
        self._vulnerabilities: dict[str, str] = {}
        self._relations = 0

    def element(self, kind: str, identifier: str, **values: Any) -> str:
        """Add an element; return what it is called."""
        said = {key: value for key, value in values.items() if value not in (None, [])}
        self.elements.append({"type": kind, "spdxId": identifier, "creationInfo": _CREATION, **said})
        return identifier

    def relate(self, source: str, kind: str, targets: list[str], element: str = "Relationship", **values: Any) -> None:
        """Add a relationship, if there is anything at its other end."""
        if targets:
            self._relations += 1
            identifier = f"{self.space}relation-{self._relations}"
            self.element(element, identifier, **{"from": source}, relationshipType=kind, to=targets, **values)

    def add_packages(self) -> None:
        """Add what the lock names, and who needs whom."""
        needs = needs_of(self.lock)
        for package in self.lock.packages:
            self._package(package)
        for package in self.lock.packages:
            needed = [self.packages[name] for name in sorted(needs[package.name])]
            self.relate(self.packages[package.name], "dependsOn", needed)

    def _package(self, package: Package) -> None:
        digests = (("sha256", package.sha256), ("md5", getattr(package, "md5", None)))
        identifier = self.element(
            "software_Package",
            self.packages[package.name],
            name=package.name,
            software_packageVersion=package.version,
            software_packageUrl=purl(package),
            software_downloadLocation=package.url if package.url.startswith(("https://", "http://")) else None,
            verifiedUsing=[_hash(name, digest) for name, digest in digests if digest],
        )
        if licence := licence_of(package, self.options):
            self.relate(identifier, "hasDeclaredLicense", [self._licence(licence)])

    def _licence(self, said: str) -> str:
        if said not in self._licences:
            known = known_licence(said)
            self._licences[said] = self.element(
                "simplelicensing_LicenseExpression",
                f"{self.space}licence-{len(self._licences) + 1}",
                simplelicensing_licenseExpression=known,
                comment=f"as published: {said}" if known == "NOASSERTION" else None,
            )
        return self._licences[said]

    def add_inside(self) -> None:
        """Add what the packages hold."""
        for package in self.lock.packages:
            own = self.packages[package.name]
            parts: list[InnerLibrary | Declared] = [
                *libraries_of(package, self.options),
                *declared_of(package, self.options),
            ]
            self.relate(own, "contains", [self._part(part, f"{own}-{at}") for at, part in enumerate(parts, 1)])

    def _part(self, part: InnerLibrary | Declared, identifier: str) -> str:
        if isinstance(part, Declared):
            return self.element(
                "software_Package",
                identifier,
                name=part.name,
                software_packageVersion=part.version,
                software_packageUrl=part.purl,
                comment=f"declared in {part.path}",
            )
        return self.element(
            "software_File",
            identifier,
            name=part.path,
            summary=f"{part.name} {part.version}" if part.version else part.name,
            comment=f"GPU code: {', '.join(part.gpu)}" if part.gpu else None,
            verifiedUsing=[_hash("sha256", part.sha256)] if part.sha256 else [],
        )

    def add_vulnerabilities(self) -> None:
        """Add what somebody says of them."""
        for said, package in stated(self.lock, self.options):
            if said.vulnerability not in self._vulnerabilities:
                number = len(self._vulnerabilities) + 1
                self._vulnerabilities[said.vulnerability] = self.element(
                    "security_Vulnerability",
                    f"{self.space}vulnerability-{number}",
                    name=said.vulnerability,
                    externalIdentifier=[_identifier(said.vulnerability)],
                )
            name, kind = _VEX[said.status]
            self.relate(
                self._vulnerabilities[said.vulnerability],
                kind,
                [self.packages[package.name]],
                f"security_Vex{name}VulnAssessmentRelationship",
                **_assessment(said),
            )

    def finished(self) -> list[dict[str, Any]]:
        """Return all elements, behind what says who made them and where to begin."""
        everything = [element["spdxId"] for element in self.elements]
        profiles = ["core", "software", "simpleLicensing", *(["security"] if self._vulnerabilities else [])]
        self.element(
            "software_Sbom",
            f"{self.space}bill",
            name=self.options.name,
            software_sbomType=["analyzed" if self.options.libraries else "build"],
            rootElement=[self.packages[name] for name in asked_of(self.lock)],
            element=everything,
            comment=f"of a lock with the sha256 {self.options.lock_sha256}" if self.options.lock_sha256 else None,
            profileConformance=profiles,
        )
        self.element(
            "SpdxDocument",
            f"{self.space}document",
            name=self.options.name,
            rootElement=[f"{self.space}bill"],
            profileConformance=profiles,
        )
        maker = self.element("SoftwareAgent", f"{self.space}maker", name=f"dataloader {__version__}")
        creation = {"type": "CreationInfo", "@id": _CREATION, "specVersion": "3.0.1"}
        return [{**creation, "created": time_of(self.options), "createdBy": [maker]}, *self.elements]


def _identifier(vulnerability: str) -> dict[str, str]:
    kind = "cve" if vulnerability.startswith("CVE-") else "securityOther"
    return {"type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": vulnerability}


def _assessment(said: Statement) -> dict[str, str | None]:
    """Return the properties that the model has for each status."""
    if said.status == "affected":  # must say what to do
        return {"security_actionStatement": said.detail or "none is known"}
    if said.status == "not_affected":
        why = _JUSTIFICATIONS.get(said.justification or "")
        impact = said.detail or (None if why else said.justification or "none is given")  # one of both must be there
        return {"security_justificationType": why, "security_impactStatement": impact}
    return {"security_statusNotes": said.detail}


def _hash(name: str, digest: str) -> dict[str, str]:
    return {"type": "Hash", "algorithm": name, "hashValue": digest}
