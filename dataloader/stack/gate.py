"""The last gate: a finished solution held against every rule of the matrix, the machines and the options.

It knows nothing of axes, records and solvers: it looks at the packages that were chosen, as a person with the matrix in
hand would. What it finds is a mistake of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from dataloader.base.names import pypi_names
from dataloader.compat.labels import cuda_of_label, read_label
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound
from dataloader.compat.rows import MatrixBuild, WorldOrAny
from dataloader.compat.rules import parse_bound
from dataloader.compat.versions import admits, key, major, minor, prefix_of
from dataloader.machine.target import Target
from dataloader.stack.model import CPU, StackRequest, are_mapped
from dataloader.stack.needs import cuda_range, cuda_wish
from dataloader.stack.space import channel_names, cuda_objection, objection_of
from dataloader.stack.titles import build_title

_CONDA = "conda:"


class Held(NamedTuple):
    """One package of a solution."""

    name: str
    version: str
    world: WorldOrAny
    build: str = ""
    channel: str = ""
    """Name of the conda channel."""
    foreign: bool = False
    """Of an index whose files are not PyPI's."""


class Violation(NamedTuple):
    """A rule that a solution breaks."""

    rule: str
    text: str


class Gate:
    """Judges one solution."""

    def __init__(self, matrix: Matrix, asked: StackRequest, targets: Sequence[Target], held: Sequence[Held]) -> None:
        self._matrix, self._asked, self._targets, self._held = matrix, asked, tuple(targets), tuple(held)

    def violations(self) -> Iterator[Violation]:
        """Yield everything that is wrong."""
        yield from self._options()
        yield from self._table_rules()
        yield from self._pairs()
        yield from self._rows()
        yield from self._one_cuda()
        yield from self._companions()
        yield from self._labels()
        yield from self._libraries()

    # -- options by themselves

    def _options(self) -> Iterator[Violation]:
        """A library of CUDA does not go with builds for the CPU, nor with a CUDA that it came before."""
        asked, matrix = self._asked, self._matrix
        if asked.cuda == CPU and (asked.cudnn or asked.nccl):
            yield Violation("option-cuda", "CPU builds were asked for, and a library of CUDA")
        elif asked.cuda and asked.cudnn and asked.cuda != CPU:
            rows = [row for row in matrix.cudnns if _admits(prefix_of(asked.cudnn), row.cudnn)]
            majors = {major(cuda) for cuda in matrix.toolkits if admits(cuda_wish(asked.cuda), cuda)}
            if rows and not any(majors.intersection(row.cuda_majors) for row in rows) and "conda" not in asked.worlds:
                yield Violation("option-cudnn", f"no cuDNN {asked.cudnn} is for CUDA {asked.cuda}")

    # -- table rule

    def _table_rules(self) -> Iterator[Violation]:
        for row in self._matrix.rules:
            if row.cuda and not (self._cudas and all(admits(row.cuda, cuda) for cuda in self._cudas)):
                continue
            when = parse_bound(row.when) if row.when else None
            if when is not None and not any(self._within(held, when, row.world) for held in self._held):
                continue
            for then in map(parse_bound, row.then):
                present = [held for held in self._held if self._is_of(held, then)]
                wrong = [held for held in present if not self._within(held, then, "any")]
                if wrong or (row.requires and not present):
                    yield Violation(row.id, f"{row.why}: {_title(wrong[0]) if wrong else f'{then} is missing'}")

    def _is_of(self, held: Held, bound: Bound) -> bool:
        if bound.package.startswith(_CONDA):
            return held.world == "conda" and held.name == bound.package.removeprefix(_CONDA)
        return _project(held) == bound.package

    def _within(self, held: Held, bound: Bound, world: WorldOrAny) -> bool:
        if not self._is_of(held, bound) or world not in ("any", held.world):
            return False
        if bound.build and held.world == "conda" and not _matches(bound.build, held.build):
            return False
        specifier = bound.specifier
        if specifier and specifier[0].isdigit():
            specifier = f"=={specifier}"
        return _admits(specifier, held.version)

    def _pairs(self) -> Iterator[Violation]:
        for row in self._matrix.pairs:
            for held in self._held:
                for other in self._held:
                    if (held.name, other.name) == (row.package, row.other) and held.version != other.version:
                        yield Violation(row.id, f"{row.why}: {_title(held)} beside {_title(other)}")

    # -- builds of frameworks

    @cached_property
    def _taken(self) -> dict[str, MatrixBuild | None]:
        """Framework to the row of the build that is there; None: one that nobody knows."""
        found: dict[str, MatrixBuild | None] = {}
        for framework in self._matrix.frameworks:
            rows = self._matrix.builds[framework]
            carriers = {row.package for row in rows}
            for held in self._held:
                if held.name in carriers and any(
                    _world(row) == held.world and row.package == held.name for row in rows
                ):
                    found[framework] = self._row_of(held, [row for row in rows if row.package == held.name])
        return found

    def _row_of(self, held: Held, rows: Sequence[MatrixBuild]) -> MatrixBuild | None:
        if not are_mapped(self._targets):
            return None
        fitting = [row for row in rows if self._describes(row, held)]
        with_cuda = [row for row in fitting if row.cuda is not None and not self._missing(row)]
        without = [row for row in fitting if row.cuda is None]
        return next(iter((*with_cuda, *without, *fitting)), None)

    def _describes(self, row: MatrixBuild, held: Held) -> bool:
        public, _, local = held.version.partition("+")
        if held.world != _world(row) or not _admits(row.versions, public):
            return False
        if held.world == "conda":
            known = bool(channel_names(self._asked) & self._matrix.channels)
            return (row.channel[6:] == held.channel or not known) and _matches(row.build or "*", held.build)
        index = self._matrix.indexes.get(row.channel)
        return local == (index.local_of(row.cuda) if index else "") and not (held.foreign and not local)

    def _missing(self, row: MatrixBuild) -> list[Bound]:
        needs = [parse_bound(need) for need in row.needs]
        return [need for need in needs if not any(self._within(held, need, "any") for held in self._held)]

    def _rows(self) -> Iterator[Violation]:
        for framework, row in self._taken.items():
            if row is None:
                continue
            for need in self._missing(row):
                yield Violation(f"{row.id}-libraries", f"{build_title(row)} needs {need}")
            for target in self._targets:
                objection = objection_of(self._matrix, self._asked, row, target)
                if objection:
                    yield Violation(f"{row.id}-unfit", objection)
            if row.cuda is None and self._wants_cuda:
                yield Violation("option-cuda", f"{framework} is a build for the CPU")

    @property
    def _wants_cuda(self) -> bool:
        """Who asks for a library of CUDA asks for CUDA."""
        asked = self._asked
        return asked.cuda != CPU and bool(asked.cuda is not None or asked.cudnn or asked.nccl)

    # -- one CUDA

    @cached_property
    def _said(self) -> list[tuple[str, str]]:
        """What the packages say of the CUDA: who, and a specifier."""
        found = [(build_title(row), cuda_range(row)) for row in self._taken.values() if row is not None and row.cuda]
        for part in self._matrix.parts:
            conda = part.package.startswith(_CONDA)
            for held in self._held:
                if held.name == part.package.removeprefix(_CONDA) and conda == (held.world == "conda"):
                    told = part.cuda or self._told(held.version, part.tells)
                    found += [(_title(held), told)] if told else []
        return found

    def _told(self, version: str, tells: str) -> str:
        numbers = re.match(r"\d+\.\d+", version)
        if numbers is None or not any(major(cuda) == major(numbers[0]) for cuda in self._matrix.toolkits):
            return ""
        exact = tells == "minor" and numbers[0] in self._matrix.toolkits
        return f"=={numbers[0]}" if exact else f"=={major(numbers[0])}.*"

    @cached_property
    def _cudas(self) -> list[str]:
        """The CUDA versions that everything that is said admits; empty where nothing is said."""
        if not self._said:
            return []
        return [cuda for cuda in self._matrix.toolkits if all(admits(specifier, cuda) for _, specifier in self._said)]

    def _one_cuda(self) -> Iterator[Violation]:
        said, wish = self._said, self._asked.cuda
        if not said:
            yield from self._no_cuda_at_all()
            return
        if wish == CPU:
            yield Violation("option-cuda", f"CPU builds were asked for: {said[0][0]} is of CUDA {said[0][1]}")
        elif not self._cudas:
            yield Violation("one-cuda", "; ".join(f"{who}: CUDA {specifier}" for who, specifier in said))
        else:
            wished = [cuda for cuda in self._cudas if not wish or admits(cuda_wish(wish), cuda)]
            if not wished:
                yield Violation("option-cuda", f"CUDA {wish} was asked for: {said[0][0]} is of CUDA {said[0][1]}")
            elif all(cuda_objection(self._matrix, self._asked, cuda, self._targets) for cuda in wished):
                objection = cuda_objection(self._matrix, self._asked, wished[-1], self._targets) or ""
                yield Violation(f"cuda-{minor(wished[-1])}-unfit", objection)

    def _no_cuda_at_all(self) -> Iterator[Violation]:
        """A CUDA that no machine can have is not to be had, whether or not anything of it is there."""
        wish = self._asked.cuda
        wished = [cuda for cuda in self._matrix.toolkits if wish and wish != CPU and admits(cuda_wish(wish), cuda)]
        objections = [cuda_objection(self._matrix, self._asked, cuda, self._targets) for cuda in wished]
        if objections and all(objections):
            yield Violation("option-cuda", f"CUDA {wish} was asked for; {objections[-1]}")

    # -- what is compiled against torch

    @property
    def _torch(self) -> MatrixBuild | None:
        return self._taken.get("torch")

    def _companions(self) -> Iterator[Violation]:
        torch = self._torch
        rows = {(row.project, row.version): row for row in self._matrix.companions}
        pinned = {row.project for row in self._matrix.companions if row.torch.startswith("==")}
        for held in self._held if torch else ():
            assert torch is not None
            if held.world == "conda":
                if held.name in pinned and (_world(torch) != "conda" or self._is_elsewhere(held, torch)):
                    text = f"{_title(held)} of {held.channel} beside {build_title(torch)}"
                    yield Violation(f"{held.name}-of-conda", text)
                continue
            public, _, local = held.version.partition("+")
            if local:
                yield from self._of_label(held, local, torch)
            elif (row := rows.get((held.name, public))) is not None:
                served = torch.channel in {i.name for i in self._matrix.indexes.values() if held.name in i.projects}
                other = (row.torch.startswith("==") and served) or self._other_abi(row.torch, torch)
                if other or (row.cuda and not _same_cuda(row.cuda, row.match, torch.cuda)):
                    yield Violation(row.id, f"{_title(held)} of PyPI beside {build_title(torch)} of {torch.channel}")

    def _is_elsewhere(self, held: Held, torch: MatrixBuild) -> bool:
        channels = {row.channel[6:] for row in self._matrix.builds["torch"] if _world(row) == "conda"}
        return held.channel in channels & self._matrix.channels and held.channel != torch.channel[6:]

    def _of_label(self, held: Held, local: str, torch: MatrixBuild) -> Iterator[Violation]:
        for row in self._matrix.further:
            if row.project == held.name and row.cuda and self._matrix.indexes[row.place].local_of(row.cuda) == local:
                runs = torch.cuda is not None and key(torch.cuda) >= key(row.cuda)
                if not (runs and torch.cuda and major(torch.cuda) == major(row.cuda)):
                    yield Violation(f"{held.name}-{local}", f"{_title(held)} beside {build_title(torch)}")
                return
        for index in self._matrix.indexes.values():
            labels = {index.local_of(r.cuda): r.cuda for r in self._matrix.builds["torch"] if r.channel == index.name}
            if held.name not in index.projects or held.name == "torch" or local not in labels:
                continue
            if labels[local] != torch.cuda or torch.channel not in ("pypi", index.name):
                yield Violation(f"{held.name}-{local}", f"{_title(held)} beside {build_title(torch)}")

    def _other_abi(self, pin: str, torch: MatrixBuild) -> bool:
        wheels = [r for r in self._matrix.builds["torch"] if r.channel == "pypi" and pin == f"=={r.version}"]
        known = wheels and wheels[0].cxx11_abi is not None and torch.cxx11_abi is not None
        return bool(known) and wheels[0].cxx11_abi != torch.cxx11_abi

    def _labels(self) -> Iterator[Violation]:
        torch = self._torch
        for row in self._matrix.labels:
            for held in self._held:
                found = read_label(row, held.version)
                if held.name != row.project or found is None or torch is None:
                    continue
                said = found.groupdict()
                version = next(h.version for h in self._held if _project(h) == "torch")
                digits = said.get("pt") or "00"
                wanted = said.get("torch") or f"{digits[0]}.{digits[1:]}"
                cuda = said.get("cuda") or said.get("cudadot") or ""
                other = not _admits(f"=={wanted}.*", version)
                other |= (torch.cuda is None) != (cuda == "cpu") if cuda else False
                if cuda not in ("", "cpu") and torch.cuda:
                    other |= major(cuda_of_label(cuda)) != major(torch.cuda)
                if said.get("abi") and torch.cxx11_abi is not None:
                    other |= (said["abi"] == "true") != torch.cxx11_abi
                if other:
                    yield Violation(row.id, f"{_title(held)} beside {build_title(torch)}")

    # -- libraries

    def _libraries(self) -> Iterator[Violation]:
        for axis, wish in (("cudnn", self._asked.cudnn), ("nccl", self._asked.nccl), ("gcc", self._asked.gcc)):
            for carrier in self._carriers(axis) if wish else ():
                if not _admits(prefix_of(wish or ""), carrier.version):
                    yield Violation(f"option-{axis}", f"{axis} {wish} was asked for: {_title(carrier)}")
        yield from self._compilers()
        gpus = [gpu for target in self._targets for gpu in target.gpus]
        for row in self._matrix.cudnns:
            for carrier in self._carriers("cudnn") if row.capability_min else ():
                if _admits(f"=={row.cudnn}", carrier.version):
                    old = [gpu for gpu in gpus if key(gpu.capability) < key(row.capability_min)]
                    if old:
                        yield Violation(row.id, f"{_title(carrier)} has no kernels for {old[0].name}")

    def _carriers(self, axis: str) -> list[Held]:
        """The packages whose version is that of an axis."""
        names = set(self._matrix.carriers(axis))
        return [
            held for held in self._held if (f"{_CONDA}{held.name}" if held.world == "conda" else held.name) in names
        ]

    def _compilers(self) -> Iterator[Violation]:
        gcc = self._asked.gcc or ""
        for carrier in self._carriers("nvcc") if gcc[:1].isdigit() else ():
            toolkit = self._matrix.toolkits.get(minor(carrier.version))
            if toolkit and toolkit.gcc_max and int(major(gcc)) > int(toolkit.gcc_max):
                yield Violation(f"nvcc-{toolkit.cuda}-gcc", f"{_title(carrier)} does not accept GCC {gcc}")


def _project(held: Held) -> str:
    """Return the PyPI project that a package is."""
    return (pypi_names(held.name) or (held.name,))[0] if held.world == "conda" else held.name


def _same_cuda(built: Sequence[str], match: str, cuda: str | None) -> bool:
    if cuda is None:
        return match == "minor"
    return cuda in built if match == "minor" else any(major(other) == major(cuda) for other in built)


def _world(row: MatrixBuild) -> WorldOrAny:
    return "conda" if row.channel.startswith(_CONDA) else "pypi"


def _title(held: Held) -> str:
    return f"{held.name} {held.version}{f' {held.build}' if held.build else ''}"


def _matches(matcher: str, build: str) -> bool:
    if matcher.startswith("^") and matcher.endswith("$"):
        return re.fullmatch(matcher[1:-1], build) is not None
    return re.fullmatch("".join(".*" if c == "*" else re.escape(c) for c in matcher), build) is not None


def _admits(specifier: str, version: str) -> bool:
    """Say whether a specifier set contains a version; one that is no PEP 440 version, the empty set alone does."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return not specifier or SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
