"""Where the source of a project comes from, as one URL: a repository, an archive or a tree. Pure.

The URLs are pip's: ``git+https://host/a.git@REF#subdirectory=py``, ``https://host/a-1.0.tar.gz``, ``file:///a/tree``.
``editable=true`` behind ``#`` is ours: what pip says by an option stands in one place with the rest.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from dataloader.base.values import dataclass

ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip", ".tbz", ".txz")
"""How the names of source archives end."""
WHEEL = ".whl"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a source's URL says."""

    kind: Literal["git", "archive", "tree"]
    location: str
    """URL of the repository, the archive or the tree, without what stands behind ``#``."""
    ref: str | None = None
    """What is checked out of a repository: a commit, or the name of a branch or tag."""
    subdirectory: str | None = None
    """Where the project lies below it."""
    editable: bool = False
    """Whether the environment is to lead to the tree, in the place of a copy of it (PEP 660)."""

    @classmethod
    def of(cls, url: str) -> Origin:
        """Read a URL.

        >>> str(Origin.of("git+ssh://git@h/a.git@fix/this#subdirectory=py"))
        'git+ssh://git@h/a.git@fix/this#subdirectory=py'
        >>> Origin.of("file:///a/tree#editable=true").editable, Origin.of("file:///a-1.tar.gz").kind
        (True, 'archive')
        """
        plain, _, fragment = url.partition("#")
        fields = dict(part.partition("=")[::2] for part in fragment.split("&") if "=" in part)
        subdirectory = unquote(fields.get("subdirectory", "")).strip("/") or None
        if plain.startswith("git+"):
            where, ref = _parted(plain.removeprefix("git+"))
            return cls(kind="git", location=where, ref=ref, subdirectory=subdirectory)
        if plain.startswith("file:") and not plain.endswith((*ARCHIVES, WHEEL)):
            editable = fields.get("editable") == "true"
            return cls(kind="tree", location=plain, subdirectory=subdirectory, editable=editable)
        return cls(kind="archive", location=plain, subdirectory=subdirectory)

    def __str__(self) -> str:
        ref = f"@{quote(self.ref, safe='/+,;=!')}" if self.ref else ""
        said = [f"subdirectory={quote(self.subdirectory)}"] if self.subdirectory else []
        said += ["editable=true"] if self.editable else []
        return f"{'git+' if self.kind == 'git' else ''}{self.location}{ref}{'#' if said else ''}{'&'.join(said)}"

    @property
    def commit(self) -> str | None:
        """The commit, where that is what is checked out.

        >>> Origin.of("git+https://h/a.git@v1").commit is None
        True
        """
        return self.ref if self.kind == "git" and self.ref and _COMMIT.fullmatch(self.ref) else None

    @property
    def is_fixed(self) -> bool:
        """Whether a hash in a lock says which bytes these are."""
        return self.kind == "archive"

    def at(self, commit: str) -> Origin:
        """Return the same repository at a commit."""
        return replace(self, ref=commit)

    def folder(self) -> str:
        """Return the path of a tree, or of the project in it.

        >>> Origin.of("file:///a%20b/tree#subdirectory=py").folder()
        '/a b/tree/py'
        """
        return "/".join(filter(None, (unquote(urlsplit(self.location).path).rstrip("/"), self.subdirectory)))


def _parted(url: str) -> tuple[str, str | None]:
    """Part a repository's URL from what is checked out of it; a user before the host is none of it."""
    path = urlsplit(url).path
    ref = path.rpartition("@")[2] if "@" in path else ""
    return (url.removesuffix(f"@{ref}"), unquote(ref)) if ref else (url, None)
