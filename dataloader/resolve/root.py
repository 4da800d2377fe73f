"""The root of the problem: what must be present, and what is only limited, as match specs."""

from __future__ import annotations

from collections.abc import Container

from dataloader.resolve.model import Problem, Requirement
from dataloader.resolve.offer import Catalogue
from dataloader.resolve.projects import PYPI_BUILD_NUMBER
from dataloader.resolve.rattler import parse_match_spec
from dataloader.resolve.records import IMPOSSIBLE, match_spec


class Root:
    """Spells a problem's requirements over what the catalogue knows by now."""

    def __init__(self, problem: Problem, catalogue: Catalogue) -> None:
        self._problem, self._catalogue = problem, catalogue

    def specs(self, *, conda_only: bool = False, owned: Container[str] = ()) -> list[str]:
        """Return what must be present; with ``conda_only`` without what PyPI must provide.

        A match spec of a package that we answer for ourselves (``owned``) loses its channel: only records of that
        channel are offered then.
        """
        catalogue, problem = self._catalogue, self._problem
        bounds = [*problem.needs.requirements, *(b for r in catalogue.book.always if r.requires for b in r.then)]
        specs = [_conda_spec(text, owned) for text in problem.conda_specs]
        if conda_only:
            bounds = [b for b in bounds if b.world != "pypi" and catalogue.conda_records(b.package)]
        specs += [catalogue.bound(bound) for bound in bounds]
        pythons = catalogue.pythons
        if pythons.all and (problem.requirements or problem.needs.requirements or problem.python):
            # the admitted Pythons are listed: "every known one" would be spelled as any at all
            listed = "|".join(f"=={version}" for version in pythons.space.versions) if problem.python else "*"
            specs.append(match_spec(pythons.name, version=listed))
        if not conda_only:
            asked = [r for r in problem.requirements if not r.constraint]
            specs += [spec for r in asked if (spec := self.requirement(r)) is not None]
        return specs

    def constraints(self) -> list[str]:
        """Return what is limited, if something brings it in."""
        catalogue = self._catalogue
        limits = [catalogue.bound(b) for r in catalogue.book.always if not r.requires for b in r.then]
        limited = [r for r in self._problem.requirements if r.constraint]
        return limits + [spec for r in limited if (spec := self.requirement(r)) is not None]

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


def _conda_spec(text: str, owned: Container[str]) -> str:
    spec = parse_match_spec(text)
    return text.rpartition("::")[2] if spec.channel is not None and str(spec.name.normalized) in owned else str(spec)
