"""Names: of projects, normalised as PEP 503 says; of files, by URL; many in one line; conda's of a project."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from dataloader.base.matrix_folder import matrix_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

World: TypeAlias = Literal["conda", "pypi"]
"""The two kinds of packages."""

_SEPARATORS = re.compile(r"[-_.]+")


def normalized(project: str) -> str:
    """Return the normalised name of a PyPI project (PEP 503), without importing ``packaging``.

    >>> normalized("Typing_Extensions")
    'typing-extensions'
    """
    return _SEPARATORS.sub("-", project).lower()


def is_name(text: str) -> bool:
    """Say whether a text can be the name of a project (PEP 508).

    >>> is_name("zope.interface"), is_name("two words")
    (True, False)
    """
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text) is not None


def file_name_of(url: str) -> str:
    """Return the name of the file that a URL leads to: the last part of its path, unquoted.

    >>> file_name_of("https://host/a/lib-1.0%2Bcpu-py3-none-any.whl?token=x#sha256=0")
    'lib-1.0+cpu-py3-none-any.whl'
    """
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1])


def some(names: Sequence[str], shown: int = 6) -> str:
    """Return the first few of ``names``, and how many more there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def conda_name(project: str) -> str | None:
    """Return the conda package that is the identity of a PyPI project, or None when conda has none.

    Where several conda packages wrap one distribution, the one that carries the files is the identity. A conda
    package of the same name that is something else (``docker``) is not the project.
    """
    names = _names()
    project = normalized(project)
    if project in names.identity:
        return names.identity[project]
    return project if project in names.same else None


def pypi_names(conda: str) -> tuple[str, ...] | None:
    """Return the PyPI projects inside a conda package: ``()`` when it has none, None when the name is unknown."""
    names = _names()
    if conda in names.same:
        return (conda,)
    if conda in names.absent:
        return ()
    return names.other.get(conda)


def known_projects() -> frozenset[str]:
    """Return the PyPI projects that conda has too: some 17,000 that people ask for."""
    names = _names()
    return names.same | names.identity.keys()


class _Names(NamedTuple):
    same: frozenset[str]
    """conda names that are exactly one project, of the same name."""
    absent: frozenset[str]
    """conda names that are no PyPI project."""
    other: dict[str, tuple[str, ...]]
    identity: dict[str, str]
    """PyPI project to conda name, where ``same`` does not say it."""


@cache
def _names() -> _Names:
    # 34,000 names: two long strings to split cost a few milliseconds, one object per name would cost fifty.
    import json
    import zlib

    document = json.loads(zlib.decompress((matrix_dir() / "names.json.gz").read_bytes(), wbits=zlib.MAX_WBITS | 16))
    return _Names(
        same=frozenset(document["same"].split(" ")),
        absent=frozenset(document["absent"].split(" ")),
        other={conda: tuple(projects) for conda, projects in document["other"].items()},
        identity=document["identity"],
    )
