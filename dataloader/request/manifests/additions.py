"""What is written into a manifest: everything that a command, or the files that it names, say a project is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from dataloader.base.values import dataclass
from dataloader.request.input_file import InputFile
from dataloader.request.specs.joined import together, together_conda
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """Values to put into a manifest; empty and None mean: leave what is there."""

    requirements: tuple[Requirement, ...] = ()
    """Each takes the place of what is there of its project."""
    gone: tuple[str, ...] = ()
    """What is taken out: projects, ``conda:NAME``, and stack axes as ``stack:AXIS``."""
    stack: Mapping[str, str] = field(default_factory=dict)
    """Axis to version; the empty string means any version."""
    channels: tuple[str, ...] | None = None
    """Put before those that are there."""
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    """Projects that may be built: [build] allow."""
    constraints: tuple[PypiRequirement, ...] = ()
    overrides: tuple[PypiRequirement, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    resolution: Mapping[str, str | bool] = field(default_factory=dict)
    """Keys of [resolution] with one value."""
    require: Mapping[str, str] = field(default_factory=dict)
    """Package to publisher: [attestations.require]."""
    trusted_root: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self == Additions()


def of_files(files: Sequence[InputFile]) -> Additions:
    """Return what files say a project is made of."""
    requirements = [r for file in files for r in file.requirements]
    named = [file.channels for file in files if file.channels is not None]
    resolution: dict[str, str | bool] = {}
    if any(file.prerelease for file in files):
        resolution["prerelease"] = "allow"
    if any(file.require_hashes for file in files):
        resolution["require-hashes"] = True
    if any(file.no_index for file in files):
        resolution["no-index"] = True
    return Additions(
        requirements=joined(requirements),
        channels=tuple(dict.fromkeys(c for urls in named for c in urls)) if named else None,
        index_url=next((file.index_url for file in files if file.index_url), None),
        extra_index_urls=_each(file.extra_index_urls for file in files),
        find_links=_each(file.find_links for file in files),
        no_binary=_each(file.no_binary for file in files),
        only_binary=_each(file.only_binary for file in files),
        constraints=together(c for file in files for c in file.constraints),
        overrides=tuple(dict.fromkeys(o for file in files for o in file.overrides)),
        variables=dict(pair for file in files for pair in file.variables),
        resolution=resolution,
    )


def joined(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Return requirements of both worlds with as few as can say the same."""
    said = list(requirements)
    return (
        *together_conda(r for r in said if isinstance(r, CondaRequirement)),
        *together(r for r in said if isinstance(r, PypiRequirement)),
    )


def beside(typed: Additions, listed: Additions) -> Additions:
    """Return what a command says with what its files say; where there is one value, the command's."""
    channels = [urls for urls in (typed.channels, listed.channels) if urls is not None]
    return replace(
        typed,
        channels=_each(channels) if channels else None,
        index_url=typed.index_url or listed.index_url,
        extra_index_urls=_each([typed.extra_index_urls, listed.extra_index_urls]),
        find_links=_each([typed.find_links, listed.find_links]),
        no_binary=_each([typed.no_binary, listed.no_binary]),
        only_binary=_each([typed.only_binary, listed.only_binary]),
        constraints=listed.constraints,
        overrides=listed.overrides,
        variables=listed.variables,
        resolution={**listed.resolution, **typed.resolution},
    )


def _each(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for group in groups for value in group))
