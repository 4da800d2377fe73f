"""Several requirements of one project bind together, wherever they were said. Pure.

Of one command everything binds. What a command says takes the place of what was remembered of the same project (in the
manifest, or by the lock of an environment without one); a bare name typed asks for nothing new, and extras add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from dataloader.base.errors import ResolutionFailure
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement


def together(requirements: Iterable[PypiRequirement]) -> tuple[PypiRequirement, ...]:
    """Return one requirement for each project and marker, which holds where all that were said hold.

    >>> str(*together([PypiRequirement(name="a", specifier="<2"), PypiRequirement(name="a", extras=("x",))]))
    'a[x]<2'

    Raises:
        ResolutionFailure: ``no-solution``; two different files, indexes or sets of hashes are asked for.
    """
    groups: dict[tuple[str, str | None], list[PypiRequirement]] = {}
    for requirement in requirements:
        groups.setdefault((requirement.name, requirement.marker), []).append(requirement)
    return tuple(group[0] if len(group) == 1 else _one_of(group) for group in groups.values())


def _one_of(group: Sequence[PypiRequirement]) -> PypiRequirement:
    return replace(
        group[0],
        extras=tuple(sorted({extra for requirement in group for extra in requirement.extras})),
        specifier=both([requirement.specifier for requirement in group]),
        world="pypi" if any(requirement.world == "pypi" for requirement in group) else "any",
        url=_agreed(group, "url"),
        index=_agreed(group, "index"),
        hashes=_common_hashes(group),
        origin=origins(group),
    )


def both(specifiers: Iterable[str]) -> str:
    """Return the PEP 440 specifier set that admits what all of ``specifiers`` admit.

    >>> both([">=1", "<2", ">=1", ""])
    '<2,>=1'
    """
    said = list(dict.fromkeys(text for text in specifiers if text))
    if len(said) < 2:
        return said[0] if said else ""
    from packaging.specifiers import SpecifierSet

    return str(SpecifierSet(",".join(said)))


def _agreed(group: Sequence[PypiRequirement], field: str) -> str | None:
    said = {value: requirement for requirement in group if (value := getattr(requirement, field)) is not None}
    if len(said) > 1:
        what = "files" if field == "url" else "indexes"
        raise ResolutionFailure(
            f"{group[0].name} is asked for from {len(said)} {what} at once",
            code="no-solution",
            causes=tuple(f"{requirement.origin}: {value}" for value, requirement in said.items()),
            suggestions=("leave all but one of them out",),
        )
    return next(iter(said), None)


def _common_hashes(group: Sequence[PypiRequirement]) -> tuple[str, ...]:
    said = [requirement for requirement in group if requirement.hashes]
    if not said:
        return ()
    common = tuple(digest for digest in said[0].hashes if all(digest in requirement.hashes for requirement in said))
    if not common:
        raise ResolutionFailure(
            f"no file of {group[0].name} has every hash that is asked for",
            code="no-solution",
            causes=tuple(f"{requirement.origin}: {', '.join(requirement.hashes)}" for requirement in said),
            suggestions=("leave all but one of them out",),
        )
    return common


ANY_VERSION = "any version"


def origins(group: Sequence[Requirement]) -> str:
    """Return where a project was asked for, with what was said there if it was said in several places.

    >>> origins([PypiRequirement(name="a", specifier="<2", origin="a.txt:1"), PypiRequirement(name="a")])
    'a.txt:1 (<2) and the command line (any version)'
    """
    places = dict.fromkeys((requirement.origin, version_of(requirement)) for requirement in group)
    telling = [place for place in places if place[1] != ANY_VERSION]
    if len(places) == 1 or len(telling) == 1 == len({origin for origin, _ in places}):
        return group[0].origin
    told = [f"{origin} ({version})" for origin, version in places]
    return f"{', '.join(told[:-1])} and {told[-1]}"


def title(requirement: Requirement) -> str:
    """Return the name that stands for a requirement's project, or conda package, wherever names of both worlds meet."""
    return f"conda:{requirement.name}" if isinstance(requirement, CondaRequirement) else requirement.name


def version_of(requirement: Requirement) -> str:
    """Return what a requirement says beside the name, for a person."""
    if isinstance(requirement, PypiRequirement):
        extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        return f"{extras}{requirement.url or requirement.specifier}{marker}" or ANY_VERSION
    return requirement.match_spec.removeprefix(requirement.name) or ANY_VERSION


_CONDA_FIELDS = tuple(
    f.name for f in fields(CondaRequirement) if f.name not in {"name", "version", "origin", "refusal"}
)


def together_conda(requirements: Iterable[CondaRequirement]) -> tuple[CondaRequirement, ...]:
    """Return the same with as few match specs as can say it: one for each package, unless builds or channels differ.

    >>> [r.match_spec for r in together_conda([CondaRequirement(name="a", version=v) for v in ("<2", "1.3|>1.5")])]
    ["a[version='(1.3|>1.5),<2']"]
    """
    found: dict[str, list[list[CondaRequirement]]] = {}
    # In the order of what they say, so that the order in which they were said does not matter.
    for requirement in sorted(requirements, key=lambda r: r.match_spec):
        groups = found.setdefault(requirement.name, [])
        fitting = next((group for group in groups if _compatible([*group, requirement])), None)
        if fitting is None:
            groups.append([requirement])
        else:
            fitting.append(requirement)
    return tuple(_one_of_conda(group) for groups in found.values() for group in groups)


def _said(group: Sequence[CondaRequirement], field: str) -> set[str]:
    return {value for requirement in group if (value := getattr(requirement, field)) is not None}


def _compatible(group: Sequence[CondaRequirement]) -> bool:
    return all(len(_said(group, field)) < 2 for field in _CONDA_FIELDS)


def _one_of_conda(group: Sequence[CondaRequirement]) -> CondaRequirement:
    if len(group) == 1:
        return group[0]
    versions = sorted(_said(group, "version"))
    grouped = [f"({text})" if "|" in text and len(versions) > 1 else text for text in versions]
    values: dict[str, str | None] = {field: next(iter(_said(group, field)), None) for field in _CONDA_FIELDS}
    version = ",".join(grouped) or None
    refusal = next((alternative.refusal for alternative in group if alternative.refusal), None)
    requirement = replace(group[0], version=version, origin=origins(group), refusal=refusal)
    return replace(requirement, **values)  # type: ignore[arg-type]


def renewed(
    held: Sequence[Requirement], typed: Sequence[Requirement], listed: Sequence[Requirement]
) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    """Return what a command says of each project, beside what was remembered of it; and what to tell of that.

    Args:
        held: What was remembered, of any project.
        typed: Said on the command line: a bare name keeps what was remembered of its version.
        listed: Said by files that the command names: they stand for themselves.
    """
    found: list[Requirement] = []
    notes: list[str] = []
    for name in dict.fromkeys(map(title, (*listed, *typed))):
        before, own, files = (
            [requirement for requirement in requirements if title(requirement) == name]
            for requirements in (held, typed, listed)
        )
        if before and not files and all(map(is_bare, own)):
            found += [_with(requirement, own) for requirement in before]
            if not all(map(is_bare, before)):
                notes.append(f"{name} stays at {_told(before)}")
            continue
        now = [*files, *(own if files else [_with_extras(requirement, before) for requirement in own])]
        found += now
        if before and {version_of(requirement) for requirement in before} != {
            version_of(requirement) for requirement in now
        }:
            notes.append(f"{name}: {_told(now)} takes the place of {_told(before)}")
    return tuple(found), tuple(notes)


def _told(group: Sequence[Requirement]) -> str:
    return " and ".join(dict.fromkeys(f"{version_of(requirement)} ({requirement.origin})" for requirement in group))


def is_bare(requirement: Requirement) -> bool:
    """Say whether a requirement says nothing but a name, and extras."""
    if isinstance(requirement, PypiRequirement):
        return not (
            requirement.specifier or requirement.url or requirement.marker or requirement.index or requirement.hashes
        )
    return requirement.match_spec == requirement.name


def _with(requirement: Requirement, said: Sequence[Requirement]) -> Requirement:
    """Return what was remembered with the extras, and the world, that bare names bring."""
    requirement = _with_extras(requirement, said)
    if isinstance(requirement, PypiRequirement) and any(
        isinstance(o, PypiRequirement) and o.world == "pypi" for o in said
    ):
        return replace(requirement, world="pypi")
    return requirement


def _with_extras(requirement: Requirement, others: Sequence[Requirement]) -> Requirement:
    extras = {extra for other in others if isinstance(other, PypiRequirement) for extra in other.extras}
    if not isinstance(requirement, PypiRequirement) or extras <= set(requirement.extras):
        return requirement
    return replace(requirement, extras=tuple(sorted({*requirement.extras, *extras})))
