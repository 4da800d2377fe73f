"""What the files of a solution's wheels contradict before any of them is fetched, where no row of the matrix says it.

Only what is sure counts: what Python loads whenever the wheel is imported, where all of that was read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dataloader.base.reporter import Reporter
from dataloader.compat.axes import CUDA, TORCH_CUDA, on_cuda, same_major
from dataloader.compat.model import StackNeeds
from dataloader.compat.versions import major
from dataloader.elf.gpucode import GpuCode
from dataloader.index.client import IndexClient
from dataloader.lockfile.model import PypiPackage
from dataloader.machine.target import Target
from dataloader.resolve.model import Resolution
from dataloader.resolve.words.pythons import extras_named
from dataloader.resolve.words.records import parse_dependency
from dataloader.trial.ahead import Ahead, MemberSaid, WheelSaid
from dataloader.trial.model import Artefact, Contradiction, artefact_of
from dataloader.verify.checks.gpu import Device, describe, devices_of
from dataloader.verify.tables import load_tables

_NAMED: Final = re.compile(r"(?:^|[-+.])(?:cuda|gpu|cu\d\d)")
"""How names and labels of projects say that they have to do with CUDA."""


class Foretelling:
    """What was read of the wheels of one lock's solutions."""

    def __init__(self, client: IndexClient, cache: Path, targets: Sequence[Target], reporter: Reporter) -> None:
        self._ahead, self._targets, self._reporter = Ahead(client, cache), targets, reporter
        self._devices = tuple(dict.fromkeys(device for target in targets for device in devices_of(target)))
        self._said: dict[str, tuple[Contradiction, ...]] = {}
        """URL of a wheel that was looked at -> what binds it."""

    @property
    def learned(self) -> tuple[Contradiction, ...]:
        """Everything that was found."""
        return tuple(contradiction for found in self._said.values() for contradiction in found)

    async def contradicts(self, resolution: Resolution, needs: StackNeeds, frameworks: Collection[str]) -> bool:
        """Read what a solution's wheels say that nothing else does; whether the solution breaks any of it."""
        broken = False
        for package in undescribed(resolution, needs, frameworks):
            if package.url not in self._said:
                said = await self._ahead.said(package, everything=bool(self._devices))
                self._said[package.url] = tuple(self._of(package, said))
            for contradiction in self._said[package.url]:
                if not contradiction.counts(self._targets):
                    continue
                if not _holds(contradiction, resolution.axes, needs.allowed):
                    self._reporter.warn(f"{contradiction.why}: choosing again")
                    broken = True
        return broken

    def _of(self, package: PypiPackage, said: WheelSaid) -> Iterator[Contradiction]:
        artefact = artefact_of(package)
        if not said.listed or said.missing(everything=bool(self._devices)):
            unknown = "which CUDA and which GPUs" if self._devices else "which CUDA"
            self._reporter.info(f"not known {unknown} {artefact.label} is for: its files will say")
        loaded = [member for member in said.imported().values() if member is not None]
        if not said.missing(everything=False):
            yield from _of_cuda(artefact, said.paths, loaded)
        if not said.missing(everything=True) and any(member.gpu for member in loaded):
            code = [kernels for member in said.read.values() for kernels in member.gpu]
            yield from _of_gpus(artefact, code, self._devices)


def undescribed(resolution: Resolution, needs: StackNeeds, frameworks: Collection[str]) -> Iterator[PypiPackage]:
    """Yield the compiled wheels that have to do with CUDA, and of which neither the matrix nor a label says which."""
    of_cuda = needs.parts | {name for provider in load_tables().providers.values() for name, _ in provider.pypi}
    rows = {variant.id for package in needs.variants for variant in needs.variants[package]}
    about = needs.parts | set(frameworks)
    for package in resolution.pypi:
        if package.name in of_cuda or package.file_name.endswith("-any.whl"):
            continue
        required = {name for text in package.requires_dist if (name := _required(text))}
        named = bool(_NAMED.search(f"{package.name}-{package.version.partition('+')[2]}"))
        if not (named or package.name in resolution.builds or required & about) or required & needs.parts:
            continue
        if resolution.builds.get(package.name) in rows or _is_read(package, needs):
            continue
        yield package


def _required(text: str) -> str:
    if extras_named(text.partition(";")[2]):
        return ""
    dependency = parse_dependency(text)
    return dependency.name if dependency else ""


def _is_read(package: PypiPackage, needs: StackNeeds) -> bool:
    """Whether its version says which CUDA it is for."""
    readings = (reading for reading in needs.readings if reading.package == package.name)
    rules = (rule for reading in readings for rule in reading.rules(package.version))
    return any(bound.package in (CUDA, TORCH_CUDA) for rule in rules for bound in rule.then)


def _of_cuda(artefact: Artefact, own: Sequence[str], loaded: Sequence[MemberSaid]) -> Iterator[Contradiction]:
    """Say which CUDA a wheel's modules load that it does not bring, where they agree."""
    providers, names = load_tables().providers, {path.rpartition("/")[2] for path in own}
    needed = {name for library in loaded for name in library.needed if name not in names}
    majors = {
        name: frozenset(providers[name].cuda_majors)
        for name in sorted(needed & providers.keys())
        if providers[name].cuda_majors and not providers[name].driver
    }
    common = frozenset.intersection(*majors.values()) if majors else frozenset()
    if len(common) != 1:
        return  # none, or what it loads is chosen when it runs
    name, cuda = min(majors, key=lambda soname: (len(majors[soname]), soname)), min(common)
    yield Contradiction(
        artefact=artefact,
        then=(on_cuda(same_major(cuda)),),
        requires=True,
        kind="two-cuda-stacks",
        why=f"{artefact.label} needs {name} of CUDA {cuda}, as its own files say",
    )


def _of_gpus(artefact: Artefact, code: Sequence[GpuCode], devices: Sequence[Device]) -> Iterator[Contradiction]:
    """Say on which GPUs of the machines none of a wheel's code runs."""
    for device in devices:
        if not any(device.runs(kernels) for kernels in code):
            yield Contradiction(
                artefact=artefact,
                then=(artefact.excluded(),),
                gpu=device.number,
                kind="no-gpu-code",
                why=f"{artefact.label} has no code for {device.name} ({device.number}), only {describe(code)}, "
                "as its own files say",
            )


def _holds(contradiction: Contradiction, axes: Mapping[str, str], allowed: Mapping[str, frozenset[str]]) -> bool:
    """Whether a solution keeps what one of its wheels asks for."""
    cudas = [bound.specifier for bound in contradiction.then if bound.package == CUDA]
    if not cudas:
        return False  # it excludes itself
    chosen = {axes[CUDA]} if CUDA in axes else allowed.get(CUDA, frozenset())
    return any(same_major(major(value)) == specifier for value in chosen for specifier in cudas)
