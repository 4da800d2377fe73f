"""What has to be done to a prefix. Pure: values in, a plan out; ``prefix.py`` reads the disk."""

from __future__ import annotations

from collections.abc import Mapping

from dataloader.base.core_metadata import is_version_of
from dataloader.base.names import World
from dataloader.install.model import InstallPlan, Step
from dataloader.lockfile.model import CondaPackage, Lockfile, Package
from dataloader.prefix.model import Installed, Inventory

INSTALLER = "dataloader"
"""What we write into INSTALLER (PEP 376); another name there means that somebody replaced the distribution."""


def make_plan(
    lock: Lockfile,
    inventory: Inventory,
    *,
    wheel_digests: Mapping[str, str],
    rebuild: tuple[str, ...] = (),
) -> InstallPlan:
    """Compare a lock with what is installed.

    Args:
        wheel_digests: Name to sha256 of the wheels that the last sync installed; dist-info does not record it.
        rebuild: Reasons found elsewhere for making the tree anew.
    """
    wanted = {_key(package): package for package in lock.packages}
    present = {(package.kind, package.name): package for package in inventory.packages}
    install: list[Step] = []
    replace: list[Step] = []
    keep: list[Step] = []
    for key, package in sorted(wanted.items(), key=lambda pair: pair[0]):
        old = present.get(key)
        if old is None:
            install.append(_step(package, None, "not installed"))
            continue
        reason = _difference(package, old, wheel_digests)
        (replace if reason else keep).append(_step(package, old, reason or "as locked"))
    remove = [
        Step(kind=old.kind, name=old.name, old=old.version, new=None, reason="not in the lock")
        for key, old in sorted(present.items(), key=lambda pair: pair[0])
        if key not in wanted
    ]
    return InstallPlan(
        install=tuple(install), replace=tuple(replace), remove=tuple(remove), keep=tuple(keep), rebuild=rebuild
    )


def _difference(package: Package, old: Installed, wheel_digests: Mapping[str, str]) -> str | None:
    """Why the installed package is not the locked one, or ``None``."""
    if not is_version_of(old.version, package.version):
        return f"version {old.version} is installed, {package.version} is locked"
    if isinstance(package, CondaPackage):
        if old.build != package.build:
            return f"build {old.build} is installed, {package.build} is locked"
        if package.sha256 and old.sha256 and old.sha256 != package.sha256:
            return "installed from another file of the same build"
        return None
    if old.installer != INSTALLER:
        return f"installed by {old.installer or 'another tool'}"
    if wheel_digests.get(package.name) != package.stored_as:
        return "installed from another wheel of the same version"
    return None


def _key(package: Package) -> tuple[World, str]:
    return ("conda" if isinstance(package, CondaPackage) else "pypi"), package.name


def _step(package: Package, old: Installed | None, reason: str) -> Step:
    kind, name = _key(package)
    return Step(
        kind=kind, name=name, old=old.version if old else None, new=package.version, reason=reason, size=package.size
    )
