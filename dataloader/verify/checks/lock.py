"""A prefix against a lock: names and versions. Judgement only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from dataloader.base.core_metadata import is_version_of
from dataloader.base.names import normalized
from dataloader.lockfile.model import CondaPackage, Lockfile
from dataloader.prefix.records import InstalledPackages
from dataloader.verify.findings import Finding, FindingKind

_SEEDS = frozenset({"pip", "setuptools", "wheel"})
"""What ``venv`` puts into a new environment."""


def check_lock(installed: InstalledPackages, lock: Lockfile) -> Iterator[Finding]:
    """Packages that the lock has and the prefix lacks, or in another version or build; and those of no lock."""
    present = {(package.kind, normalized(package.name)): package for package in installed.packages}
    wanted: set[tuple[str, str]] = set()
    for locked in lock.packages:
        kind = "conda" if isinstance(locked, CondaPackage) else "pypi"
        key = (kind, normalized(locked.name))
        wanted.add(key)
        package = present.get(key)  # type: ignore[arg-type]
        if package is None:
            yield _drift(
                "locked-package-missing",
                locked.name,
                f"the lock has {locked.name} {locked.version}, the prefix does not",
            )
            continue
        # PEP 440: a local version is the same in upper and lower case; some wheels have it in the file's name alone.
        same = kind == "pypi" and is_version_of(_normal(package.version), _normal(locked.version))
        have, want = [locked.version if same else package.version], [locked.version]
        if isinstance(locked, CondaPackage):
            have.append(package.build or "")
            want.append(locked.build)
        if have != want:
            yield _drift(
                "locked-version-differs",
                package.path,
                f"{locked.name} is {' '.join(have)}, the lock says {' '.join(want)}",
            )
    conda_names = {name for kind, name in wanted if kind == "conda"}
    for (kind, name), package in sorted(present.items()):
        # A conda package brings its own dist-info; that is the same package, not one more.
        if (kind, name) in wanted or (kind == "pypi" and (name in conda_names or _in_conda(installed, package.path))):
            continue
        if kind == "pypi" and name in _SEEDS:
            continue
        yield Finding(
            severity="warning",
            kind="extraneous-package",
            path=package.path,
            message=f"{package.label} is installed and not in the lock",
            fix="dataloader sync",
        )


def _normal(version: str) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _in_conda(installed: InstalledPackages, path: str) -> bool:
    return any(
        file.startswith(path + "/")
        for package in installed.packages
        if package.kind == "conda"
        for file in package.files.columns[0]
    )


def _drift(kind: FindingKind, path: str, message: str) -> Finding:
    return Finding(severity="error", kind=kind, path=path, message=message, fix="dataloader sync")
