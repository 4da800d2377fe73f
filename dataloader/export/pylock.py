"""pylock.toml (PEP 751), by packaging's model of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dataloader import __version__
from dataloader.base.platforms import PLATFORMS
from dataloader.export.formats import ExportOptions
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import Lockfile


def pylock(lock: Lockfile, options: ExportOptions) -> str:
    """The wheels and sources of a lock, for its platform and Python alone."""
    import tomlkit
    from packaging.markers import Marker
    from packaging.pylock import (
        Package,
        PackageArchive,
        PackageDirectory,
        PackageSdist,
        PackageVcs,
        PackageWheel,
        Pylock,
    )
    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName
    from packaging.version import Version

    del options
    names = {package.name for package in lock.pypi()}
    needs: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for edge in edges_of(lock):
        if edge.source in names and edge.target in names and {"name": edge.target} not in needs[edge.source]:
            needs[edge.source].append({"name": edge.target})
    packages = []
    for package in lock.pypi():
        hashes, origin = {"sha256": package.sha256}, package.origin
        archive = PackageArchive(
            url=origin.location, size=package.size, hashes=hashes, subdirectory=origin.subdirectory
        )
        where: dict[str, Any] = {"archive": archive}
        if package.build is not None and origin.kind == "tree":
            where = {"directory": PackageDirectory(path=origin.folder(), editable=origin.editable or None)}
        elif package.build is not None and origin.commit:
            below = origin.subdirectory
            vcs = PackageVcs(type="git", url=origin.location, commit_id=origin.commit, subdirectory=below)
            where = {"vcs": vcs}
        elif package.index is not None:
            kind = PackageWheel if package.build is None else PackageSdist
            file = kind(name=package.file_name, url=package.url, size=package.size, hashes=hashes)
            where = {"index": package.index, **({"wheels": [file]} if package.build is None else {"sdist": file})}
        packages.append(
            Package(
                name=NormalizedName(package.name),
                version=Version(package.version),
                requires_python=SpecifierSet(package.requires_python) if package.requires_python else None,
                dependencies=needs[package.name] or None,
                **where,
            )
        )
    document = Pylock(
        lock_version=Version("1.0"),
        created_by=f"dataloader {__version__}",
        environments=[Marker(text) for text in [environment_marker(lock)] if text],
        requires_python=SpecifierSet(_requires_python(lock)) if lock.python.version else None,
        packages=packages,
        tool={"dataloader": {"stack": dict(lock.stack)}} if lock.stack else None,
    )
    document.validate()
    return tomlkit.dumps(document.to_dict())


def environment_marker(lock: Lockfile) -> str | None:
    """The marker that holds where the lock does; ``None`` for a platform that markers have no words for."""
    known = PLATFORMS.get(lock.platform)
    return f"sys_platform == '{known.sys_platform}' and platform_machine == '{known.machine}'" if known else None


def _requires_python(lock: Lockfile) -> str:
    assert lock.python.version is not None
    return f"=={'.'.join(lock.python.version.split('.')[:2])}.*"
