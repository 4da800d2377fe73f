"""Match specs of installed conda packages: what meets them, and what a solver chose has no finding."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import rattler

from dataloader.base.names import World
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.checks.conda_depends import check_conda_depends
from tests.bench.cases import SAMPLE
from tests.bench.samples import unpack_sample

_VIRTUAL = {"__glibc": "2.36", "__cuda": "12.4", "__linux": "5.10", "__unix": "0", "__archspec": "1"}


def package(
    name: str,
    version: str = "1.0",
    build: str | None = "h0_0",
    *,
    kind: World = "conda",
    depends: tuple[str, ...] = (),
    constrains: tuple[str, ...] = (),
) -> InstalledPackage:
    return InstalledPackage(
        kind=kind, name=name, version=version, build=build, path=name, requires=depends, constrains=constrains
    )


def said(*packages: InstalledPackage) -> list[tuple[str, str]]:
    installed = InstalledPackages(packages=packages, site_packages=(), unreadable={})
    return [(each.message, each.evidence[0]) for each in check_conda_depends(installed, _VIRTUAL)]


@pytest.mark.parametrize(
    ("spec", "unmet"),
    [
        ("numpy", False),
        ("numpy >=1.22,<2", False),
        ("numpy>=1.22,<2", False),
        ("numpy=1.26", False),
        ("numpy 1.26.* py311*", False),
        ("conda-forge::numpy >=1.22", False),
        ("numpy[version='>=1.22',build='py311*']", False),
        ("numpy >=2", True),
        ("numpy 1.26", True),
        ("numpy 1.26.* py312*", True),
        ("conda-forge::numpy >=2", True),
        ("absent", True),
        ("absent[when='python <3.8']", False),
        ('numpy >=2[when="python <3.8"]', False),
        ("__glibc >=2.17,<3.0.a0", False),
        ("__glibc >=2.99", True),
        ("__osx >=11", True),
        ("__archspec 1.* x86_64_v3", False),
        ("numpy >=,", False),
        ("", False),
        ("requests-wheel >=2", True),
        ("requests >=2", False),
        ("requests >=3", True),
        ("requests 2.* pyhd*", False),
    ],
)
def test_what_meets_a_match_spec(spec: str, unmet: bool) -> None:
    user = package("user", depends=(spec,))
    numpy = package("numpy", "1.26.4", "py311h64a7726_0")
    wheel = package("requests", "2.31.0", None, kind="pypi")

    assert bool(said(user, numpy, wheel)) is unmet


def test_messages_name_what_is_there() -> None:
    user = package("user", depends=("numpy >=2",), constrains=("cudnn >=9", "numpy <1.20", "absent >=3"))
    numpy, cudnn = package("numpy", "1.26.4", "py311_0"), package("cudnn", "9.1")

    assert said(user, numpy, cudnn) == [
        ("user 1.0 depends on numpy >=2", "numpy 1.26.4 py311_0 is installed"),
        ("user 1.0 does not go with numpy unless numpy <1.20", "numpy 1.26.4 py311_0 is installed"),
    ]


def test_version_that_conda_cannot_read_says_nothing() -> None:
    assert said(package("user", depends=("odd >=1",)), package("odd", "not a version")) == []


def test_what_a_solver_chose_from_real_metadata_has_no_finding(tmp_path: Path) -> None:
    root = unpack_sample(SAMPLE, tmp_path)
    virtual = [
        rattler.GenericVirtualPackage(rattler.PackageName(n), rattler.Version(v), rattler.BuildString("0"))
        for n, v in _VIRTUAL.items()
    ]
    specs = ("pytorch[version='2.1.0',build='*cuda11.8*']", "pytorch-cuda 11.8.*", "python 3.11.*")
    chosen = asyncio.run(
        rattler.solve(
            sources=[rattler.Channel((root / n).as_uri() + "/") for n in ("pytorch", "nvidia", "conda-forge")],
            specs=[rattler.MatchSpec(spec) for spec in specs],
            platforms=["linux-64", "noarch"],
            virtual_packages=virtual,
        )
    )
    packages = [
        package(
            each.name.normalized,
            str(each.version),
            str(each.build),
            depends=tuple(map(str, each.depends)),
            constrains=tuple(map(str, each.constrains)),
        )
        for each in chosen
    ]
    assert len(packages) > 50

    assert said(*packages) == []
    older = [each for each in packages if each.name != "python"] + [package("python", "3.9.0")]
    assert any(evidence == "python 3.9.0 h0_0 is installed" for _, evidence in said(*older))
