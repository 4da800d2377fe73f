"""A project that nobody has, and names that are like it. Needs no solver."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from dataloader.base.errors import ResolutionFailure
from dataloader.base.names import known_projects, pypi_names
from dataloader.base.tasks import together
from dataloader.index.model import IndexFile

INDEXES = "the package indexes"
"""What they are called among the places that were looked in."""
NEAR = 3
"""Names shown that may have been meant."""


class Pages(Protocol):
    """What is asked of package indexes."""

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        """Return every file of a project; ``()`` when no index knows it."""
        ...


async def unknown_project(name: str, origin: str, places: Sequence[str], index: Pages) -> ResolutionFailure:
    """Return the refusal of a project that none of ``places`` has, with the names like it that an index has."""
    near = list(dict.fromkeys((*condas_name(name), *near_names(name, known_projects()))))[:NEAR]
    pages = await together([index.project(name) for name in near])
    near = [name for name, files in zip(near, pages, strict=True) if files]
    return ResolutionFailure(
        f"no package is named {name} (asked for by {origin})",
        code="unknown-package",
        causes=(f"looked in: {', '.join(places)}",),
        suggestions=(
            f"did you mean {' or '.join(near)}?" if near else "check the spelling",
            "name the index or channel that has it with --extra-index-url or --channel",
        ),
        python_matters=False,
    )


def condas_name(name: str) -> list[str]:
    """Return the project that conda calls by a name, where PyPI has another name for it.

    >>> condas_name("pytables"), condas_name("numpy")
    (['tables'], [])
    """
    return [project for project in (pypi_names(name) or ())[:1] if project != name]


def near_names(name: str, known: Collection[str]) -> list[str]:
    """Return the known names that are most like one, the most likely first.

    >>> near_names("torhc", ["torch", "torchvision", "numpy"])
    ['torch']
    """
    import difflib

    alike = [
        candidate
        for candidate in known
        if abs(len(candidate) - len(name)) <= 2 and (candidate[:1] == name[:1] or candidate[-2:] == name[-2:])
    ]
    return [
        candidate for candidate in difflib.get_close_matches(name, alike, n=NEAR + 1, cutoff=0.65) if candidate != name
    ][:NEAR]
