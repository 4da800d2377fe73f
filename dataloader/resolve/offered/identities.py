"""Which package each name means in the problem, and which versions it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import rattler

from dataloader.base.names import conda_name, pypi_names
from dataloader.base.values import dataclass
from dataloader.compat.model import AXIS, Bound
from dataloader.resolve.channels.rattler import Channels
from dataloader.resolve.offered.knowledge import Knowledge
from dataloader.resolve.words.pythons import Pythons
from dataloader.resolve.words.records import IMPOSSIBLE
from dataloader.resolve.words.rules import RuleBook, bound_spec
from dataloader.resolve.words.versions import VersionSpace

CONDA_ONLY = "conda:"


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel's record with the parts that are asked for again and again; each costs a call into rattler."""

    record: rattler.RepoDataRecord
    url: str
    version: str
    build: str

    @property
    def channel_name(self) -> str:
        """The last part of the channel's URL, by which the matrix knows it."""
        return str(self.record.channel).rstrip("/").rpartition("/")[2]

    @property
    def sha256(self) -> str | None:
        """Hex digest, where the channel gives one."""
        digest = self.record.sha256
        return digest.hex() if digest else None


class Names:
    """Projects, names of conda packages alone (``conda:NAME``) and axes, as far as they were prepared."""

    def __init__(self, channels: Channels, pythons: Pythons, book: RuleBook) -> None:
        self.knowledge: Knowledge | None = None
        """Set once there are indexes to know of."""
        self.channels, self.pythons, self.book = channels, pythons, book
        self._conda: dict[str, list[ChannelRecord]] = {}
        self._identities: dict[str, str] = {}
        self._spaces: dict[str, tuple[tuple[VersionSpace, ...], VersionSpace]] = {}
        self._axes = {axis: VersionSpace(values) for axis, values in book.needs.axes.items()}

    async def prepare(self, projects: Iterable[str]) -> None:
        """Read what the channels have of these projects (``conda:NAME`` for conda-only names)."""
        new = sorted(p for p in set(projects) if p not in self._identities and not p.startswith(AXIS))
        named = {project: _name_in_channels(project) for project in new}
        await self.channels.look_up(name or project.removeprefix(CONDA_ONLY) for project, name in named.items())
        for project, name in named.items():
            await self._identify(project, name)

    async def _identify(self, project: str, name: str | None) -> None:
        conda_only = project.startswith(CONDA_ONLY)
        records = await self.channels.records(name) if name is not None else []
        if records:
            assert name is not None
            self._identities[project] = name
            self._conda[project] = [ChannelRecord(r, r.url, str(r.version), str(r.build)) for r in records]
        elif conda_only:
            self._identities[project] = project.removeprefix(CONDA_ONLY)
        elif name is not None and name != project and self.channels.urls:
            self._identities[project] = name  # conda packages may need it by that name, though no channel has it
        else:
            # a channel may use the project's name for something else; then the project goes by a name of its own
            taken = await self.channels.records(project)
            self._identities[project] = f"pypi.{project}" if taken else project

    def identity(self, project: str) -> str:
        """Return the package that a project (or ``conda:NAME``) is in the problem."""
        if project.startswith(AXIS):
            return axis_package(project)
        return self._identities.get(project, project.removeprefix(CONDA_ONLY))

    def conda_records(self, project: str) -> list[ChannelRecord]:
        """Return what the channels have of a prepared project."""
        return self._conda.get(project, [])

    def serves(self, project: str) -> bool:
        """Say whether a package has candidates without any index."""
        return project.startswith(AXIS) or bool(self.conda_records(project))

    def space(self, project: str) -> VersionSpace:
        """Return all versions of a project, of both worlds."""
        if project == self.pythons.name:
            return self.pythons.space
        if project.startswith(AXIS):
            return self._axes[project]
        known = tuple(self._known_of(project))
        cached = self._spaces.get(project)
        if cached is None or cached[0] != known:
            conda = [record.version for record in self.conda_records(project)]
            wheels = (version for space in known for version in space.admitted(""))
            alone = len(known) == 1 and not conda
            cached = (known, known[0] if alone else VersionSpace({*wheels, *conda}))
            self._spaces[project] = cached
        return cached[1]

    def _known_of(self, project: str) -> Iterator[VersionSpace]:
        """Yield the versions of a project's wheels, and of those that stand for it."""
        if self.knowledge is not None:
            for name in (project, *self.book.needs.stand_ins.get(project, ())):
                yield self.knowledge.space(name)

    def _by_identity(self) -> dict[str, list[str]]:
        """Return the names under which each channel package was asked for (``torch`` and ``conda:pytorch``)."""
        found: dict[str, list[str]] = {}
        for project in sorted(self._conda):
            found.setdefault(self.identity(project), []).append(project)
        return found

    @property
    def _grown(self) -> tuple[int, int]:
        """A number that changes whenever a package's known versions may have."""
        known = self.knowledge
        if known is None:
            return (0, len(self._identities))
        grown = len(known.projects) + known.further.grown
        return (grown, len(self._identities))

    def _admitted(self, project: str, specifier: str) -> frozenset[str]:
        if not project.startswith(CONDA_ONLY):
            return self.space(project).admitted(specifier)
        wanted = rattler.VersionSpec(specifier or "*")
        return frozenset(r.version for r in self.conda_records(project) if wanted.matches(r.record.version))

    def bound(self, bound: Bound) -> str:
        """Return the match spec of a bound."""
        name = self.identity(bound.package)
        if bound.package.startswith(CONDA_ONLY):
            version = bound.specifier or "*"
        else:
            space = self.space(bound.package)
            version = (space.spec(bound.specifier) or IMPOSSIBLE) if len(space) else "*"
        return bound_spec(bound, name, version)


def _name_in_channels(project: str) -> str | None:
    """Return what channels call a project (``conda:NAME`` for conda-only names); None where they have none for it."""
    if project.startswith(CONDA_ONLY):
        return project.removeprefix(CONDA_ONLY)
    name = conda_name(project)
    if name is None and pypi_names(project) is None:
        return project  # nobody has said what a channel means by it: the same name is the same thing
    if name is not None and (pypi_names(name) or (project,))[0] != project:
        # a conda package that holds several projects is the identity of the first alone
        return name if name == project else None
    return name


def axis_package(axis: str) -> str:
    """Return the package that an axis is: no project and no conda package has such a name."""
    return axis.replace(":", ".").replace("+", "-")
