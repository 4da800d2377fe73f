"""rattler's record of a conda package, from a channel or from a lock, as a value of the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.lockfile.model import CondaPackage

if TYPE_CHECKING:
    from rattler import RepoDataRecord


def package_of(record: RepoDataRecord, *, url: str, channel: str) -> CondaPackage:
    """Return what a record says, at ``url`` of ``channel``: its own addresses may hold what no lock should."""
    noarch, stamp = record.noarch, record.timestamp
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=str(record.subdir),
        url=url,
        channel=channel,
        sha256=record.sha256.hex() if record.sha256 else None,
        md5=record.md5.hex() if record.md5 else None,
        attestations_sha256=record.attestations_sha256.hex() if record.attestations_sha256 else None,
        size=record.size,
        noarch="python" if noarch.python else "generic" if noarch.generic else None,
        depends=tuple(record.depends),
        constrains=tuple(record.constrains),
        license=record.license,
        timestamp=round(stamp.timestamp() * 1000) if stamp else None,
        python_site_packages_path=record.python_site_packages_path,
        track_features=tuple(record.track_features),
    )
