"""What the matrix, the machines and the stack options say to the package problem. Pure.

Nothing is chosen here: every build that could do is a candidate, and depends on values of the axes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dataloader.base.names import pypi_names
from dataloader.compat.companions import companion_readings, family_rules
from dataloader.compat.labels import LabelReading, places_of
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule, StackNeeds, VersionReading
from dataloader.compat.parts import pair_readings, part_readings
from dataloader.compat.rules import parse_bound, table_rules
from dataloader.compat.versions import specifier_of
from dataloader.machine.target import Target
from dataloader.stack.axes import Axes, newest_of
from dataloader.stack.builds import Builds
from dataloader.stack.model import Stack, StackRequest, are_mapped


def needs_of(
    matrix: Matrix,
    asked: StackRequest,
    targets: Sequence[Target],
    *,
    insisted: Mapping[str, str] | None = None,
    extra_indexes: frozenset[str] = frozenset(),
    planned: Stack | None = None,
    placed: frozenset[str] = frozenset(),
    conda: Collection[str] = (),
) -> StackNeeds:
    """Return everything that holds for the packages of a request.

    Args:
        matrix: The facts.
        asked: The stack options, the frameworks that are asked for by name, and the places that may be used.
        targets: The machines.
        insisted: Framework to the world that must provide it, where the user insists.
        extra_indexes: Indexes whose files are not PyPI's.
        planned: What the planner expects, for reading ahead.
        placed: Projects that must come from a place of the user's, and no further index has.
        conda: Packages that are asked of channels by name.
    """
    required = tuple(
        Bound(package=name, specifier=specifier_of(wish), world=(insisted or {}).get(name, "any"))  # type: ignore[arg-type]
        for name, wish in sorted(asked.frameworks.items())
    )
    axes = Axes(matrix=matrix, asked=asked, targets=targets)
    builds = Builds(matrix, asked, targets, axes.admitted)
    if not are_mapped(targets):
        return _unmapped(matrix, axes, builds, required)
    return StackNeeds(
        requirements=required,
        rules=tuple(_rules(matrix, axes)),
        axes=axes.values(),
        variants=builds.variants(),
        unknown=builds.unknown(),
        parts=frozenset(part.package for part in matrix.parts),
        announced=builds.announced(placed),
        readings=tuple(_readings(matrix)),
        paired=frozenset({row.project for row in matrix.companions} | {row.package for row in matrix.pairs}),
        stand_ins=builds.stand_ins(),
        ladder=axes.ladder(),
        extra_indexes=extra_indexes,
        allowed=axes.allowed(),
        newest_cuda=newest_of(axes.admitted) if asked.cuda is not None or _are_frameworks(matrix, asked, conda) else "",
        hints=tuple(_hints(planned)) if planned else (),
        places=_places(matrix, planned) if planned else {},
    )


def _are_frameworks(matrix: Matrix, asked: StackRequest, conda: Collection[str]) -> bool:
    """Say whether frameworks, what wraps or is compiled against them, or parts of CUDA are asked for by name."""
    builds = {f"conda:{row.package}" for rows in matrix.builds.values() for row in rows if row.channel != "pypi"}
    tied = (parse_bound(row.when).package for row in matrix.rules if row.when and _names_any(row.then, builds))
    known = {*builds, *tied, *(part.package for part in matrix.parts)}
    projects = {project for package in conda for project in (pypi_names(package) or ())[:1]}
    return bool(asked.frameworks or matrix.builds.keys() & projects or known & {f"conda:{name}" for name in conda})


def _names_any(bounds: Iterable[str], packages: Collection[str]) -> bool:
    return any(parse_bound(text).package in packages for text in bounds)


def _unmapped(matrix: Matrix, axes: Axes, builds: Builds, required: tuple[Bound, ...]) -> StackNeeds:
    """Return what holds on a platform that the matrix has no builds for: no build there is known to it.

    What packages say of themselves decides. Where CUDA or one of its libraries was asked for, a framework that says
    nothing of it is no answer: it may be for any, or for none.
    """
    asked = axes.asked
    if asked.cuda is None and not (asked.cudnn or asked.nccl or asked.gcc):
        return StackNeeds(requirements=required, rules=tuple(table_rules(matrix)))
    return StackNeeds(
        requirements=required,
        rules=(*axes.rules(), *table_rules(matrix)),
        axes=axes.values(),
        variants=dict.fromkeys(unknown := builds.unknown(), ()),
        unknown=unknown,
        parts=frozenset(part.package for part in matrix.parts),
        readings=tuple(part_readings(matrix)),
        ladder=axes.ladder(mapped=False),
        allowed=axes.allowed(),
    )


def _rules(matrix: Matrix, axes: Axes) -> Iterator[Rule]:
    yield from axes.rules()
    yield from family_rules(matrix)
    yield from table_rules(matrix)


def _readings(matrix: Matrix) -> Iterator[VersionReading]:
    yield from part_readings(matrix)
    yield from pair_readings(matrix)
    yield from companion_readings(matrix)
    for row in matrix.labels:
        yield LabelReading(row)


def _hints(planned: Stack) -> Iterator[Bound]:
    for build in planned.builds:
        row = build.rows[0] if build.rows else None
        yield Bound(package=row.package if row and row.channel == "pypi" else build.project, specifier=build.specifier)


def _places(matrix: Matrix, planned: Stack) -> Mapping[str, str]:
    """Return where the wheels of projects without any on PyPI are, for the torch that is expected."""
    rows = [row for build in planned.builds if build.project == "torch" for row in build.rows]
    return places_of(matrix, rows[0]) if rows else {}
