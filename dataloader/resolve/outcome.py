"""From the solver's records to a resolution. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from packaging.version import Version

from dataloader.lockfile.model import PypiPackage
from dataloader.resolve.channels.rattler import OURS, to_package
from dataloader.resolve.model import Applied, Resolution
from dataloader.resolve.words.versions import series

if TYPE_CHECKING:
    import rattler

    from dataloader.resolve.offered.offer import Catalogue, Offer


def make_resolution(
    records: Sequence[rattler.RepoDataRecord],
    offer: Offer,
    catalogue: Catalogue,
    *,
    python_source: Literal["conda", "host"],
    notes: tuple[str, ...],
    rounds: int,
    metadata_read: int,
) -> Resolution:
    """Sort the chosen records into wheels and conda packages."""
    conda, pypi, applied = [], [], []
    python: str | None = None
    axes: dict[str, str] = {}
    builds: dict[str, str] = {}
    named = {catalogue.identity(axis): axis for axis in catalogue.book.needs.axes}
    for record in records:
        name = record.name.normalized
        if name == "python":
            python = str(record.version)
        applied += [Applied(rule=rule, package=name) for rule in offer.fired.get(record.url, ())]
        if name in named:
            axes[named[name]] = str(record.version)
        if record.url in offer.taken:
            builds[name] = offer.taken[record.url].id
        if record.url in offer.wheels:
            pypi.append(_wheel_package(offer, catalogue, record))
        elif str(record.channel) != OURS:
            conda.append(to_package(record))
        elif record.url in offer.conda:
            conda.append(to_package(offer.conda[record.url]))
    applied += [Applied(rule=rule, package="") for rule in catalogue.book.always]
    return Resolution(
        conda=tuple(sorted(conda, key=lambda p: p.name)),
        pypi=tuple(sorted(pypi, key=lambda p: p.name)),
        python=python,
        python_source=python_source if python else "none",
        notes=notes,
        applied=tuple(sorted(applied, key=lambda a: (a.rule.id, a.package))),
        axes=dict(sorted(axes.items())),
        builds=dict(sorted(builds.items())),
        rounds=rounds,
        metadata_read=metadata_read,
    )


def _wheel_package(offer: Offer, catalogue: Catalogue, record: rattler.RepoDataRecord) -> PypiPackage:
    wheel = offer.wheels[record.url]
    knowledge = catalogue.knowledge
    assert knowledge is not None
    metadata = knowledge.learned.of(wheel)
    assert metadata is not None
    extras = {e for e in metadata.extras if e in knowledge.extras[wheel.file.name]}
    return PypiPackage(
        name=wheel.file.name,
        version=wheel.text,
        url=wheel.file.url,
        sha256=wheel.file.sha256 or "",
        size=wheel.file.size,
        requires_dist=metadata.requires_dist,
        requires_python=metadata.requires_python or wheel.file.requires_python,
        extras=tuple(sorted(extras)),
        index=wheel.file.index or None,
    )


def much_older(version: Version, newest: Version) -> bool:
    """Say whether ``version`` is a whole series behind: another epoch, or another first non-zero release number.

    >>> much_older(Version("4.9"), Version("5.1")), much_older(Version("5.0"), Version("5.1"))
    (True, False)
    >>> much_older(Version("0.3.1"), Version("0.5.0"))
    True
    """
    return series(version) < series(newest)
