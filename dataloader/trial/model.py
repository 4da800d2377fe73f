"""What package files turned out to contradict once their bytes were read; later solves are bound by it. Values only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from dataloader.base.names import World
from dataloader.base.values import dataclass
from dataloader.compat.model import Bound, Rule, StackNeeds
from dataloader.compat.rules import beside_cuda, switch_of
from dataloader.lockfile.model import CondaPackage, Package
from dataloader.machine.target import Target
from dataloader.verify.findings import FindingKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One package file."""

    kind: World
    name: str
    version: str
    sha256: str

    @property
    def label(self) -> str:
        """``name version``."""
        return f"{self.name} {self.version}"

    def bound(self) -> Bound:
        """The candidate that this file is."""
        return Bound(package=self._package, specifier=f"=={self.version}", world=self.kind, sha256=self.sha256)

    def excluded(self) -> Bound:
        """Every candidate of the package but those of this version in this world."""
        return Bound(package=self._package, specifier=f"!={self.version}", world=self.kind)

    @property
    def _package(self) -> str:
        return f"conda:{self.name}" if self.kind == "conda" else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A package file cannot be installed unless every bound of ``then`` holds."""

    artefact: Artefact
    then: tuple[Bound, ...]
    requires: bool = False
    """Each package of ``then`` must be there, not only keep within its bound."""
    unless_cuda: tuple[str, ...] = ()
    """CUDA majors of the stacks in which it does not count; empty: it counts in all."""
    gpu: str = ""
    """Compute capability of the GPUs for which it counts; empty: for all, and without any."""
    lasting: bool = True
    """True of the files themselves, wherever they are; else of this machine only."""
    kind: FindingKind
    why: str
    """One sentence in the user's terms."""

    def counts(self, targets: Iterable[Target]) -> bool:
        """Whether it binds on these machines."""
        return not self.gpu or any(gpu.capability == self.gpu for target in targets for gpu in target.gpus)

    def rule(self) -> Rule:
        """As the solver is told. One file may contradict several others in the same way: the name tells them apart."""
        import hashlib  # for those who have learnt something

        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return Rule(
            id=f"learned-{self.artefact.name}-{self.artefact.version}-{self.kind}-{digest}",
            when=self.artefact.bound(),
            then=self.then,
            requires=self.requires,
            why=self.why,
            source="the package file itself",
        )


def rules_of(learned: Iterable[Contradiction], targets: Collection[Target]) -> StackNeeds:
    """Return what contradictions say to the package problem; those that hold beside some CUDA have switches."""
    rules: list[Rule] = []
    switches: dict[str, tuple[str, ...]] = {}
    for contradiction in learned:
        if not contradiction.counts(targets):
            continue
        rule = contradiction.rule()
        if contradiction.unless_cuda:
            rules += beside_cuda(rule, ",".join(f"!={major}.*" for major in contradiction.unless_cuda))
            switches |= [switch_of(rule.id)]
        else:
            rules.append(rule)
    return StackNeeds(rules=tuple(rules), axes=switches)


def artefact_of(package: Package) -> Artefact:
    """The file that a locked package is."""
    kind: World = "conda" if isinstance(package, CondaPackage) else "pypi"
    return Artefact(kind=kind, name=package.name, version=package.version, sha256=package.stored_as or "")


def exclusion(first: Artefact, second: Artefact, kind: FindingKind, why: str) -> Contradiction:
    """Two files that cannot be together. It hangs on conda's where there is one: its versions have several builds."""
    if second.kind == "conda" and first.kind == "pypi":
        first, second = second, first
    return Contradiction(artefact=first, then=(second.excluded(),), kind=kind, why=why)


def to_dict(contradiction: Contradiction) -> dict[str, Any]:
    """Plain JSON values."""
    return asdict(contradiction)


def from_dict(data: Mapping[str, Any]) -> Contradiction:
    """The inverse of :func:`to_dict`.

    Raises:
        TypeError, KeyError, ValueError: ``data`` is something else.
    """
    values = dict(data)
    values["artefact"] = Artefact(**values["artefact"])
    values["then"] = tuple(Bound(**bound) for bound in values["then"])
    values["unless_cuda"] = tuple(values["unless_cuda"])
    return Contradiction(**values)
