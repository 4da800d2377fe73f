"""What was asked for and nobody has: looked for before anything is solved, as no solver is needed to say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import rattler

from dataloader.base.errors import ResolutionFailure
from dataloader.base.names import some
from dataloader.base.tasks import together
from dataloader.resolve.channels.rattler import parse_match_spec
from dataloader.resolve.refused.unknown import INDEXES, near_names, unknown_project

if TYPE_CHECKING:
    from dataloader.resolve.channels.rattler import Channels
    from dataloader.resolve.model import Problem, Requirement
    from dataloader.resolve.offered.offer import Catalogue
    from dataloader.resolve.offered.reader import Index


async def check_names(problem: Problem, catalogue: Catalogue, index: Index | None) -> None:
    """Look for every package that was asked for, in both worlds at once.

    Raises:
        ResolutionFailure: nobody has one of them, or no channel has a version or a build that was asked for.
    """
    conda = [_conda(text, problem, catalogue.channels, index) for text in problem.conda_specs]
    elsewhere = {*problem.needs.stand_ins, *problem.needs.announced}  # by the account of the matrix
    alone = [
        requirement
        for requirement in problem.requirements
        if not requirement.marker and requirement.name not in elsewhere
    ]
    pypi = [_pypi(requirement, problem, catalogue, index) for requirement in alone]
    failures = [failure for failure in await together([*conda, *pypi]) if failure is not None]
    if failures:
        raise failures[0]


# -- conda


async def _conda(text: str, problem: Problem, channels: Channels, index: Index | None) -> ResolutionFailure | None:
    """Return what is wrong with a match spec by itself."""
    spec = parse_match_spec(text)
    name = str(spec.name.normalized)
    if spec.condition or name.startswith("__") or not problem.channels:
        return None
    records = await channels.records(name)
    if name == "python" and not records:
        return None  # then this machine's Python serves
    asked_by = problem.asked_by(text)
    if not records:
        return await _unknown_to_channels(name, spec, asked_by, channels, index)
    if any(spec.matches(record) for record in records):
        return None
    wanted = rattler.VersionSpec(str(spec.version)) if spec.version is not None else None
    fitting = [record for record in records if wanted is None or wanted.matches(record.version)]
    if not fitting:
        versions = list(dict.fromkeys(str(record.version) for record in _newest_first(records)))
        return ResolutionFailure(
            f"conda's {name} has no version that fits '{spec.version}' (asked for by {asked_by})",
            code="no-matching-version",
            causes=(f"versions there are: {some(versions)}", *_elsewhere(records, problem)),
            untried=what_to_ask(f"conda:{name}=={versions[0]}", asked_by),
            python_matters=False,
        )
    builds = list(dict.fromkeys(f"{record.version} {record.build}" for record in _newest_first(fitting)))
    version = f" {spec.version}" if spec.version is not None else ""
    return ResolutionFailure(
        f"conda's {name}{version} has no build that fits '{_of_build(spec)}' (asked for by {asked_by})",
        code="no-matching-version",
        causes=(f"builds there are: {some(builds)}", *_elsewhere(records, problem)),
        untried=(f"leave the build of conda:{name} open",),
        python_matters=False,
    )


def _of_build(spec: rattler.MatchSpec) -> str:
    parts = {
        "build": spec.build,
        "build_number": spec.build_number,
        "subdir": spec.subdir,
        "md5": spec.md5,
        "sha256": spec.sha256,
    }
    said = [(key, value.hex() if isinstance(value, bytes) else str(value)) for key, value in parts.items() if value]
    if [key for key, _ in said] == ["build"]:
        return said[0][1]
    return ", ".join(f"{key}={value}" for key, value in said) or str(spec)


def what_to_ask(instead: str | None, origin: str) -> tuple[str, ...]:
    """Return what to try where no version fits; one more version mends nothing where several places contradict.

    >>> what_to_ask("a==2", "a.txt:1 (<1) and the command line (>3)")
    ('leave all but one of them out',)
    """
    if ") and " in origin:
        return ("leave all but one of them out",)
    return (f"ask for {instead}",) if instead else ()


def _elsewhere(records: Sequence[rattler.RepoDataRecord], problem: Problem) -> tuple[str, ...]:
    """Say that a channel hides the ones after it, where that may matter."""
    if problem.channel_priority != "strict" or len(problem.channels) < 2:
        return ()
    return (f"of a name that several channels have, the first alone counts: {str(records[0].channel).rstrip('/')}",)


def _newest_first(records: Iterable[rattler.RepoDataRecord]) -> list[rattler.RepoDataRecord]:
    return sorted(records, key=lambda record: (record.version, record.build_number), reverse=True)


async def _unknown_to_channels(
    name: str, spec: rattler.MatchSpec, asked_by: str, channels: Channels, index: Index | None
) -> ResolutionFailure:
    where = [spec.channel.base_url] if spec.channel is not None else channels.urls
    near = near_names(name, await channels.names())
    on_index = index is not None and bool(await index.project(name))
    suggestions = [f"did you mean {' or '.join(f'conda:{package}' for package in near)}?"] if near else []
    if on_index:
        suggestions.append(f"the package indexes have a project of this name: ask for {name}, without conda:")
    return ResolutionFailure(
        f"no conda package is named {name} (asked for by {asked_by})",
        code="unknown-package",
        causes=(f"looked in: {', '.join(f'channel {url}' for url in where)}",),
        suggestions=(*suggestions, "name the channel that has it with --channel"),
        python_matters=False,
    )


# -- PyPI


async def _pypi(
    requirement: Requirement, problem: Problem, catalogue: Catalogue, index: Index | None
) -> ResolutionFailure | None:
    """Return a failure if nobody knows the project."""
    if index is None or requirement.constraint:
        return None
    if not requirement.only_pypi and catalogue.conda_records(requirement.name):
        return None
    if await index.project(requirement.name):
        return None
    places = [*(f"channel {url}" for url in problem.channels if not requirement.only_pypi), INDEXES]
    return await unknown_project(requirement.name, requirement.origin, places, index)
