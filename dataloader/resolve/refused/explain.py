"""From a solver's refusal to words: which requirement, rule or missing file is at fault, and what to try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from dataloader.base.errors import ResolutionFailure
from dataloader.base.names import some
from dataloader.index.filenames import variant_label
from dataloader.resolve.model import Problem, Requirement
from dataloader.resolve.refused.conflict import Conflict, find_conflict, needed_requirements
from dataloader.resolve.refused.likewise import too_late
from dataloader.resolve.refused.prechecks import what_to_ask
from dataloader.resolve.refused.unknown import condas_name
from dataloader.resolve.words.tags import fit
from dataloader.resolve.words.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from dataloader.compat.model import Announced
    from dataloader.index.model import IndexFile
    from dataloader.resolve.channels.rattler import Unsolvable
    from dataloader.resolve.offered.offer import Catalogue, Offer
    from dataloader.resolve.words.projects import Project

_STACK = "the stack"


async def explain(failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer) -> ResolutionFailure:
    """Name what is at fault: first the plain faults of single requirements, then the smallest conflict there is."""
    fault = plain_fault(problem, catalogue, more=tuple(_as_requirements(problem)))
    if fault is not None:
        return fault
    conflict = await find_conflict(failure, problem, catalogue, offer)
    if conflict is None:
        conflict = await needed_requirements(failure, problem, catalogue, offer)
    return refusal(conflict, problem, catalogue, offer)


def refusal(conflict: Conflict, problem: Problem, catalogue: Catalogue, offer: Offer) -> ResolutionFailure:
    """Turn a conflict into the failure that is told."""
    written = (rule for fired in offer.fired.values() for rule in fired)
    rules = {rule.id: rule.why for rule in (*problem.rules, *written) if rule.id in conflict.rules} | {
        rule: why for rule, why in conflict.reasons.items() if rule in conflict.rules
    }
    python = catalogue.pythons.name in conflict.names
    return ResolutionFailure(
        "no set of packages meets all requirements",
        code="no-solution",
        causes=(
            *conflict.lines,
            *(f"rule {rule}: {why}" for rule, why in rules.items() if why not in conflict.lines),
            *_passed_over(conflict.names, problem, catalogue),
        ),
        untried=("loosen or drop one of the requirements named above",),
        python_matters=bool(catalogue.hosts) and (python or not conflict.names),
    )


def plain_fault(problem: Problem, catalogue: Catalogue, more: Iterable[Requirement] = ()) -> ResolutionFailure | None:
    """Return what is wrong with a requirement whose page was read by itself, if anything is."""
    for requirement in (*problem.requirements, *more):
        # of one with a marker, where it holds is part of the conflict
        by_itself = not requirement.marker and requirement.name not in problem.needs.stand_ins
        fault = _plain_fault(requirement, problem, catalogue) if by_itself else None
        if fault is not None:
            return fault
    return None


def _as_requirements(problem: Problem) -> Iterable[Requirement]:
    for bound in problem.needs.requirements:
        if bound.world != "conda" and not bound.package.startswith("conda:") and bound.package != "python":
            yield Requirement(name=bound.package, specifier=bound.specifier, origin=_STACK)


def _plain_fault(requirement: Requirement, problem: Problem, catalogue: Catalogue) -> ResolutionFailure | None:
    """Return what is wrong with a requirement by itself: no such package, no such version, no wheel that fits."""
    knowledge = catalogue.knowledge
    project = knowledge.projects.get(requirement.name) if knowledge else None
    conda = [r.version for r in catalogue.conda_records(requirement.name)]
    if project is None and not conda and knowledge is not None:
        return None
    if not conda and (project is None or not (project.wheels or project.unusable or project.late)):
        if knowledge is not None and knowledge.announced(requirement.name, floors=False):
            return None  # a further index has it, by the account of the matrix
        return _unknown(requirement, problem)
    space = catalogue.space(requirement.name)
    if space.admitted(requirement.specifier):
        return None
    wanted = SpecifierSet(requirement.specifier)
    without = [v for v in project.unusable if wanted.contains(v, prereleases=True)] if project else []
    if project is not None and without:
        return _no_wheel(requirement, project, without, problem, catalogue)
    shown = {*(wheel.text for wheel in project.wheels), *project.unusable} if project else set()
    versions = sorted({*shown, *conda}, key=lambda v: (parse_version(v) is None, parse_version(v) or v))
    announced = knowledge.further.not_asked(requirement.name) if knowledge is not None else ()
    late = {v: day for v, day in project.late.items() if wanted.contains(v, prereleases=True)} if project else {}
    if late:
        return _too_late(requirement, late, problem)
    return ResolutionFailure(
        f"{requirement.name} has no version that fits '{requirement.specifier}' (asked for by {requirement.origin})",
        code="no-matching-version",
        causes=tuple(_there_are(requirement, versions[::-1], announced)),
        untried=what_to_ask(_newest(requirement, catalogue), requirement.origin),
        python_matters=False,
    )


def _there_are(requirement: Requirement, versions: list[str], announced: Iterable[Announced]) -> Iterator[str]:
    """Say which versions an index or a channel has shown; where a label is asked for, those of its release.

    Of such a label also which the matrix says that there are on indexes that nobody asked.
    """
    public, label, _ = requirement.specifier.removeprefix("==").partition("+")
    alike = [version for version in versions if version.partition("+")[0] == public] if label else []
    if alike or versions:
        yield f"of {public} there are: {some(alike)}" if alike else f"versions there are: {some(versions)}"
    others: dict[str, list[str]] = {}
    for build in announced:
        if label and build.version.partition("+")[0] == public:
            others.setdefault(urlsplit(build.index).netloc, []).append(build.version)
    for host, labelled in others.items():
        yield f"by the account of the matrix {host} has {some(labelled)}"


def _newest(requirement: Requirement, catalogue: Catalogue) -> str | None:
    """Return the newest release that has a wheel for some Python there is, or that a channel has."""
    knowledge = catalogue.knowledge
    newest = knowledge.newest(requirement.name, "") if knowledge is not None else None
    conda = catalogue.conda_records(requirement.name)
    version = newest.text if newest else max(conda, key=lambda r: r.record.version).version if conda else None
    return f"{requirement.name}=={version}" if version else None


def _unknown(requirement: Requirement, problem: Problem) -> ResolutionFailure:
    places = [*(f"channel {c}" for c in problem.channels), "the package indexes"]
    return ResolutionFailure(
        f"no package is named {requirement.name} (asked for by {requirement.origin})",
        code="unknown-package",
        causes=(f"looked in: {', '.join(places)}",),
        suggestions=(
            "check the spelling",
            "name the index or channel that has it with --extra-index-url or --channel",
        ),
        python_matters=False,
    )


def _too_late(requirement: Requirement, late: Mapping[str, str], problem: Problem) -> ResolutionFailure:
    first = min(late, key=lambda version: late[version])
    fits = f"fits '{requirement.specifier}' and " if requirement.specifier else ""
    return ResolutionFailure(
        f"{requirement.name} has no version that {fits}is old enough (asked for by {requirement.origin})",
        code="no-matching-version",
        causes=(f"{requirement.name} {first} was published at {late[first]}; the date is {problem.exclude_newer}",),
        suggestions=(f"--exclude-newer={late[first][:10]} has it",),
        untried=("or leave --exclude-newer out",),
        python_matters=False,
    )


def _no_wheel(
    requirement: Requirement, project: Project, versions: list[str], problem: Problem, catalogue: Catalogue
) -> ResolutionFailure:
    if problem.without_wheels(project.name):
        return ResolutionFailure(
            f"{requirement.name} is wanted without its wheels (--no-binary), and no channel has it "
            f"(asked for by {requirement.origin})",
            code="no-wheel",
            untried=("take its wheels, or a conda channel that has it",),
            suggestions=(_built(project.name),),  # which needs no trial, but leave
        )
    newest = versions[0]
    files = project.unusable_files[newest]
    names = [file.filename for file in files]
    target, pythons = problem.target, catalogue.pythons.space.versions
    libc = f"glibc {target.glibc}" if target.glibc else f"musl {target.musl}" if target.musl else "no known libc"
    minors = sorted({v.rpartition(".")[0] for v in pythons}, key=lambda v: int(v.split(".")[1]))
    source_only = all(v in project.sdist_only for v in versions)
    what = "only a source archive" if source_only else "no wheel for this target"
    return ResolutionFailure(
        f"{requirement.name}{requirement.specifier} has {what} (asked for by {requirement.origin})",
        code="no-wheel",
        causes=(
            f"the target is {target.platform} with {libc} and Python {some(minors)}",
            *_pythons_of(requirement.name, newest, files, target.platform),
            f"{requirement.name} {newest} offers: {some(names)}",
            *(f"what conda calls {requirement.name} is {project} on PyPI" for project in condas_name(requirement.name)),
            *_unfit_variants(project, names),
        ),
        untried=(
            *((f"ask for {newest_one}",) if (newest_one := _newest(requirement, catalogue)) else ()),
            *(() if source_only else ("choose another Python with --python",)),
        ),
        suggestions=(
            *((_built(project.name),) if _has_source(names) else ()),
            *((_where_built(requirement.name, problem),) if source_only else ()),
        ),
        python_matters=bool(catalogue.hosts) and not source_only,
    )


def _unfit_variants(project: Project, names: Iterable[str]) -> Iterator[str]:
    """Say why no variant wheel (PEP 825) of a release fits the target, each reason once."""
    labels: dict[str, dict[str, None]] = {}
    for name in names:
        if name in project.variants:
            labels.setdefault(project.variants[name], {})[variant_label(name)] = None
    for why, of_it in labels.items():
        yield f"variant {some(list(of_it))}: {why}"


def _pythons_of(name: str, version: str, files: Iterable[IndexFile], platform: str) -> tuple[str, ...]:
    """Say for which Pythons a release has wheels for a platform, and which it requires."""
    fits = [
        found
        for file in files
        if file.filename.endswith(".whl")
        if (found := fit(*file.tags, platform, musl="musllinux" in file.filename))
    ]
    tags = {tag for found in fits for tag in found.pythons}
    first = min((tag.minor for tag in tags if not tag.exact), default=None)
    exact = sorted({tag.minor for tag in tags if tag.exact and (first is None or tag.minor < first)})
    minors = [f"3.{minor}" for minor in exact] + ([f"3.{first} and later"] if first is not None else [])
    required = sorted({file.requires_python for file in files if file.requires_python})
    has = (f"{name} {version} has wheels for Python {some(minors)} on {platform}",) if minors and first != 0 else ()
    return (*has, *(f"{name} {version} requires Python {said}" for said in required))


def _where_built(name: str, problem: Problem) -> str:
    place = problem.needs.places.get(name)
    if place is None:
        return "or use --find-links with a wheel that you built"
    option = "--find-links " if place.endswith(".html") else ""
    return f"its wheels for this stack: {option}{place}"


def _has_source(files: Iterable[str]) -> bool:
    return not all(file.endswith(".whl") for file in files)


def _built(name: str) -> str:
    """Say how a build is allowed. It is nothing to be tried unasked: it runs what the project brings."""
    return f"--build {name} builds it from its source archive, which runs code of the project on this machine"


def _passed_over(names: Collection[str], problem: Problem, catalogue: Catalogue) -> list[str]:
    """Say of the projects in a conflict which wheels cannot be used, and which versions are too new for the date."""
    knowledge = catalogue.knowledge
    if knowledge is None:
        return []
    found = [
        f"{file.filename} was passed over: {why}"
        for file, why in knowledge.reader.broken.values()
        if catalogue.identity(file.name) in names
    ]
    for name, project in sorted(knowledge.projects.items()):
        asked = SpecifierSet(",".join(r.specifier for r in problem.requirements if r.name == name))
        late = [version for version in project.late if asked.contains(version, prereleases=True)]
        if late and problem.exclude_newer is not None and catalogue.identity(name) in names:
            found.append(too_late(name, late, problem.exclude_newer))
    return found
