"""Frozen values that every input is read into: requirements of both worlds."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dataloader.base.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a requirement cannot be met; said only where it matters (its marker holds, its feature is used)."""

    message: str
    code: str
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the source of a project is: a repository, an archive or a tree. Nothing is built here yet."""

    kind: Literal["git", "url", "path"]
    location: str
    """URL of the repository or archive, or the absolute path of the archive or tree."""
    rev: str | None = None
    """What is checked out of a repository: a commit, tag or branch (``rev_kind``)."""
    rev_kind: Literal["rev", "tag", "branch"] = "rev"
    subdirectory: str | None = None
    editable: bool = False

    def __str__(self) -> str:
        scheme = "git+" if self.kind == "git" else ""
        rev = f"@{self.rev}" if self.rev else ""
        inside = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return f"{scheme}{self.location}{rev}{inside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiRequirement:
    """A PEP 508 requirement: the Python distribution, from either world unless ``world`` insists."""

    name: str
    """Normalised (PEP 503)."""
    extras: tuple[str, ...] = ()
    """Normalised and sorted."""
    specifier: str = ""
    """PEP 440 specifier set, clauses sorted; empty means every version."""
    marker: str | None = None
    world: Literal["any", "pypi"] = "any"
    """``pypi`` when a conda package of the same project must not serve it."""
    url: str | None = None
    """``file://`` or ``https://`` URL of the one wheel that is meant, or of the source archive that may be built;
    ``specifier`` is then the wheel's version."""
    index: str | None = None
    """Simple-API index that must serve it."""
    hashes: tuple[str, ...] = ()
    """``sha256:...`` digests, one of which the file must have; empty means any file."""
    origin: str = "the command line"
    """Where it was said: ``requirements.txt:3``."""
    refusal: Refusal | None = None
    source: Source | None = None
    """Where it would be built from; it is refused then."""

    @property
    def requirement(self) -> str:
        """The requirement as PEP 508 text."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        version = f" @ {self.url or self.source}" if self.url or self.source else self.specifier
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{version}{marker}"

    def __str__(self) -> str:
        return f"pypi:{self.requirement}" if self.world == "pypi" else self.requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaRequirement:
    """A conda match spec."""

    name: str
    version: str | None = None
    """conda version spec (``2.1.*``, ``>=2,<3``); ``None`` means every version."""
    build: str | None = None
    """Glob on the build string."""
    build_number: str | None = None
    channel: str | None = None
    """Name or URL of the channel that must serve it."""
    subdir: str | None = None
    md5: str | None = None
    sha256: str | None = None
    origin: str = "the command line"
    refusal: Refusal | None = None
    source: Source | None = None
    """Where it would be built from; it is refused then."""

    @property
    def match_spec(self) -> str:
        """The match spec, in the bracket form that leaves nothing to guess."""
        fields = {
            "version": self.version,
            "build": self.build,
            "build_number": self.build_number,
            "subdir": self.subdir,
            "md5": self.md5,
            "sha256": self.sha256,
        }
        inside = ", ".join(f"{key}='{value}'" for key, value in fields.items() if value is not None)
        channel = f"{self.channel}::" if self.channel else ""
        return f"{channel}{self.name}[{inside}]" if inside else f"{channel}{self.name}"

    def __str__(self) -> str:
        return f"conda:{self.match_spec}"


Requirement: TypeAlias = PypiRequirement | CondaRequirement
