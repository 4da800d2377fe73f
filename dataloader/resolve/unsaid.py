"""Bare names that say nothing: what a solution holds anyway is not asked for by being named. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rattler

    from dataloader.resolve.answer import Answer
    from dataloader.resolve.model import Resolution
    from dataloader.resolve.offered.offer import Catalogue


def brought(bare: Iterable[str], answer: Answer, catalogue: Catalogue) -> frozenset[str]:
    """Return the bare names of projects without conda packages that something else in an answer needs."""
    needed = _needed(answer.records)
    return frozenset(n for n in bare if catalogue.identity(n) in needed and not catalogue.conda_records(n))


def moved(
    bare: Iterable[str], answer: Answer, base: Sequence[rattler.RepoDataRecord], catalogue: Catalogue
) -> frozenset[str]:
    """Return the bare names that are in the conda part (``base``) for being named alone, and that others need.

    Unnamed, they would come from where the other needs of those come from.
    """
    needed = _needed(answer.records) - _needed(base)
    conda = {record.name.normalized for record in base}
    return frozenset(n for n in bare if (name := catalogue.identity(n)) in needed and name in conda)


def holds(resolution: Resolution, names: Collection[str], catalogue: Catalogue) -> bool:
    """Say whether a solution holds all of these projects."""
    there = {p.name for p in resolution.pypi} | {p.name for p in resolution.conda}
    return all(name in there or catalogue.identity(name) in there for name in names)


def _needed(records: Iterable[rattler.RepoDataRecord]) -> set[str]:
    return {text.partition("[")[0].partition(" ")[0] for record in records for text in record.depends}
