"""What an index says: the files of a project, and the metadata of a wheel. Values only."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dataloader.base.values import dataclass
from dataloader.index.filenames import without_variant


class IndexFile(NamedTuple):
    """One released file of a project (PEP 503, 592, 658, 691, 700).

    A tuple, as a lock reads tens of thousands of them: a frozen dataclass takes six times as long to make.
    """

    name: str
    """Normalised project name (PEP 503)."""
    version: str
    """Normalised version (PEP 440) from the filename."""
    filename: str
    url: str
    """Absolute, without credentials and without fragment; ``file://`` for local files."""
    sha256: str | None = None
    size: int | None = None
    """Bytes, where the index says (PEP 700)."""
    requires_python: str | None = None
    yanked: bool = False
    yanked_reason: str = ""
    upload_time: str | None = None
    """ISO 8601, as the index says."""
    metadata_sha256: str | None = None
    """sha256 of ``URL.metadata`` (PEP 658, 714); ``""`` when announced without a hash, ``None`` when not announced."""
    index: str = ""  # type: ignore[assignment]  # tuple.index: nobody looks for a value in a file
    """The index or find-links location that named the file, without credentials."""
    variants: str = ""
    """Of a variant wheel (PEP 825): URL of the file that describes its release's variants, with ``#sha256=`` where that
    is known; empty where nothing does."""

    @property
    def kind(self) -> Literal["wheel", "sdist"]:
        return "wheel" if self.filename.endswith(".whl") else "sdist"

    @property
    def tags(self) -> tuple[str, str, str]:
        """Python, ABI and platform part of a wheel's tag, each maybe several joined with dots; empty for an sdist."""
        if self.kind == "sdist":
            return ("", "", "")
        python, abi, platform = (
            (without_variant(self.filename) or self.filename).removesuffix(".whl").rsplit("-", 3)[1:]
        )
        return (python, abi, platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMetadata:
    """The part of a wheel's METADATA that a resolver needs (core metadata specification)."""

    name: str
    version: str
    requires_dist: tuple[str, ...] = ()
    """Requirement lines as they stand (PEP 508)."""
    requires_python: str | None = None
    extras: tuple[str, ...] = ()
