"""Of which projects a pre-release may be chosen (PEP 440): where something asks for one, or admits nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dataloader.base.names import normalized
from dataloader.resolve.words.projects import Project


class EarlyReleases:
    """What was met of each project's pre-releases."""

    def __init__(self, *, everywhere: bool) -> None:
        """``everywhere``: of every project."""
        self.closed: set[str] = set()
        """Projects of which none is offered any longer: what was chosen of them needed none."""
        self._everywhere = everywhere
        self._named: set[str] = set()
        self._known: dict[str, tuple[Project, dict[str, bool]]] = {}

    def meet(self, name: str, specifier: str) -> None:
        """Note that something wants versions of a project."""
        if specifier and SpecifierSet(specifier).prereleases:
            self._named.add(name)

    def are_open(self, project: Project, required: Iterable[str], met: Iterable[str]) -> bool:
        """Say whether pre-releases of a project may be chosen.

        Args:
            project: The project.
            required: What is asked of it directly; all of it binds.
            met: What anything that was met asks of it.
        """
        if project.name in self.closed:
            return False
        if self._everywhere or project.name in self._named:
            return True
        together = ",".join(sorted(filter(None, required)))
        return any(self._admits_nothing_else(project, specifier) for specifier in (together, *met) if specifier)

    def are_named(self, name: str, required: Iterable[str], needs: Iterable[str]) -> bool:
        """Say whether pre-releases of a project are named, or wanted of every project.

        Args:
            name: The project.
            required: What is asked of it directly.
            needs: Entries of Requires-Dist of what is chosen.
        """
        if self._everywhere or any(SpecifierSet(specifier).prereleases for specifier in required):
            return True
        parsed = (_read(text) for text in needs if normalized(text).startswith(name))
        return any(
            dependency and canonicalize_name(dependency.name) == name and dependency.specifier.prereleases
            for dependency in parsed
        )

    def _admits_nothing_else(self, project: Project, specifier: str) -> bool:
        known = self._known.get(project.name)
        if known is None or known[0] is not project:
            known = self._known[project.name] = (project, {})
        if specifier not in known[1]:
            wanted, early = SpecifierSet(specifier), False
            for wheel in project.wheels:
                if not wheel.file.yanked and wanted.contains(wheel.version, prereleases=True):
                    early = wheel.version.is_prerelease
                    if not early:
                        break
            known[1][specifier] = early
        return known[1][specifier]


def _read(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None  # such a wheel is passed over where what it needs is read
