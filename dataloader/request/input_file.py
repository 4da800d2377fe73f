"""Frozen values that files are read into: what they say beside their requirements. A plan without files needs none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from dataloader.base.values import dataclass
from dataloader.machine.target import SystemRequirements
from dataloader.request.specs.joined import title
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement

if TYPE_CHECKING:
    from dataloader.request.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """What one requirements.txt or environment.yml says, its ``-r`` and ``-c`` files included."""

    path: str
    requirements: tuple[Requirement, ...] = ()
    """In the order of the file."""
    constraints: tuple[PypiRequirement, ...] = ()
    """Limit a project if something else brings it in (``-c``)."""
    overrides: tuple[PypiRequirement, ...] = ()
    """Take the place of whatever is asked of a project, by whomever."""
    name: str | None = None
    """Name of the environment."""
    channels: tuple[str, ...] | None = None
    """Most preferred first; None: the file says nothing of channels."""
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """URLs, or absolute paths."""
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    prerelease: bool = False
    """``--pre``."""
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    require_hashes: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    """Environment variables that activation should set (environment.yml)."""
    notes: tuple[str, ...] = ()
    """What was read and has no effect here, to be said to the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiOptions:
    """Where distributions come from, and which may be used."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """URLs, or absolute paths."""
    only_binary: tuple[str, ...] = ()
    """Projects that are never built (pixi's ``no-build``); ``:all:`` for every project."""
    no_binary: tuple[str, ...] = ()
    strict_records: bool = False
    """Refuse packages that differ from their own records."""
    prerelease: bool = False
    """Whether pre-releases are taken always (``prerelease-mode = "allow"``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One set of tables; a manifest's top level is the feature ``default``."""

    channels: tuple[tuple[str, int], ...] | None = None
    """``(channel, priority)``: higher first, then as written; None: nothing is said."""
    platforms: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    """As written, conda first."""
    by_platform: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict)
    """From [target.PLATFORM]: a subdir, or ``linux``, ``osx``, ``unix``, ``win``."""
    system: SystemRequirements = field(default_factory=SystemRequirements)
    pypi: PypiOptions = PypiOptions()
    stack: Mapping[str, str] = field(default_factory=dict)
    """Axis -> version; the empty string means any version, ``none`` for cuda means CPU."""
    gpus: tuple[str, ...] = ()
    """GPU models or compute capabilities that must run it."""
    limits: tuple[CondaRequirement, ...] = ()
    """Conda packages that are limited if something brings them in ([constraints])."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Set where the environment is active ([activation.env])."""
    python: PypiRequirement | None = None
    """A pyproject.toml's requires-python."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    tasks_by_platform: Mapping[str, Mapping[str, Task]] = field(default_factory=dict)
    """From [target.PLATFORM.tasks]."""

    def on(self, platforms: Sequence[str]) -> tuple[tuple[Requirement, ...], tuple[Requirement, ...]]:
        """Return what the feature's own tables ask for on a platform, and what its [target] tables do.

        As in pixi a target's line takes the place of the table's own of that name; ``platforms`` are the names of the
        platform, most special first.
        """
        special: dict[str, Requirement] = {}
        for platform in platforms:
            for requirement in self.by_platform.get(platform, ()):
                special.setdefault(title(requirement), requirement)
        return tuple(r for r in self.requirements if title(r) not in special), tuple(special.values())


def join_system(parts: list[SystemRequirements]) -> SystemRequirements:
    """The most demanding of each."""

    def highest(values: Iterable[str | None]) -> str | None:
        said = [value for value in values if value is not None]
        return max(said, key=lambda text: [int(n) for n in re.findall(r"\d+", text)], default=None)

    return SystemRequirements(
        cuda=highest(part.cuda for part in parts),
        libc=highest(part.libc for part in parts),
        libc_family=next((part.libc_family for part in parts if part.libc), "glibc"),
        linux=highest(part.linux for part in parts),
        macos=highest(part.macos for part in parts),
        archspec=next((part.archspec for part in parts if part.archspec), None),
    )


def join_pypi(parts: list[PypiOptions]) -> PypiOptions:
    """All that is said in any of them; where there is one value, the first's."""

    def joined(values: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for part in values for value in part))

    return PypiOptions(
        index_url=next((part.index_url for part in parts if part.index_url), None),
        extra_index_urls=joined(part.extra_index_urls for part in parts),
        find_links=joined(part.find_links for part in parts),
        only_binary=joined(part.only_binary for part in parts),
        no_binary=joined(part.no_binary for part in parts),
        strict_records=any(part.strict_records for part in parts),
        prerelease=any(part.prerelease for part in parts),
    )


def with_feature(feature: Feature, other: Feature) -> Feature:
    """Return what both ask for; where there is one value, the first's."""
    return replace(
        feature,
        requirements=(*feature.requirements, *other.requirements),
        pypi=join_pypi([feature.pypi, other.pypi]),
        python=feature.python or other.python,
    )


def by_plain_name(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """Return extras and groups by their names alone, as pixi has them; of one name both."""
    found: dict[str, Feature] = {}
    for key, feature in features.items():
        name = key.partition(":")[2]
        found[name] = with_feature(found[name], feature) if name in found else feature
    return found
