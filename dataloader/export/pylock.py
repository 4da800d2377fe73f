"""pylock.toml (PEP 751), by packaging's model of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dataloader import __version__
from dataloader.base.platforms import PLATFORMS
from dataloader.export.formats import ExportOptions
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import Lockfile, PypiPackage


def pylock(lock: Lockfile, options: ExportOptions) -> str:
    """The wheels and sources of a lock, for its platform and Python alone."""
    import tomlkit
    from packaging.markers import Marker
    from packaging.pylock import Package, Pylock
    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName
    from packaging.version import Version

    del options
    names = {package.name for package in lock.pypi()}
    needs: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for edge in edges_of(lock):
        if edge.source in names and edge.target in names and {"name": edge.target} not in needs[edge.source]:
            needs[edge.source].append({"name": edge.target})
    document = Pylock(
        lock_version=Version("1.0"),
        created_by=f"dataloader {__version__}",
        environments=[Marker(text) for text in [environment_marker(lock)] if text],
        requires_python=SpecifierSet(_requires_python(lock)) if lock.python.version else None,
        packages=[
            Package(
                name=NormalizedName(package.name),
                version=Version(package.version),
                requires_python=SpecifierSet(package.requires_python) if package.requires_python else None,
                dependencies=needs[package.name] or None,
                **_where(package),
            )
            for package in lock.pypi()
        ],
        tool={"dataloader": {"stack": dict(lock.stack)}} if lock.stack else None,
    )
    document.validate()
    return tomlkit.dumps(document.to_dict())


def _where(package: PypiPackage) -> dict[str, Any]:
    """Where a package comes from: an index, a repository, a directory, or an archive by its address."""
    from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel

    hashes, origin = {"sha256": package.sha256}, package.origin
    below = origin.subdirectory
    if package.build is not None and origin.kind == "tree":
        return {"directory": PackageDirectory(path=origin.folder(), editable=origin.editable or None)}
    if package.build is not None and origin.commit:
        return {"vcs": PackageVcs(type="git", url=origin.location, commit_id=origin.commit, subdirectory=below)}
    if package.index is None:
        archive = PackageArchive(url=origin.location, size=package.size, hashes=hashes, subdirectory=below)
        return {"archive": archive}
    kind = PackageWheel if package.build is None else PackageSdist
    file = kind(name=package.file_name, url=package.url, size=package.size, hashes=hashes)
    return {"index": package.index, **({"wheels": [file]} if package.build is None else {"sdist": file})}


def environment_marker(lock: Lockfile) -> str | None:
    """The marker that holds where the lock does; ``None`` for a platform that markers have no words for."""
    known = PLATFORMS.get(lock.platform)
    return f"sys_platform == '{known.sys_platform}' and platform_machine == '{known.machine}'" if known else None


def _requires_python(lock: Lockfile) -> str:
    assert lock.python.version is not None
    return f"=={'.'.join(lock.python.version.split('.')[:2])}.*"
