"""One solution of a step: how good it is beside what there is, and what a person should know of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.resolve.channels.rattler import OURS, parse_match_spec
from dataloader.resolve.outcome import much_older
from dataloader.resolve.stability import is_of_pypi, locked_version

if TYPE_CHECKING:
    import rattler

    from dataloader.compat.model import Announced, Rule
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.knowledge import Knowledge
    from dataloader.resolve.offered.offer import Offer
    from dataloader.resolve.words.projects import Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One solution with what it was chosen from."""

    records: tuple[rattler.RepoDataRecord, ...]
    offer: Offer
    rung: int = 0
    """Of the ladder (``StackNeeds.ladder``)."""

    def wheels(self) -> tuple[Wheel, ...]:
        """The wheels among the records."""
        return tuple(self.offer.wheels[r.url] for r in self.records if r.url in self.offer.wheels)

    def announced(self) -> tuple[Announced, ...]:
        """The wheels of further indexes among the records."""
        return tuple(self.offer.announced[r.url] for r in self.records if r.url in self.offer.announced)

    def rules(self) -> Iterator[Rule]:
        """The rules that are written into the records."""
        for record in self.records:
            yield from self.offer.fired.get(record.url, ())

    def moved(self, preferred: Mapping[str, str]) -> set[str]:
        """Return the packages that an older lock holds in another version, or from the other world."""
        wheels = {w.file.name: w.text for w in self.wheels()}
        others = {r.name.normalized: str(r.version) for r in self.records if r.url not in self.offer.wheels}
        found = set()
        for name, file in preferred.items():
            here, there = (wheels, others) if is_of_pypi(file) else (others, wheels)
            if here.get(name, locked_version(file)) != locked_version(file) or (name not in here and name in there):
                found.add(name)
        return found

    def needless_early(self, root: Sequence[str], knowledge: Knowledge) -> set[str]:
        """Return the projects of which a pre-release is chosen, though a final release meets all that is asked of it.

        What nothing that was chosen needs was needed by something that was passed over.

        Args:
            root: What is asked for directly, as match specs.
            knowledge: What is known of the indexes.
        """
        found = set()
        for record in self.records:
            wheel = self.offer.wheels.get(record.url)
            if wheel is None or not wheel.version.is_prerelease or wheel.text in knowledge.pinned[wheel.file.name]:
                continue
            if knowledge.names_early(wheel.file.name, self.wheels()):
                continue
            name = record.name.normalized
            said = [text for record in self.records for text in record.depends if _name_of(text) == name]
            asked = [parse_match_spec(text) for text in (*said, *root) if _name_of(text) == name]
            ours = ((self.offer.wheels.get(record.url), record) for record in self.offer.records[name])
            final = [record for other, record in ours if other is not None and not other.version.is_prerelease]
            if any(all(spec.matches(record) for spec in asked) for record in final):
                found.add(wheel.file.name)
        return found

    def far_behind(self, problem: Problem, knowledge: Knowledge | None) -> list[str]:
        """Return the projects asked for directly that are much older than the newest that their specifier admits."""
        if knowledge is None:
            return []
        chosen = {w.file.name: w for w in self.wheels()}
        behind = []
        for requirement in problem.requirements:
            wheel, newest = chosen.get(requirement.name), knowledge.newest(requirement.name, requirement.specifier)
            if wheel and problem.preferred.get(requirement.name) == wheel.file.filename:
                continue  # an older lock holds it: its age is nobody's fault
            if wheel and newest and much_older(wheel.version, newest.version):
                behind.append(requirement.name)
        return behind


def _name_of(spec: str) -> str:
    """Return the package that a match spec of ours is about."""
    return spec.partition(" ")[0].partition("[")[0]


def notes_of(answer: Answer, problem: Problem, knowledge: Knowledge | None) -> tuple[str, ...]:
    """Return what the user should know: downgrades, wheels passed over, dates that nobody gives.

    Raises:
        UsageError: ``upload-times-missing``; a date was asked for, and no index says when anything was published.
    """
    if knowledge is None:
        return ()
    chosen = {w.file.name: w for w in answer.wheels()}
    notes = []
    for name in answer.far_behind(problem, knowledge):
        newest = knowledge.newest(name, "")
        assert newest is not None
        notes.append(f"{name} {chosen[name].text} is much older than {newest.text}, which the rest does not admit")
    notes += _unknown_extras(chosen, problem, knowledge)
    notes += _instead_of_conda(answer, problem)
    notes += [f"{host} did not answer: the builds that it has were left out" for host in knowledge.further.silent]
    for file, why in knowledge.reader.broken.values():
        if file.name in chosen and chosen[file.name].file != file:
            notes.append(f"{file.filename} was passed over: {why}")
    return (*notes, *_undated(problem, knowledge))


def _unknown_extras(chosen: Mapping[str, Wheel], problem: Problem, knowledge: Knowledge) -> Iterator[str]:
    """Say which extras that are asked for a chosen wheel does not have."""
    for requirement in problem.requirements:
        wheel = chosen.get(requirement.name)
        metadata = knowledge.learned.of(wheel) if wheel and requirement.extras else None
        if wheel is None or metadata is None:
            continue
        known = {normalized(extra) for extra in metadata.extras}
        for extra in requirement.extras:
            if normalized(extra) not in known:
                yield f"{wheel.file.name} {wheel.text} has no extra named {extra} (asked for by {requirement.origin})"


def _instead_of_conda(answer: Answer, problem: Problem) -> Iterator[str]:
    """Say which wheels serve what conda's part depends on, though nobody asked for them."""
    asked = {requirement.name for requirement in problem.requirements}
    wheels = {
        record.name.normalized: answer.offer.wheels[record.url]
        for record in answer.records
        if record.url in answer.offer.wheels
    }
    for record in answer.records:
        if str(record.channel) != OURS or record.url in answer.offer.conda:
            for name in sorted({text.split(" ")[0].partition("[")[0] for text in record.depends} & wheels.keys()):
                wheel = wheels.pop(name)
                if wheel.file.name not in asked:
                    yield (
                        f"{wheel.file.name} {wheel.text} is a wheel, though conda's {record.name.normalized} depends "
                        f"on it: conda:{name} would insist on a conda package"
                    )


def _undated(problem: Problem, knowledge: Knowledge) -> Iterator[str]:
    silent = sorted(frozenset[str]().union(*(project.undated for project in knowledge.projects.values())))
    if problem.exclude_newer is None or not silent:
        return
    if not any(project.dated for project in knowledge.projects.values()):
        raise UsageError(
            f"--exclude-newer cannot be held: {', '.join(silent)} does not say when files were published",
            code="upload-times-missing",
            suggestions=("use an index that gives upload times (PEP 700), as pypi.org does", "or leave the date out"),
        )
    yield f"{', '.join(silent)} does not say when files were published: what it has was taken whatever its age"
