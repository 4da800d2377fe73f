"""The axes of the package problem: their values, and what options and machines leave of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dataloader.compat.axes import (
    ASIDE,
    CUDA,
    DOUBT,
    NEVER,
    PRESENT,
    TORCH_ABI,
    TORCH_CUDA,
    TORCH_PLACE,
    cpu_of,
    forbidden,
    mute_of,
    on_cuda,
    unknown_of,
)
from dataloader.compat.companions import torch_cudas, torch_places
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rules import parse_bound, table_switches
from dataloader.compat.versions import admits, key, major, minor, prefix_of
from dataloader.machine.target import Target
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.needs import cuda_wish
from dataloader.stack.space import cuda_objection, gcc_objection


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of one request on its machines."""

    matrix: Matrix
    asked: StackRequest
    targets: Sequence[Target]

    def values(self) -> Mapping[str, tuple[str, ...]]:
        """Return the values of every axis."""
        frameworks = self.matrix.frameworks
        single = (ASIDE, DOUBT, *(axis(name) for name in frameworks for axis in (cpu_of, unknown_of, mute_of)))
        return {
            CUDA: tuple(self.matrix.toolkits),
            TORCH_CUDA: torch_cudas(self.matrix),
            TORCH_ABI: ("0", "1"),
            TORCH_PLACE: tuple(torch_places(self.matrix).values()),
            NEVER: (),
            **dict.fromkeys(single, (PRESENT,)),
            **table_switches(self.matrix),
        }

    def rules(self) -> Iterator[Rule]:
        """Yield what the machines, the options and the components say of the axes."""
        for cuda, objection in self._objections.items():
            if objection:
                yield Rule(
                    id=f"cuda-{cuda}-unfit",
                    when=on_cuda(f"=={cuda}"),
                    then=(Bound(package=NEVER),),
                    requires=True,
                    why=objection,
                    source=self.matrix.toolkits[cuda].source,
                )
        yield from self._components()
        yield from self._cuda_option()
        yield from self._library_options()
        yield from self._cudnn_of_gpus()

    @cached_property
    def _objections(self) -> dict[str, str | None]:
        return {cuda: cuda_objection(self.matrix, self.asked, cuda, self.targets) for cuda in self.matrix.toolkits}

    @property
    def admitted(self) -> tuple[str, ...]:
        """The CUDA values that the option and the machines leave, oldest first."""
        wish = self.asked.cuda
        if wish == CPU:
            return ()
        specifier = cuda_wish(wish) if wish else ""
        return tuple(cuda for cuda, objection in self._objections.items() if not objection and admits(specifier, cuda))

    def allowed(self) -> Mapping[str, frozenset[str]]:
        """Return what options and machines leave of the axes that releases are compiled for."""
        cudas = frozenset(self.admitted)
        without = {"0"} if self.asked.cuda in (None, CPU) else set()
        built = {
            cuda
            for cuda in torch_cudas(self.matrix)
            if any(major(other) == major(cuda) and key(other) >= key(cuda) for other in cudas)
        }
        return {CUDA: cudas, TORCH_CUDA: frozenset(built | without), NEVER: frozenset()}

    def _components(self) -> Iterator[Rule]:
        """Keep the libraries whose version tells a CUDA minor to that of the environment."""
        for cuda, component in self.matrix.components.items():
            told = [bound for bound in map(parse_bound, component.wheels) if bound.package in self._telling]
            yield Rule(
                id=component.id,
                when=on_cuda(f"=={cuda}"),
                then=tuple(Bound(package=bound.package, specifier=f"=={cuda}.*", world="pypi") for bound in told),
                why=f"one CUDA in the environment: {cuda}",
                source=component.source,
            )

    @cached_property
    def _telling(self) -> frozenset[str]:
        return frozenset(part.package for part in self.matrix.parts if part.tells == "minor")

    def _cuda_option(self) -> Iterator[Rule]:
        wish = self.asked.cuda
        if wish == CPU:
            yield Rule(id="option-cuda", when=None, then=(forbidden(CUDA),), why="CPU builds were asked for")
        elif wish:
            specifier = cuda_wish(wish)
            exact = specifier.removeprefix("==").removesuffix(".*") in self.matrix.toolkits
            yield Rule(
                id="option-cuda",
                when=None,
                then=(on_cuda(specifier),),
                requires=exact or not self.admitted,
                why=f"CUDA {wish} was asked for",
            )

    def _library_options(self) -> Iterator[Rule]:
        for title, wish in (("cuDNN", self.asked.cudnn), ("NCCL", self.asked.nccl), ("GCC", self.asked.gcc)):
            if wish:
                yield Rule(
                    id=f"option-{title.lower()}",
                    when=None,
                    then=tuple(_of_library(name, prefix_of(wish)) for name in self.matrix.carriers(title.lower())),
                    why=f"{title} {wish} was asked for",
                )
        yield from self._nvcc_of_gcc()

    def _nvcc_of_gcc(self) -> Iterator[Rule]:
        """Keep every nvcc, which may be of another minor than the rest, to those that accept the host compiler."""
        for cuda, toolkit in self.matrix.toolkits.items() if self.asked.gcc else ():
            objection = gcc_objection(self.matrix, cuda, self.asked.gcc or "")
            if objection:
                yield Rule(
                    id=f"nvcc-{cuda}-gcc",
                    when=None,
                    then=tuple(_of_library(name, f"!={cuda}.*") for name in self.matrix.carriers("nvcc")),
                    why=objection,
                    source=toolkit.source,
                )

    def _cudnn_of_gpus(self) -> Iterator[Rule]:
        """Keep cuDNN to releases with kernels for every GPU of the machines."""
        gpus = [gpu for target in self.targets for gpu in target.gpus]
        if not gpus:
            return
        oldest = min(gpus, key=lambda gpu: key(gpu.capability))
        rows = [row for row in self.matrix.cudnns if row.capability_min]
        ended = [row for row in rows if key(oldest.capability) < key(row.capability_min or "0")]
        if not ended:
            return
        first = min(ended, key=lambda row: key(row.cudnn))
        names = self.matrix.carriers("cudnn")
        yield Rule(
            id=first.id,
            when=None,
            then=tuple(_of_library(name, f"<{first.cudnn}") for name in names),
            why=f"cuDNN {first.cudnn} and later have no kernels for {oldest.name} "
            f"(compute capability {oldest.capability})",
            source=first.source,
        )

    # -- what is done without where that can be

    def ladder(self, *, mapped: bool = True) -> tuple[tuple[Bound, ...], ...]:
        """Return what is forbidden, one rung after the other: the first rung that has an answer is it.

        ``mapped``: the matrix has builds for the platform; else all are unknown there, and one rung is all there is.

        Builds of a further index beside as good ones of PyPI go last but for: builds that hardly have code for the
        GPUs; builds for the CPU, unless they were asked for; and builds that nobody knows. Where a CUDA was asked for,
        or none, a build that says nothing of it is no answer on any rung.
        """
        frameworks = self.matrix.frameworks
        unknown = tuple(forbidden(unknown_of(name)) for name in frameworks)
        mute = tuple(forbidden(mute_of(name)) for name in frameworks)
        cpu = {name: forbidden(cpu_of(name)) for name in frameworks}
        aside = forbidden(ASIDE)
        doubt = (forbidden(DOUBT),) if any(target.gpus for target in self.targets) else ()
        all_cpu = tuple(cpu.values())
        insists = self.asked.cuda != CPU and (self.asked.cuda is not None or self.asked.cudnn or self.asked.nccl)
        last = (*all_cpu, *mute) if insists else ()
        if not mapped:
            return (last,)
        if self.asked.cuda == CPU:
            return (unknown, mute)
        if insists:
            return (*_surest_first(aside, doubt, (*all_cpu, *unknown)), last)
        named = [name for name in frameworks if name in self.asked.frameworks]
        single = [
            (*(bound for other, bound in cpu.items() if other != name), *unknown) for name in named if len(named) > 1
        ]
        return (*_surest_first(aside, doubt, (*all_cpu, *unknown)), *single, unknown, all_cpu, last)


def _surest_first(aside: Bound, doubt: tuple[Bound, ...], others: tuple[Bound, ...]) -> Iterator[tuple[Bound, ...]]:
    yield (aside, *doubt, *others)
    yield (*doubt, *others)
    if doubt:
        yield others


def _of_library(name: str, specifier: str) -> Bound:
    if name.startswith("conda:"):
        conda = specifier.removeprefix("==") if specifier.startswith("==") else specifier
        return Bound(package=name, specifier=conda, world="conda")
    return Bound(package=name, specifier=specifier)


def newest_of(cudas: Sequence[str]) -> str:
    """Return the newest of some CUDA versions; empty for none."""
    return minor(max(cudas, key=key)) if cudas else ""
