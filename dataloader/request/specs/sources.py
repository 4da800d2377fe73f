"""Sources of projects: repositories, archives and trees. All are read and kept; archives may be allowed to be built."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote, urldefrag, urlsplit

from dataloader.base.names import normalized
from dataloader.index.web.credentials import check_asked
from dataloader.request.specs.requirements import PypiRequirement, Refusal, Requirement, Source

if TYPE_CHECKING:
    from dataloader.request.toml import Table

R = TypeVar("R", bound=Requirement)

ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip", ".tbz", ".txz")
_VCS = re.compile(r"(?P<vcs>git|hg|svn|bzr)\+")


def is_wheel(location: str) -> bool:
    """Say whether a path or URL names a wheel, not something to build one from.

    >>> is_wheel("https://h/a-1-py3-none-any.whl#sha256=0"), is_wheel("git+https://h/a.git")
    (True, False)
    """
    plain = location.partition("#")[0].split("?", 1)[0]
    return plain.endswith(".whl") and not _VCS.match(location)


def source_at(location: str, *, base: Path | None = None, editable: bool = False) -> Source:
    """Read what pip reads behind ``@`` or ``-e``: a URL of version control, an archive, or a path.

    >>> source_at("git+ssh://git@h/a.git@fix/this#subdirectory=py").rev
    'fix/this'

    Raises:
        UsageError: it could never be asked (``index-bad-url``).
    """
    check_asked(location.removeprefix("git+"))
    plain, fragment = urldefrag(location)
    fields = dict(part.partition("=")[::2] for part in fragment.split("&") if "=" in part)
    subdirectory = fields.get("subdirectory") or None
    if plain.startswith("git+"):
        url = plain.removeprefix("git+")
        rev = urlsplit(url).path.partition("@")[2]
        where = url.removesuffix(f"@{rev}") if rev else url
        return Source(kind="git", location=where, rev=rev or None, subdirectory=subdirectory, editable=editable)
    parts = urlsplit(plain)
    if _VCS.match(plain):
        return Source(kind="url", location=plain, subdirectory=subdirectory, editable=editable)
    if parts.scheme in {"http", "https", "ftp"}:
        return Source(kind="url", location=plain, subdirectory=subdirectory)
    path = Path(unquote(parts.path) if parts.scheme == "file" else plain)
    if path.parts[:1] == ("~",):
        path = path.expanduser()
    path = Path(((base or Path.cwd()) / path).absolute().as_posix())
    return Source(kind="path", location=_plain(path), subdirectory=subdirectory, editable=editable)


def git_source(table: Table, *, editable: bool = False) -> Source:
    """Read a repository, what is checked out of it and where the project lies in it, in the keys of uv and Poetry."""
    kinds: tuple[Literal["rev", "tag", "branch"], ...] = ("rev", "tag", "branch")
    kind = next((each for each in kinds if each in table), kinds[0])
    return Source(
        kind="git",
        location=table.string("git") or "",
        rev=table.string(kind),
        rev_kind=kind,
        subdirectory=table.string("subdirectory"),
        editable=editable,
    )


def _plain(path: Path) -> str:
    import os

    return os.path.normpath(path)


def name_of(location: str, source: Source) -> str:
    """Guess the project's name: what the location says (``#egg=``), what the tree says, or how it is called."""
    egg = re.search(r"[#&]egg=([A-Za-z0-9._-]+)", location)
    if egg:
        return normalized(egg[1])
    if source.kind == "path" and (declared := _declared_name(Path(source.location))):
        return normalized(declared)
    last = source.location.rstrip("/").rpartition("/")[2].removesuffix(".git")
    for suffix in ARCHIVES:
        if last.endswith(suffix):
            last = last.removesuffix(suffix)
            last = re.sub(r"-\d[^-]*$", "", last)
    return normalized(last) or source.location


def _declared_name(tree: Path) -> str | None:
    """Return the name in a tree's pyproject.toml; a file that is broken is for whoever builds it."""
    from dataloader.base.errors import ManifestError
    from dataloader.request.toml import Document

    try:
        text = (tree / "pyproject.toml").read_text(encoding="utf-8")
        data = Document(text, tree / "pyproject.toml", code="manifest-invalid", kind="pyproject.toml").data
    except (OSError, UnicodeDecodeError, ManifestError):
        return None
    tables = (data.get("project"), data.get("tool", {}).get("poetry"))
    names = (table.get("name") for table in tables if isinstance(table, dict))
    return next((name for name in names if isinstance(name, str)), None)


def from_source(requirement: PypiRequirement, source: Source) -> PypiRequirement:
    """Return the requirement as one that a source would have to meet: it is refused where it matters."""
    return replace(
        requirement, specifier="", source=source, refusal=unbuildable(requirement.name, source, requirement.origin)
    )


def allowed(requirement: R, built: Collection[str]) -> R:
    """Return a requirement as one that the archive it names is to meet, where its project may be built.

    What of it cannot be built yet (repositories, trees, parts of an archive, editable installs) stays refused.
    """
    if not isinstance(requirement, PypiRequirement) or requirement.source is None or requirement.name not in built:
        return requirement
    source = requirement.source
    if not is_archive(source):
        return requirement
    url = source.location if source.kind == "url" else Path(source.location).as_uri()
    return replace(requirement, url=url, world="pypi", source=None, refusal=None)


def is_archive(source: Source) -> bool:
    """Say whether a source is one whole archive."""
    plain = source.location.partition("?")[0]
    is_one = source.kind != "git" and not _VCS.match(source.location) and plain.endswith(ARCHIVES)
    return is_one and not source.subdirectory and not source.editable


UNBUILDABLE = "requirement-unsupported"


def unbuildable(name: str, source: Source, origin: str) -> Refusal:
    """Return why a source is refused."""
    kinds = {"git": "version control", "url": "a source archive", "path": "a source tree or archive"}
    what = "an editable install" if source.editable else kinds[source.kind]
    if is_archive(source):
        return Refusal(
            message=f"{origin}: {name} comes from {source}, a source archive, and is not allowed to be built",
            code=UNBUILDABLE,
            suggestions=(
                f"--build {name} builds it, which runs code of the project on this machine",
                "or leave all that would have to be built out: --skip-unbuildable",
            ),
        )
    return Refusal(
        message=f"{origin}: {name} comes from {source}, {what}: nothing is built from source here",
        code=UNBUILDABLE,
        suggestions=(
            "Build a wheel first (`python -m build`), then give its path.",
            "or leave all such out: --skip-unbuildable",
        ),
    )
