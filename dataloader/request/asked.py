"""What a command may be told, as values: whoever asks has these, whether or not they were options of a command line.

``None``, ``()`` and ``False`` mean not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

CondaMode: TypeAlias = Literal["auto", "always", "never"]

PrereleaseMode: TypeAlias = Literal["allow", "if-necessary"]


class Asked(Protocol):
    """Where things are, what is wanted besides what a manifest says, and how it is solved for."""

    @property
    def typed(self) -> frozenset[str]:
        """Names of what was typed; the rest is said by variables, which are of a machine and not of one command."""

    @property
    def prefix(self) -> Path | None: ...
    @property
    def manifest(self) -> Path | None: ...
    @property
    def lockfile(self) -> Path | None: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def requirements(self) -> tuple[Path, ...]:
        """Requirement files."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files in conda's format."""

    @property
    def extra(self) -> tuple[str, ...]:
        """Extras of the project."""

    @property
    def group(self) -> tuple[str, ...]:
        """Dependency groups of the project."""

    @property
    def all_extras(self) -> bool | None:
        """Every extra, or (``False``) neither extras nor groups; ``None``: what was chosen before."""

    @property
    def skip_unbuildable(self) -> bool: ...
    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def conda(self) -> CondaMode | None: ...
    @property
    def index_url(self) -> str | None: ...
    @property
    def extra_index_url(self) -> tuple[str, ...]: ...
    @property
    def find_links(self) -> tuple[str, ...]: ...
    @property
    def offline(self) -> bool: ...
    @property
    def mirror(self) -> tuple[str, ...]: ...
    @property
    def require_attestation(self) -> tuple[str, ...]: ...
    @property
    def trusted_root(self) -> str | None: ...
    @property
    def limit_rate(self) -> str | None: ...
    @property
    def refresh(self) -> bool: ...
    @property
    def platform(self) -> str | None: ...
    @property
    def target(self) -> Path | None: ...
    @property
    def prerelease(self) -> PrereleaseMode | None: ...
    @property
    def only_binary(self) -> tuple[str, ...]: ...
    @property
    def build(self) -> tuple[str, ...]:
        """Projects that may be built from source."""

    @property
    def no_binary(self) -> tuple[str, ...]: ...
    @property
    def exclude_newer(self) -> str | None: ...
    @property
    def matrix(self) -> Path | None: ...


class StackAsked(Protocol):
    """What is asked of the axes of the stack."""

    def asked(self) -> Mapping[str, str]:
        """Axis -> a version, a specifier, or the empty text for any; the axes that were asked for alone."""

    @property
    def frameworks(self) -> Mapping[str, str]:
        """Those of them that are packages."""
