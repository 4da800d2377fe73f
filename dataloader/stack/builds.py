"""The builds of frameworks as what package files can be taken for: each with what it asks of the axes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from dataloader.compat.axes import (
    ASIDE,
    DOUBT,
    NEVER,
    TORCH_ABI,
    TORCH_CUDA,
    TORCH_PLACE,
    cpu_of,
    mute_of,
    on_cuda,
    unknown_of,
)
from dataloader.compat.companions import TORCH, torch_places
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Announced, Bound, Rule, Variant
from dataloader.compat.rows import Companion, Further, MatrixBuild, WorldOrAny
from dataloader.compat.rules import parse_bound
from dataloader.compat.versions import admits, key
from dataloader.machine.target import Target
from dataloader.stack.answers import is_unlikely
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.needs import cuda_range
from dataloader.stack.space import channel_names, is_offered, objection_of
from dataloader.stack.titles import build_title

T = TypeVar("T")

_CONDA = "conda:"


class Builds:
    """The builds of all frameworks that one request and its machines can have."""

    def __init__(
        self, matrix: Matrix, asked: StackRequest, targets: Sequence[Target], admitted: Collection[str]
    ) -> None:
        """``admitted``: the CUDA versions that options and machines leave."""
        self._matrix, self._asked, self._targets, self._admitted = matrix, asked, tuple(targets), admitted
        self._places = torch_places(matrix)
        self._rows = [row for rows in matrix.builds.values() for row in rows if _world(row) in asked.worlds]
        self._objections: dict[str, str | None] = {}

    # -- what files can be taken for

    def variants(self) -> Mapping[str, tuple[Variant, ...]]:
        """Return what the files of each package can be taken for."""
        rows: dict[str, list[MatrixBuild]] = {}
        for row in self._rows:
            rows.setdefault(_package(row), []).append(row)
        return Lazily(rows, lambda package: tuple(self._variant(row) for row in rows[package]))

    def unknown(self) -> Mapping[str, tuple[Rule, ...]]:
        """Return what holds for files that no row describes, and besides for those that say nothing themselves."""
        found: dict[str, tuple[Rule, ...]] = {}
        for row in self._rows:
            package = _package(row)
            if package not in found:
                why = f"the matrix does not know this build of {row.framework}"
                rule = Rule(id=f"{row.framework}-unknown", when=Bound(package=package), then=(), requires=True, why=why)
                found[package] = (
                    replace(rule, then=(Bound(package=unknown_of(row.framework)),)),
                    replace(
                        rule,
                        id=f"{row.framework}-mute",
                        then=(Bound(package=mute_of(row.framework)),),
                        why=f"{why}, and its metadata does not say which CUDA it is for",
                    ),
                )
        return found

    def stand_ins(self) -> Mapping[str, tuple[str, ...]]:
        """Return the projects that have no wheels of their own name, with those that stand for them."""
        found: dict[str, dict[str, None]] = {}
        for row in self._rows:
            if row.channel == "pypi" and row.package != row.framework:
                found.setdefault(row.framework, {})[row.package] = None
        return {project: tuple(packages) for project, packages in found.items()}

    def _variant(self, row: MatrixBuild) -> Variant:
        conda = row.channel.startswith(_CONDA)
        index = self._matrix.indexes.get(row.channel)
        name = row.channel.removeprefix(_CONDA)
        return Variant(
            id=row.id,
            package=_package(row),
            specifier=row.versions,
            local=index.local_of(row.cuda) if index else "",
            build=row.build if conda else "",
            channel=name if conda and channel_names(self._asked) & self._matrix.channels else "",
            preferred=row.cuda is not None,
            rules=tuple(self._rules(row)),
        )

    def _rules(self, row: MatrixBuild) -> Iterator[Rule]:
        when = Bound(package=_package(row), specifier=row.versions, build=row.build, world=_world(row))
        rule = Rule(id=row.id, when=when, then=(), requires=True, source=row.source)
        if (objection := self._objection(row)) is not None:
            yield replace(rule, id=f"{row.id}-unfit", then=(Bound(package=NEVER),), why=objection)
        if row.cuda is None:
            why = f"{build_title(row)} has no CUDA code"
            yield replace(rule, then=(Bound(package=cpu_of(row.framework)),), why=why)
        else:
            why = f"{build_title(row)} runs with CUDA {cuda_range(row).removeprefix('==')}"
            yield replace(rule, then=(on_cuda(cuda_range(row)),), why=why)
        if row.framework == TORCH:
            yield replace(rule, then=tuple(self._family(row)), why=f"it is {build_title(row)}")
        if is_unlikely(self._matrix, row, self._targets):
            why = f"nothing says that {build_title(row)} has code for every GPU"
            yield replace(rule, id=f"{row.id}-doubt", then=(Bound(package=DOUBT),), why=why)
        if self._is_aside(row):
            why = f"PyPI has {row.framework} {row.version} for a CUDA that would do"
            yield replace(rule, id=f"{row.id}-aside", then=(Bound(package=ASIDE),), why=why)
        if row.needs:
            yield replace(
                rule,
                id=f"{row.id}-libraries",
                then=tuple(map(parse_bound, row.needs)),
                why=f"{row.framework} {row.version} opens libraries that its metadata does not require",
            )

    def _family(self, row: MatrixBuild) -> Iterator[Bound]:
        yield Bound(package=TORCH_CUDA, specifier=f"=={row.cuda or '0'}")
        yield Bound(package=TORCH_PLACE, specifier=f"=={self._places[row.channel]}")
        if row.cxx11_abi is not None:
            yield Bound(package=TORCH_ABI, specifier=f"=={int(row.cxx11_abi)}")

    def _objection(self, row: MatrixBuild) -> str | None:
        if row.id not in self._objections:
            objections = (objection_of(self._matrix, self._asked, row, target) for target in self._targets)
            self._objections[row.id] = next(filter(None, objections), None)
        return self._objections[row.id]

    # -- further indexes

    def _is_aside(self, row: MatrixBuild) -> bool:
        """Say whether PyPI itself has the release for a CUDA that the request and the machines admit."""
        if row.channel not in self._matrix.indexes or self._asked.cuda == CPU:
            return False
        return any(self._is_admitted(other) for other in self._on_pypi.get((row.framework, row.version), ()))

    @cached_property
    def _on_pypi(self) -> Mapping[tuple[str, str], list[MatrixBuild]]:
        found: dict[tuple[str, str], list[MatrixBuild]] = {}
        for row in self._rows:
            if row.channel == "pypi":
                found.setdefault((row.framework, row.version), []).append(row)
        return found

    def _is_admitted(self, row: MatrixBuild) -> bool:
        runs = row.cuda is not None and any(admits(cuda_range(row), cuda) for cuda in self._admitted)
        return runs and self._objection(row) is None and not is_unlikely(self._matrix, row, self._targets)

    def announced(self, placed: Collection[str]) -> Mapping[str, tuple[Announced, ...]]:
        """Return the wheels that further indexes have by the account of the matrix, but of ``placed`` projects."""
        rows: dict[str, list[MatrixBuild]] = {}
        for row in self._rows:
            index = self._matrix.indexes.get(row.channel)
            if index is not None and is_offered(self._matrix, self._asked, row):
                rows.setdefault(row.package, []).append(row)
        served = {project for index in self._matrix.indexes.values() for project in index.projects}
        of_torch = {row.project for row in self._matrix.companions if row.torch} & served if TORCH in rows else set()
        others = {row.project for row in self._matrix.further} if self._asked.indexes else set()
        names = [project for project in (*rows, *sorted(of_torch | others)) if project not in placed]
        return Lazily(names, lambda project: _once(self._announced(project, rows)))

    def _announced(self, project: str, rows: Mapping[str, Sequence[MatrixBuild]]) -> Iterator[Announced]:
        for row in rows.get(project, ()):
            index = self._matrix.indexes[row.channel]
            yield Announced(
                project=project,
                version=f"{row.version}+{index.local_of(row.cuda)}",
                index=index.url_of(row.cuda),
                pythons=row.python,
                rules=tuple(self._rules(row)),
                variant=row.id,
                released=self._matrix.released(row.framework, row.version) or "",
                on_pypi=any(o.cuda == row.cuda for o in self._on_pypi.get((row.framework, row.version), ())),
            )
        yield from (self._vendors(build) for build in self._matrix.further if build.project == project)
        for row in rows.get(TORCH, ()):
            if project in self._matrix.indexes[row.channel].projects:
                for companion in self._companions(row, project):
                    yield self._beside(row, companion)

    def _vendors(self, row: Further) -> Announced:
        """Return a wheel that is published by those who make it: its label says what it is built for."""
        index = self._matrix.indexes[row.place]
        line = row.torch.removeprefix("==").removesuffix(".*")
        version = f"{row.version}+{index.local_of(row.cuda, line)}"
        rule = Rule(
            id=row.id,
            when=Bound(package=row.project, specifier=f"=={version}", world="pypi"),
            then=(Bound(package=TORCH, specifier=row.torch),),
            requires=True,
            why=f"{row.project} {version} was compiled for torch {row.torch}",
            source=row.source,
        )
        return Announced(
            project=row.project,
            version=version,
            index=index.url_of(row.cuda, row.version),
            pythons=row.python,
            rules=(rule,),
            variant="",
            released=row.released or "",
        )

    def _companions(self, row: MatrixBuild, project: str) -> Iterator[Companion]:
        for companion in self._matrix.companions:
            if companion.project == project and companion.torch and admits(companion.torch, row.version):
                yield companion

    def _beside(self, row: MatrixBuild, companion: Companion) -> Announced:
        """Return a companion of the same variant as a torch: what it was compiled for is what its label says."""
        index = self._matrix.indexes[row.channel]
        version = f"{companion.version}+{index.local_of(row.cuda)}"
        rule = Rule(
            id=companion.id,
            when=Bound(package=companion.project, specifier=f"=={version}", world="pypi"),
            then=(Bound(package=TORCH, specifier=companion.torch),),
            requires=True,
            why=f"{companion.project} {companion.version} was compiled for torch {companion.torch}",
            source=companion.source,
        )
        return Announced(
            project=companion.project,
            version=version,
            index=index.url_of(row.cuda),
            pythons=row.python,
            rules=(rule,),
            variant="",
            released=companion.released or "",
        )


class Lazily(Mapping[str, T]):
    """A mapping whose values are made when they are asked for."""

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._names, self._make = dict.fromkeys(names), make
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _world(row: MatrixBuild) -> WorldOrAny:
    return "conda" if row.channel.startswith(_CONDA) else "pypi"


def _package(row: MatrixBuild) -> str:
    return f"{_CONDA}{row.package}" if row.channel.startswith(_CONDA) else row.package


def _once(wheels: Iterable[Announced]) -> tuple[Announced, ...]:
    """Keep one of each version, newest first; a companion of several torch builds serves the Pythons of all."""
    found: dict[tuple[str, str], Announced] = {}
    for wheel in wheels:
        before = found.setdefault((wheel.version, wheel.index), wheel)
        if before is not wheel:
            pythons = tuple(dict.fromkeys((*before.pythons, *wheel.pythons)))
            found[wheel.version, wheel.index] = replace(before, pythons=pythons)
    return tuple(
        sorted(found.values(), key=lambda listed: (key(listed.version.partition("+")[0]), listed.version), reverse=True)
    )
