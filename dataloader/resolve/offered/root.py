"""The root of the problem: what must be present, and what is only limited, as match specs."""

from __future__ import annotations

from collections.abc import Container

from dataloader.base.values import dataclass
from dataloader.compat.model import Bound
from dataloader.resolve.channels.rattler import parse_match_spec
from dataloader.resolve.model import Problem, Requirement
from dataloader.resolve.offered.offer import Catalogue
from dataloader.resolve.words.projects import PYPI_BUILD_NUMBER
from dataloader.resolve.words.records import IMPOSSIBLE, match_spec


@dataclass(frozen=True, slots=True)
class RootSpec:
    """One spec of the root, and what to say of it."""

    spec: str
    said: str
    """Who asked for what, in their own words; empty where there is nothing to say."""
    rule: str = ""
    """The rule that it comes from."""
    conda: str = ""
    """The conda spec that it comes from."""
    limit: bool = False
    """It is only the bound that no wheel meets that spec."""
    specifier: str | None = None
    """The versions of a project that are asked for (PEP 440), where it is one."""


class Root:
    """Spells a problem's requirements over what the catalogue knows by now."""

    def __init__(self, problem: Problem, catalogue: Catalogue) -> None:
        self._problem, self._catalogue = problem, catalogue
        self.dropped: frozenset[str] = frozenset()
        """Bare names that something else brings in anyway."""

    def specs(self, *, conda_only: bool = False, owned: Container[str] = ()) -> list[str]:
        """Return what must be present as match specs (see :meth:`asked`), in an order that nobody's words decide."""
        return sorted(root_spec.spec for root_spec in self.asked(conda_only=conda_only, owned=owned))

    def constraints(self) -> list[str]:
        """Return what is limited, if something brings it in, as match specs."""
        return sorted(limit.spec for limit in self.limits())

    def asked(self, *, conda_only: bool = False, owned: Container[str] = ()) -> list[RootSpec]:
        """Return what must be present; with ``conda_only`` without what PyPI must provide.

        A match spec of a package that we answer for ourselves (``owned``) loses its channel: only records of that
        channel are offered then.
        """
        catalogue, problem = self._catalogue, self._problem
        asked = [
            RootSpec(_conda_spec(text, owned), f"conda:{text} is asked for by {problem.asked_by(text)}", conda=text)
            for text in problem.conda_specs
        ]
        bounds = [
            (bound, f"{bound} is asked for", "")
            for bound in problem.needs.requirements
            if bound.specifier or bound.package not in self.dropped
        ]
        required = [rule for rule in catalogue.book.always if rule.requires]
        bounds += [(bound, rule.why or f"{bound} is needed", rule.id) for rule in required for bound in rule.then]
        if conda_only:
            bounds = [bound for bound in bounds if bound[0].world != "pypi" and catalogue.serves(bound[0].package)]
        asked += [RootSpec(catalogue.bound(b), said, rule, specifier=_of_project(b)) for b, said, rule in bounds]
        pythons = catalogue.pythons
        if pythons.all and (problem.requirements or problem.needs.requirements or problem.python):
            # the admitted Pythons are listed: "every known one" would be spelled as any at all
            listed = "|".join(f"=={version}" for version in pythons.space.versions) if problem.python else "*"
            said = f"Python {problem.python} is asked for, or all that the stack supports" if problem.python else ""
            asked.append(RootSpec(match_spec(pythons.name, version=listed), said))
        if not conda_only:
            asked += self._spelled(constraint=False)
        return asked

    def limits(self) -> list[RootSpec]:
        """Return what is limited, if something brings it in."""
        catalogue = self._catalogue
        rules = [r for r in catalogue.book.always if not r.requires]
        limits = [
            RootSpec(catalogue.bound(b), r.why or f"{b} is all that can be had", r.id) for r in rules for b in r.then
        ]
        said = [RootSpec(text, f"conda:{text} is the limit set") for text in self._problem.conda_limits]
        return [*limits, *said, *self._of_conda(), *self._spelled(constraint=True)]

    def _of_conda(self) -> list[RootSpec]:
        """Return what keeps wheels from standing for packages that were asked of conda."""
        names = {str(parse_match_spec(text).name.normalized): text for text in self._problem.conda_specs}
        return [
            RootSpec(
                match_spec(name, build_number=f"<{PYPI_BUILD_NUMBER}"),
                f"conda:{text} is asked for by {self._problem.asked_by(text)}, which no wheel meets",
                conda=text,
                limit=True,
            )
            for name, text in names.items()
            if not name.startswith("__")
        ]

    def _spelled(self, *, constraint: bool) -> list[RootSpec]:
        requirements = [r for r in self._problem.requirements if r.constraint == constraint and not self._is_dropped(r)]
        how = "is the limit set" if constraint else "is asked for"
        return [
            RootSpec(
                spec,
                f"{'pypi:' if requirement.only_pypi else ''}{requirement} {how} by {requirement.origin}",
                specifier=requirement.specifier,
            )
            for requirement in requirements
            if (spec := self.requirement(requirement)) is not None
        ]

    def bare(self) -> frozenset[str]:
        """Return the projects of which it is said that they must be there, and no more."""
        said = {r.name for r in self._problem.requirements if _is_bare(r)}
        said |= {b.package for b in self._problem.needs.requirements if not b.specifier and b.world == "any"}
        more = {r.name for r in self._problem.requirements if not (_is_bare(r) or r.constraint)}
        more |= {b.package for b in self._problem.needs.requirements if b.specifier or b.world != "any"}
        return frozenset(said - more)

    def _is_dropped(self, requirement: Requirement) -> bool:
        return requirement.name in self.dropped and _is_bare(requirement)

    def requirement(self, requirement: Requirement) -> str | None:
        """Return the match spec of a requirement; ``None`` when its marker holds on no Python."""
        pythons, name = self._catalogue.pythons, self._catalogue.identity(requirement.name)
        when: str | None = None
        if requirement.marker:
            where = pythons.where(requirement.marker)
            if not where:
                return None
            spec = pythons.spec(where)
            when = None if spec == "*" else f"python {spec}"
        space = self._catalogue.space(requirement.name)
        version = (space.spec(requirement.specifier) or IMPOSSIBLE) if len(space) else "*"
        number = f">={PYPI_BUILD_NUMBER}" if requirement.only_pypi else None
        return match_spec(name, version=version, build_number=number, extras=requirement.extras, when=when)


def _of_project(bound: Bound) -> str | None:
    """Return the versions of a project that a bound admits; ``None`` where it is about a conda package."""
    return None if bound.package.startswith("conda:") else bound.specifier


def _is_bare(requirement: Requirement) -> bool:
    """Say whether a requirement is a name and no more."""
    more = requirement.specifier or requirement.extras or requirement.marker
    return not (more or requirement.only_pypi or requirement.constraint)


def _conda_spec(text: str, owned: Container[str]) -> str:
    spec = parse_match_spec(text)
    return text.rpartition("::")[2] if spec.channel is not None and str(spec.name.normalized) in owned else str(spec)
