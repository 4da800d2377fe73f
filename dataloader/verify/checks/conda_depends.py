"""``depends`` and ``constrains`` of conda packages, as a solver reads them: names, versions and builds. No I/O.

rattler judges the match specs. It is imported only for a prefix that has conda packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from dataloader.base.names import normalized, pypi_names
from dataloader.base.values import dataclass
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.findings import Finding

_NAME: Final = re.compile(r"(?:[^\s\[]*::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)")


def check_conda_depends(installed: InstalledPackages, virtual: Mapping[str, str]) -> Iterator[Finding]:
    """What conda packages depend on and the prefix lacks, or has in a version or build that does not fit.

    A wheel stands for the conda package of the same project. ``virtual``: the target's virtual packages.
    """
    conda = [package for package in installed.packages if package.kind == "conda"]
    if not conda:
        return
    world = _World.of(installed, virtual)
    for package in conda:
        for text in package.requires:
            fact = world.unmet(text)
            if fact is not None:
                name = name_of(text)
                fix = None if name.startswith("__") else f"dataloader install 'conda:{_plain(text)}'"
                yield _finding(package, f"{package.label} depends on {text}", fact, fix)
        for text in package.constrains:
            fact = world.unmet(text) if name_of(text) in world.conda else None
            if fact is not None:
                fix = f"dataloader install 'conda:{_plain(text)}'"
                yield _finding(package, f"{package.label} does not go with {name_of(text)} unless {text}", fact, fix)


def name_of(spec: str) -> str:
    """The package that a match spec is about; empty where it names none.

    >>> name_of("conda-forge::numpy>=1.19,<3"), name_of("pytorch[build='*cuda*']")
    ('numpy', 'pytorch')
    """
    found = _NAME.match(spec)
    return found[1].lower() if found else ""


def _plain(spec: str) -> str:
    """The spec as the command line takes it."""
    return spec.replace("'", '"')


def _finding(package: InstalledPackage, message: str, fact: str, fix: str | None) -> Finding:
    return Finding(
        severity="warning", kind="unmet-requirement", path=package.path, message=message, evidence=(fact,), fix=fix
    )


@dataclass(frozen=True, slots=True)
class _World:
    """What a match spec may find in the prefix and on the target."""

    conda: Mapping[str, InstalledPackage]
    wheels: Mapping[str, InstalledPackage]
    virtual: Mapping[str, str]

    @classmethod
    def of(cls, installed: InstalledPackages, virtual: Mapping[str, str]) -> _World:
        return cls(
            {package.name: package for package in installed.packages if package.kind == "conda"},
            {package.name: package for package in installed.packages if package.kind == "pypi"},
            virtual,
        )

    def unmet(self, text: str) -> str | None:
        """Why nothing meets a spec; ``None`` where something does, or where the spec says nothing here."""
        name = name_of(text)
        if not name or "[when=" in text or " when=" in text:
            return None  # conditional: the solver knew whether it counts
        if name.startswith("__"):
            have = self.virtual.get(name)
            if have is None:
                return "the target does not have it"
            # What a build says of a CPU's level is an order that a match spec does not know.
            fits = name == "__archspec" or self._fits(text, name, have, None)
            return None if fits else f"the target has {have}"
        package = self.conda.get(name)
        if package is not None:
            fits = self._fits(text, name, package.version, package.build)
            return None if fits else f"{package.label} {package.build or ''}".rstrip() + " is installed"
        projects = map(normalized, pypi_names(name) or ())
        wheel = next((self.wheels[project] for project in projects if project in self.wheels), None)
        if wheel is None:
            return "it is not installed"
        return None if self._fits(text, name, wheel.version, None) else f"{wheel.label} is installed, from a wheel"

    def _fits(self, text: str, name: str, version: str, build: str | None) -> bool:
        """Whether a package meets a spec by version and, where it has one, build; true where nothing can be said."""
        import rattler
        from rattler.exceptions import InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionError

        try:
            asked = rattler.MatchSpec(text)
            parts = [
                name,
                str(asked.version or "*"),
                *([str(asked.build)] if build is not None and asked.build else []),
            ]
            spec = rattler.MatchSpec(" ".join(parts))
            record = rattler.PackageRecord(name, version, rattler.BuildString(build or "0"), 0, "noarch")
        except (InvalidMatchSpecError, InvalidPackageNameError, InvalidVersionError, ValueError, TypeError):
            return True  # written by another tool, or by hand; a solver would refuse the record, a loader does not care
        return spec.matches(record)
