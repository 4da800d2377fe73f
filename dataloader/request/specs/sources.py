"""Sources of projects: repositories, archives and trees. All are read and kept; what may be built is said by name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote, urldefrag, urlsplit

from dataloader.base.errors import ManifestError, UsageError
from dataloader.base.names import is_name, normalized
from dataloader.base.origin import ARCHIVES, Origin
from dataloader.index.web.credentials import check_asked
from dataloader.request.specs.requirements import PypiRequirement, Refusal, Requirement, Source

if TYPE_CHECKING:
    from dataloader.request.toml import Table

R = TypeVar("R", bound=Requirement)

_VCS = re.compile(r"(?P<vcs>git|hg|svn|bzr)\+")
_SCP = re.compile(r"(?P<user>[\w.+-]+)@(?P<host>[\w.-]+):(?P<path>[^:].*)")
"""``git@host:path``, which git reads as ssh."""
_REF = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])")
"""What can be the name of a branch, tag or commit (git-check-ref-format)."""
_GIT_SCHEMES = frozenset({"http", "https", "ssh", "git", "file"})


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
    if location.startswith("git+"):
        return _repository(location, base=base, editable=editable)
    check_asked(location)
    plain, fragment = urldefrag(location)
    fields = dict(part.partition("=")[::2] for part in fragment.split("&") if "=" in part)
    subdirectory = inside(unquote(fields.get("subdirectory") or ""))
    parts = urlsplit(plain)
    if _VCS.match(plain):
        return Source(kind="url", location=plain, subdirectory=subdirectory, editable=editable)
    if parts.scheme in {"http", "https", "ftp"}:
        return Source(kind="url", location=plain, subdirectory=subdirectory, editable=editable)
    path = path_named(unquote(parts.path) if parts.scheme == "file" else plain)
    if path.parts[:1] == ("~",):
        path = path.expanduser()
    path = Path(((base or Path.cwd()) / path).absolute().as_posix())
    editable = editable or fields.get("editable") == "true"
    return Source(kind="path", location=_plain(path), subdirectory=subdirectory, editable=editable)


def path_named(text: str) -> Path:
    """Return the path that text names.

    Raises:
        UsageError: ``requirement-invalid``, of what the system takes as no path.
    """
    if "\0" in text:
        raise _never(f"{text!r} has a NUL character, which no path may have")
    return Path(text)


def _repository(location: str, *, base: Path | None, editable: bool) -> Source:
    """Read ``git+URL@REF#subdirectory=DIR``."""
    url, _, fragment = location.removeprefix("git+").partition("#")
    found = Origin.of(f"git+{_git_url(url, base)}{'#' if fragment else ''}{fragment}")
    return Source(
        kind="git",
        location=found.location,
        rev=_checked_ref(found.ref),
        subdirectory=inside(found.subdirectory),
        editable=editable,
    )


def git_source(table: Table, *, editable: bool = False) -> Source:
    """Read a repository, what is checked out of it and where the project lies in it, in the keys of uv and Poetry.

    Raises:
        UsageError: as ``source_at``.
    """
    kinds: tuple[Literal["rev", "tag", "branch"], ...] = ("rev", "tag", "branch")
    kind = next((kind for kind in kinds if kind in table), kinds[0])
    return Source(
        kind="git",
        location=_git_url(table.string("git") or "", table.document.path.parent),
        rev=_checked_ref(table.string(kind)),
        rev_kind=kind,
        subdirectory=inside(table.string("subdirectory")),
        editable=editable,
    )


def _git_url(location: str, base: Path | None) -> str:
    """Return a repository's URL; it may be said as ssh has it, or as a path."""
    if "://" not in location:
        if found := _SCP.fullmatch(location):
            location = f"ssh://{found['user']}@{found['host']}/{found['path'].lstrip('/')}"
        elif re.match(r"[\w+]+::", location) or location.startswith("-"):
            raise _never(f"{location!r} is no repository: git is asked by {', '.join(sorted(_GIT_SCHEMES))}")
        else:
            location = ((base or Path.cwd()) / path_named(location).expanduser()).absolute().as_uri()
    check_asked(location)
    parts = urlsplit(location)
    if parts.scheme not in _GIT_SCHEMES:
        raise _never(f"{parts.scheme}:// leads to no repository: git is asked by {', '.join(sorted(_GIT_SCHEMES))}")
    if (parts.hostname or "").startswith("-") or (parts.username or "").startswith("-"):
        raise _never(f"{location!r} names no host")
    return location


def _checked_ref(ref: str | None) -> str | None:
    if ref and not _REF.fullmatch(ref):
        raise _never(f"{ref!r} cannot be the name of a branch, tag or commit")
    return ref or None


def inside(subdirectory: str | None) -> str | None:
    """Return a folder below a source."""
    parts = [part for part in (subdirectory or "").split("/") if part not in {"", "."}]
    if ".." in parts or (subdirectory or "").startswith("/"):
        raise _never(f"the subdirectory {subdirectory!r} leads out of its source")
    return "/".join(parts) or None


def _never(why: str) -> UsageError:
    return UsageError(why, code="requirement-invalid")


def _plain(path: Path) -> str:
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
    """Return a requirement as one that its source is to meet, where its project may be built."""
    if not isinstance(requirement, PypiRequirement) or requirement.source is None or requirement.name not in built:
        return requirement
    if not _is_buildable(requirement.source):
        return requirement
    return replace(requirement, url=url_of(requirement.source), world="pypi", refusal=None)


def url_of(source: Source) -> str:
    """Return what stands for a source in a lock, and behind ``@``.

    >>> url_of(Source(kind="git", location="https://h/a.git", rev="v1", rev_kind="tag"))
    'git+https://h/a.git@refs/tags/v1'
    """
    kind: Literal["git", "archive", "tree"] = "git" if source.kind == "git" else "archive"
    location, ref = source.location, source.rev
    subdirectory = source.subdirectory
    if source.kind == "path":
        kind = "archive" if source.location.endswith(ARCHIVES) else "tree"
        path = Path(source.location, subdirectory or "") if kind == "tree" else Path(source.location)
        location, subdirectory = path.as_uri(), subdirectory if kind == "archive" else None
    if ref and source.rev_kind != "rev" and not ref.startswith("refs/"):
        ref = f"refs/{'tags' if source.rev_kind == 'tag' else 'heads'}/{ref}"
    editable = source.editable and kind == "tree"
    return str(Origin(kind=kind, location=location, ref=ref, subdirectory=subdirectory, editable=editable))


def _is_buildable(source: Source) -> bool:
    """Say whether a source is of a kind that is built here."""
    if source.editable and not _is_tree(source):
        return False
    if source.kind != "url":
        return True
    plain = source.location.partition("?")[0]
    return not _VCS.match(source.location) and urlsplit(plain).scheme != "ftp" and plain.endswith(ARCHIVES)


def _is_tree(source: Source) -> bool:
    return source.kind == "path" and not source.location.endswith((*ARCHIVES, ".whl"))


def checkout_of(name: str, source: Source) -> tuple[str, str, str]:
    """Return the command line that makes a copy of a repository to be edited, its folder, and what ``-e`` calls that.

    >>> checkout_of("a", Source(kind="git", location="https://h/a.git", rev="v1"))
    ('git clone https://h/a.git src/a && git -C src/a checkout v1', './src/a', './src/a')
    >>> checkout_of("a", Source(kind="git", location="https://h/a.git", subdirectory="py"))[1:]
    ('./src/a/py', 'a @ ./src/a/py')
    """
    checkout = f"src/{name}"
    at = f" && git -C {checkout} checkout {quote(source.rev)}" if source.rev else ""
    # a folder below is not called as the project is, and its name may stand nowhere in it
    folder, named = (f"/{source.subdirectory}", f"{name} @ ") if source.subdirectory else ("", "")
    folder = f"./{checkout}{folder}"
    return f"git clone {quote(source.location)} {checkout}{at}", folder, f"{named}{folder}"


UNBUILDABLE = "requirement-unsupported"
_WORDS = {"git": "a repository", "url": "a source archive", "path": "a source tree or archive"}


def unbuildable(name: str, source: Source, origin: str) -> Refusal:
    """Return why a source is refused."""
    if source.editable and not _is_tree(source):
        cloning, _, folder = checkout_of(name, source)
        return Refusal(
            message=f"{origin}: {name} is to be editable and comes from {source}: only a folder of yours can be edited",
            code=UNBUILDABLE,
            suggestions=(
                *((f"`{cloning}`, and name that folder: -e {folder}",) if source.kind == "git" else ()),
                f"or take a copy of it: `{name} @ {url_of(replace(source, editable=False))}`, without -e",
            ),
        )
    if _is_buildable(source) and not is_name(name):  # that of a folder, where nothing says what the project is called
        return Refusal(
            message=f"{origin}: nothing says what the project in {source} is called, and it is not allowed to be built",
            code=UNBUILDABLE,
            suggestions=(
                f"give its name: `NAME @ {url_of(replace(source, editable=False))}`, and --build NAME",
                "or leave all that would have to be built out: --skip-unbuildable",
            ),
        )
    if _is_buildable(source):
        return Refusal(
            message=f"{origin}: {name} comes from {source}, {_WORDS[source.kind]}, and is not allowed to be built",
            code=UNBUILDABLE,
            suggestions=(
                f"--build {name} builds it, which runs code of the project on this machine",
                "or leave all that would have to be built out: --skip-unbuildable",
            ),
        )
    return Refusal(
        message=f"{origin}: {name} comes from {source}: that is neither a repository of git, nor an archive or a tree",
        code=UNBUILDABLE,
        suggestions=(
            "build a wheel first (`python -m build`), then give its path",
            "or leave all such out: --skip-unbuildable",
        ),
    )


def of_conda(name: str, source: Source, origin: str) -> Refusal:
    """Return why a source of a conda package is refused: conda packages are not built here."""
    return Refusal(
        message=f"{origin}: {name} comes from {source}: conda packages are not built here",
        code=UNBUILDABLE,
        suggestions=(
            "build the package first (rattler-build), and name its channel",
            "or leave all such out: --skip-unbuildable",
        ),
    )
