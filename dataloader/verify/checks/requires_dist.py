"""What installed packages require of each other, as ``pip check`` asks it, in both worlds. Judgement only, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dataloader.base.markers import marker_environment
from dataloader.base.names import normalized
from dataloader.machine.target import Target
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.tables import Together

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    from dataloader.compat.model import Bound, Rule


def check_requires_dist(
    installed: InstalledPackages,
    target: Target,
    python: str | None,
    needs_at_import: Callable[[InstalledPackage, str], bool],
) -> Iterator[Finding]:
    """Requires-Dist that nothing installed meets.

    ``needs_at_import``: whether importing a package imports that project's module, without which it is broken.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    present: dict[str, list[InstalledPackage]] = {}
    for package in installed.packages:
        present.setdefault(normalized(package.name), []).append(package)
    environment = {**marker_environment(python or "3.11", target.platform, kernel=target.kernel), "extra": ""}
    for package in installed.packages:
        if package.kind != "pypi":
            continue
        for text in package.requires:
            if "extra ==" in text or "extra==" in text:
                continue
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # legacy metadata; pip ignores it too
            if not _applies(requirement, environment):
                continue
            have = present.get(normalized(requirement.name), [])
            if not have:
                broken = needs_at_import(package, requirement.name)
                yield _unmet(
                    package, text, "is not installed", str(requirement), severity="error" if broken else "warning"
                )
            elif not any(meets(other.version, requirement.specifier) for other in have):
                yield _unmet(package, text, f"{have[0].label} is installed", str(requirement), severity="warning")


def _applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    """Whether a requirement's marker holds; false where it compares what has no order."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(environment))
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def meets(version: str, specifier: SpecifierSet) -> bool:
    """Whether a version fits; true where it is none that PyPI knows."""
    from packaging.version import InvalidVersion

    try:
        return specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True  # conda versions need not be PEP 440; nothing can be said


def _unmet(package: InstalledPackage, text: str, fact: str, wanted: str, *, severity: Severity) -> Finding:
    requirement = text.split(";", 1)[0].strip()
    return Finding(
        severity=severity,
        kind="unmet-requirement",
        path=package.path,
        message=f"{package.label} requires {requirement}",
        evidence=(fact,),
        fix=f"dataloader install '{wanted.split(';', 1)[0].strip()}'",
    )


def check_rules(installed: InstalledPackages, rules: Iterable[Rule]) -> Iterator[Finding]:
    """Rules of the compatibility matrix that are broken. Conda bounds are judged by name and build."""
    present: dict[str, list[InstalledPackage]] = {}
    for package in installed.packages:
        present.setdefault(normalized(package.name), []).append(package)
    for rule in rules:
        if rule.when is None or not any(_within(candidate, rule.when) for candidate in _candidates(present, rule.when)):
            continue
        for bound in rule.then:
            for package in _candidates(present, bound):
                if _within(package, bound):
                    continue
                yield Finding(
                    severity="warning",
                    kind="matrix-rule",
                    path=package.path,
                    message=f"{package.label} does not go with {rule.when.package}: {rule.why}",
                    evidence=(f"rule {rule.id}, from {rule.source}",),
                    fix=f"dataloader install '{bound.package}{bound.specifier}'"
                    if "<0" not in bound.specifier
                    else None,
                )


def check_together(installed: InstalledPackages, rows: Iterable[Together]) -> Iterator[Finding]:
    """Parts of a framework in another version than it, which it leaves aside without an error."""
    present = {normalized(package.name): package for package in installed.packages}
    for row in rows:
        main = present.get(row.of)
        for package in (present[name] for name in row.packages if main is not None and name in present):
            if main is not None and _numbers(package.version) != _numbers(main.version):
                yield Finding(
                    severity="error",
                    kind="matrix-rule",
                    path=package.path,
                    message=f"{package.label} does not go with {main.label}: {row.why}",
                    evidence=(f"rule {row.id}, from {row.source}",),
                    fix=f"dataloader install '{package.name}=={main.version}'",
                )


def _numbers(version: str) -> str:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return found[0] if found else version


def _candidates(present: Mapping[str, list[InstalledPackage]], bound: Bound) -> list[InstalledPackage]:
    name = normalized(bound.package.removeprefix("conda:"))
    return [package for package in present.get(name, []) if bound.world in ("any", package.kind)]


def _within(package: InstalledPackage, bound: Bound) -> bool:
    from packaging.specifiers import SpecifierSet

    if bound.build and package.kind == "conda" and not fnmatchcase(package.build or "", bound.build):
        return False
    if not bound.specifier or bound.package.startswith("conda:"):
        return True
    return meets(package.version, SpecifierSet(bound.specifier))
