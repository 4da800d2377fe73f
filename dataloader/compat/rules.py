"""Turn a chosen stack into what the package problem must hold: requirements, and rules that name their rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dataloader.compat.companions import TORCH, companion_rules
from dataloader.compat.labels import label_rules, places_of
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule, StackNeeds
from dataloader.compat.rows import Build, PackageRule, World, variant
from dataloader.compat.versions import admits, key, major, minor

if TYPE_CHECKING:
    from dataloader.machine.target import Target
    from dataloader.stack.model import FrameworkBuild, Stack

CPU = "none"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_CONDA_CUDNN = ("conda:cudnn", "conda:libcudnn")


def needs_of(
    matrix: Matrix,
    stack: Stack,
    target: Target,
    worlds: frozenset[str],
    provider: Mapping[str, str] | None = None,
) -> StackNeeds:
    """Return what a stack asks of the package problem.

    Args:
        matrix: The facts.
        stack: The stack to hold.
        target: The machine; its glibc and driver bound what no stack axis names.
        worlds: The worlds that are there: ``conda``, ``pypi`` or both.
        provider: Framework to the world (or the channel, ``conda:NAME``) that must provide it, where the user insists.
    """
    parts = [_of_build(matrix, stack, build, worlds, (provider or {}).get(build.project)) for build in stack.builds]
    rules = [rule for part in parts for rule in part.rules]
    rules.extend(_of_axes(stack, worlds))
    rules.extend(_of_gpus(matrix, target))
    rules.extend(_of_others(matrix, stack, target))
    rules.extend(rule_of(row) for row in matrix.rules if _applies(row, stack))
    return StackNeeds(
        requirements=tuple(bound for part in parts for bound in part.requirements),
        rules=tuple(rules),
        indexes=tuple(dict.fromkeys(index for part in parts for index in part.indexes)),
        index_only=tuple(dict.fromkeys(project for part in parts for project in part.index_only)),
        replaced=tuple(project for part in parts for project in part.replaced),
        places={project: place for part in parts for project, place in part.places.items()},
    )


def rule_of(row: PackageRule) -> Rule:
    """Return a row of table ``rule`` as a rule of the problem."""
    when = _narrowed(parse_bound(row.when), row.world) if row.when else None
    then = tuple(parse_bound(text) for text in row.then)
    return Rule(id=row.id, when=when, then=then, requires=row.requires, why=row.why, source=row.source)


def parse_bound(text: str) -> Bound:
    """Read ``numpy<2`` or ``conda:NAME [SPEC [BUILD]]``.

    >>> parse_bound("numpy<2").specifier, parse_bound("conda:libtorch 2.1.* cuda118*").build
    ('<2', 'cuda118*')
    """
    if text.startswith("conda:"):
        name, specifier, build = (*text.split(), "", "")[:3]
        return Bound(package=name, specifier="" if specifier == "*" else specifier, build=build, world="conda")
    found = _NAME.match(text)
    assert found, text
    return Bound(package=found[0], specifier=text[found.end() :].strip())


def _narrowed(bound: Bound, world: World) -> Bound:
    if world == "any" or bound.world != "any":
        return bound
    return Bound(package=bound.package, specifier=bound.specifier, build=bound.build, world=world)


def _applies(row: PackageRule, stack: Stack) -> bool:
    if not row.cuda:
        return True
    cuda = stack.axes.get("cuda", "")
    return bool(cuda) and cuda != CPU and admits(row.cuda, cuda)


def _of_build(
    matrix: Matrix, stack: Stack, build: FrameworkBuild, worlds: frozenset[str], insisted: str | None
) -> StackNeeds:
    """What one framework asks: which records of either world are the wanted build, and what they need besides."""
    rows = [row for row in build.rows if _world(row) in worlds and insisted in (None, _world(row), row.channel)]
    wheels = [row for row in rows if _world(row) == "pypi"]
    records = [row for row in rows if _world(row) == "conda"][:1]
    if records and wheels and records[0].package != wheels[0].package and _renamed(build, wheels + records):
        # Two names that share no identity cannot stand for each other: the better place provides it.
        wheels, records = ([], records) if rows[0] in records else (wheels, [])
    world: World = "pypi" if wheels and not records else "conda" if records and not wheels else "any"
    rules = [*_wheel_rules(matrix, stack, build, wheels), *_record_rules(build, records)]
    package = _package(build, wheels or records)
    index = _index_row(wheels)
    of_torch = [*wheels[:1], *records[:1]] if build.project == TORCH else []
    for row in of_torch:
        rules.extend(label_rules(matrix, row))
    if build.project == TORCH:
        rules.extend(companion_rules(matrix, build, wheels, records, variant(index.cuda) if index else ""))
    return StackNeeds(
        requirements=(Bound(package=package, specifier=build.specifier, world=world),),
        rules=tuple(rules),
        indexes=(matrix.indexes[index.channel].url_of(index.cuda),) if index else (),
        index_only=matrix.indexes[index.channel].projects if index else (),
        replaced=(build.project,) if package != build.project else (),
        places={project: place for row in reversed(of_torch) for project, place in places_of(matrix, row).items()},
    )


def _renamed(build: FrameworkBuild, rows: Sequence[Build]) -> bool:
    return any(_world(row) == "pypi" and row.package != build.project for row in rows)


def _package(build: FrameworkBuild, rows: Sequence[Build]) -> str:
    """The name to require: the project, unless wheels of that CUDA have a name of their own (``cupy-cuda12x``)."""
    return next((row.package for row in rows if _world(row) == "pypi"), build.project)


def _world(row: Build) -> World:
    return "conda" if row.channel.startswith("conda:") else "pypi"


def _index_row(wheels: Sequence[Build]) -> Build | None:
    """The row of a further wheel index, when PyPI itself does not have the build."""
    if any(row.channel == "pypi" for row in wheels):
        return None
    return wheels[0] if wheels else None


def _wheel_rules(matrix: Matrix, stack: Stack, build: FrameworkBuild, wheels: Sequence[Build]) -> Iterator[Rule]:
    """Which wheels are the wanted build, and the CUDA libraries that their metadata does not bring."""
    if not wheels:
        return
    row = wheels[0]
    when = Bound(package=_package(build, wheels), world="pypi")
    index = _index_row(wheels)
    if index:
        local = matrix.indexes[index.channel].local_of(index.cuda)
        specifier = f"=={build.version}+{local}"
        why = f"{build.project} {build.version} for {_title(row)} is the wheel {build.version}+{local}"
        yield _limit(f"{row.id}-wheel", when, (Bound(package=when.package, specifier=specifier),), why, row)
    else:
        others = sorted(_other_locals(matrix, build))
        if others:
            specifier = ",".join((f"=={build.version}", *(f"!={build.version}+{local}" for local in others)))
            why = f"{build.project} {build.version} for {_title(row)} is not one of the other variants"
            yield _limit(f"{row.id}-wheel", when, (Bound(package=when.package, specifier=specifier),), why, row)
    if row.needs:
        yield Rule(
            id=f"{row.id}-libraries",
            when=when,
            then=tuple(wheel_bounds(matrix, row, stack.axes)),
            requires=True,
            why=f"{build.project} {build.version} opens CUDA libraries that its metadata does not require",
            source=row.source,
        )


def _other_locals(matrix: Matrix, build: FrameworkBuild) -> Iterator[str]:
    for row in matrix.builds[build.project]:
        if row.version == build.version and row.cuda != build.cuda and row.channel in matrix.indexes:
            yield matrix.indexes[row.channel].local_of(row.cuda)


def wheel_bounds(matrix: Matrix, row: Build, axes: Mapping[str, str]) -> Iterator[Bound]:
    """Yield the wheels that supply a build's libraries, for the CUDA, cuDNN and NCCL that the stack settled on.

    A build that runs with several CUDA minors takes the wheels of the one that was chosen.
    """
    cuda = axes.get("cuda", "")
    component = matrix.components.get(cuda)
    other = row.cuda is not None and cuda not in ("", CPU, row.cuda)
    chosen = {bound.package: bound for bound in map(parse_bound, component.wheels)} if component and other else {}
    settled = {"nvidia-cudnn-": axes.get("cudnn"), "nvidia-nccl-": axes.get("nccl")}
    for need in map(parse_bound, row.needs):
        specifier = chosen[need.package].specifier if need.package in chosen else need.specifier
        version = next((value for prefix, value in settled.items() if need.package.startswith(prefix)), None)
        if version and specifier.startswith("==") and not admits(specifier, version):
            specifier = f"=={version}" if version.count(".") >= 2 else f"=={version}.*"
        yield Bound(package=need.package, specifier=specifier)


def _record_rules(build: FrameworkBuild, records: Sequence[Build]) -> Iterator[Rule]:
    """Which conda records are the wanted build, told by their build strings; and what they need besides."""
    if not records:
        return
    when = Bound(package=build.project, world="conda")
    row = records[0]
    patterns = [record.build for record in records if record.build]
    if patterns:
        bound = Bound(package=f"conda:{row.package}", build=_either(patterns), world="conda")
        why = f"{build.project} {build.version} for {_title(row)} is told by its build string"
        yield _limit(f"{row.id}-record", when, (bound,), why, row)
    if row.needs:
        yield Rule(
            id=f"{row.id}-libraries",
            when=when,
            then=tuple(map(parse_bound, row.needs)),
            requires=True,
            why=f"{build.project} {build.version} is only whole together with them",
            source=row.source,
        )


def _either(patterns: Sequence[str]) -> str:
    """One matcher for several globs, as a regular expression where one glob does not do."""
    unique = list(dict.fromkeys(patterns))
    if len(unique) == 1:
        return unique[0]
    return "^(" + "|".join(re.escape(pattern).replace(r"\*", ".*").replace("\\-", "-") for pattern in unique) + ")$"


def _title(row: Build) -> str:
    return "the CPU" if row.cuda is None else f"CUDA {row.cuda}"


def _limit(identifier: str, when: Bound | None, then: Iterable[Bound], why: str, row: Build) -> Rule:
    return Rule(id=identifier, when=when, then=tuple(then), why=why, source=row.source)


def _of_axes(stack: Stack, worlds: frozenset[str]) -> Iterator[Rule]:
    """The axes that bind packages of conda, whatever brings them in."""
    cuda = stack.axes.get("cuda", "")
    if stack.pythons:
        minors = sorted(stack.pythons, key=key)
        after = f"3.{int(minors[-1].split('.')[1]) + 1}"
        yield Rule(
            id="stack-python",
            when=None,
            then=(Bound(package="conda:python", specifier=f">={minors[0]},<{after}.0a0", world="conda"),),
            why=f"the frameworks of this stack have builds for Python {minors[0]} to {minors[-1]}",
        )
    if "conda" in worlds and cuda and cuda != CPU:
        yield Rule(
            id="stack-cuda",
            when=None,
            then=(
                Bound(package="conda:cuda-version", specifier=f"{minor(cuda)}.*", world="conda"),
                Bound(package="conda:cudatoolkit", specifier=f"{major(cuda)}.*", world="conda"),
                Bound(package="conda:pytorch-cuda", specifier=f"{minor(cuda)}.*", world="conda"),
            ),
            why=f"one CUDA in the environment: {cuda}",
        )


def _of_gpus(matrix: Matrix, target: Target) -> Iterator[Rule]:
    """Keep cuDNN to releases with kernels for every GPU of the target."""
    if not target.gpus:
        return
    oldest = min(target.gpus, key=lambda gpu: key(gpu.capability))
    ended = [row for row in matrix.cudnns if row.capability_min and key(oldest.capability) < key(row.capability_min)]
    if not ended:
        return
    first = min(ended, key=lambda row: key(row.cudnn))
    wheels = {need for rows in matrix.builds.values() for row in rows for need in map(_package_of, row.needs)}
    names = sorted(name for name in wheels if name.startswith("nvidia-cudnn-"))
    yield Rule(
        id=first.id,
        when=None,
        then=tuple(Bound(package=name, specifier=f"<{first.cudnn}") for name in (*names, *_CONDA_CUDNN)),
        why=f"cuDNN {first.cudnn} and later have no kernels for {oldest.name} (compute capability {oldest.capability})",
        source=first.source,
    )


def _package_of(need: str) -> str:
    return parse_bound(need).package


def _of_others(matrix: Matrix, stack: Stack, target: Target) -> Iterator[Rule]:
    """Bind frameworks that nobody asked for, should something else bring them in, to builds that run here.

    A requirement of a requirement gets the wheel that PyPI has under the bare version, whatever CUDA that is for.
    """
    from dataloader.stack.space import objection_to

    cuda = stack.axes.get("cuda", "")
    for project in sorted(matrix.builds.keys() - {build.project for build in stack.builds}):
        wheels = [row for row in matrix.builds[project] if row.channel == "pypi" and row.package == project]
        fitting = {row.version for row in wheels if objection_to(matrix, row, cuda, target) is None}
        unfit = {row.version: row for row in wheels if row.version not in fitting}
        if not unfit or not fitting:
            continue
        newest = max(unfit.values(), key=lambda row: key(row.version))
        yield Rule(
            id=f"{newest.id}-unfit",
            when=Bound(package=project, world="pypi"),
            then=(Bound(package=project, specifier=",".join(f"!={version}" for version in unfit)),),
            why=objection_to(matrix, newest, cuda, target) or "",
            source=newest.source,
        )
