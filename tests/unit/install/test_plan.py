"""Plans from values alone: what is installed, what is locked, and why each step is there."""

from __future__ import annotations

import pytest

from dataloader.install.plan import make_plan
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile, Package, PypiPackage
from dataloader.prefix.model import Installed, Inventory


def wheel(name: str, version: str, sha256: str = "aa") -> PypiPackage:
    return PypiPackage(name=name, version=version, url=f"https://index.test/{name}.whl", sha256=sha256, size=7)


def record(name: str, version: str, build: str = "0", sha256: str = "bb") -> CondaPackage:
    return CondaPackage(
        name=name,
        version=version,
        build=build,
        build_number=0,
        subdir="linux-64",
        url=f"https://conda.test/{name}.conda",
        channel="https://conda.test/",
        sha256=sha256,
    )


def lock(*packages: Package) -> Lockfile:
    python = LockedPython(source="host", version="3.11")
    return Lockfile(platform="linux-64", channels=(), indexes=(), python=python, packages=packages)


def installed_wheel(name: str, version: str, installer: str = "dataloader") -> Installed:
    return Installed(kind="pypi", name=name, version=version, installer=installer)


def installed_record(name: str, version: str, build: str = "0", sha256: str = "bb") -> Installed:
    return Installed(kind="conda", name=name, version=version, build=build, sha256=sha256)


def test_each_package_gets_one_step_with_its_reason() -> None:
    locked = lock(record("zlib", "1"), wheel("kept", "1"), wheel("new", "1"), wheel("newer", "2"))
    present = Inventory(
        packages=(
            installed_record("zlib", "1"),
            installed_wheel("extra", "1"),
            installed_wheel("kept", "1"),
            installed_wheel("newer", "1"),
        )
    )

    plan = make_plan(locked, present, wheel_digests={"kept": "aa", "newer": "aa"})

    assert [(step.name, step.reason) for step in plan.install] == [("new", "not installed")]
    assert [(step.name, step.reason) for step in plan.replace] == [("newer", "version 1 is installed, 2 is locked")]
    assert [(step.name, step.reason) for step in plan.remove] == [("extra", "not in the lock")]
    assert [step.name for step in plan.keep] == ["zlib", "kept"]
    assert plan.summary() == "1 to install, 1 to replace, 1 to remove, 2 kept"


@pytest.mark.parametrize(
    ("locked", "present", "reason"),
    [
        (record("a", "1", build="1"), installed_record("a", "1", build="0"), "build 0 is installed, 1 is locked"),
        (record("a", "1", sha256="cc"), installed_record("a", "1"), "installed from another file of the same build"),
        (wheel("a", "1"), installed_wheel("a", "1", "pip"), "installed by pip"),
        (wheel("a", "1", "cc"), installed_wheel("a", "1"), "installed from another wheel of the same version"),
    ],
)
def test_same_version_is_not_always_the_same(locked: Package, present: Installed, reason: str) -> None:
    plan = make_plan(lock(locked), Inventory(packages=(present,)), wheel_digests={"a": "aa"})

    assert [step.reason for step in plan.replace] == [reason]


def test_package_that_changes_worlds_is_removed_and_installed() -> None:
    plan = make_plan(lock(wheel("numpy", "1")), Inventory(packages=(installed_record("numpy", "1"),)), wheel_digests={})

    assert [(step.kind, step.name) for step in plan.install] == [("pypi", "numpy")]
    assert [(step.kind, step.name) for step in plan.remove] == [("conda", "numpy")]


def test_rebuild_without_changes_is_not_empty() -> None:
    assert make_plan(lock(), Inventory(), wheel_digests={}).is_empty
    assert not make_plan(lock(), Inventory(), wheel_digests={}, rebuild=("another interpreter",)).is_empty
