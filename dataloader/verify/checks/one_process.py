"""Packages that are imported together, opened in one process: what loads by itself, and not beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from dataloader.compat.matrix import Matrix
from dataloader.elf.frameworks import distributions_of
from dataloader.loader.model import STATIC_TLS_SURPLUS, Failure
from dataloader.loader.process import Process
from dataloader.prefix.records import InstalledPackage
from dataloader.verify.checks.loads import Situation, check_loads
from dataloader.verify.checks.sources import SourceIndex
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.tables import Tables

_THE_FRAMEWORKS: Final = "a program that uses the frameworks of this environment"


class Company(NamedTuple):
    """Packages that one program imports."""

    user: str
    """Who imports them, as messages say it."""
    members: tuple[InstalledPackage, ...]
    """Those that bring libraries in question, in the order in which what requires others comes after them."""
    by: InstalledPackage | None
    """The package that requires them all; ``None`` for the frameworks, whose order the program chooses."""


class Clash(NamedTuple):
    """An extension module that loads by itself, and not in company."""

    company: Company
    verdict: Verdict
    """With the failures that it has there."""
    severity: Severity


def check_one_process(judge: Judge, verdicts: Sequence[Verdict], situation: Situation) -> Iterator[Finding]:
    """Extension modules that load by themselves, and not in one process with what else is imported.

    What was loaded first serves all under its soname, and what needs static thread-local storage shares what is left.
    Only modules that bring such libraries are opened, and of these, where there are some, those that the import of
    their package reaches.
    """
    failing = clashes(judge, verdicts, situation)
    for company in dict.fromkeys(clash.company for clash in failing):
        mine = [clash for clash in failing if clash.company == company]
        broken = [clash.verdict for clash in mine]
        levels = {clash.verdict.path: clash.severity for clash in mine}
        beside = " and ".join(member.label for member in company.members)
        for finding in check_loads(broken, situation._replace(importance=partial(_level, levels))):
            why = f"each loads by itself; {company.user} imports {beside}"
            yield finding._replace(
                message=f"{finding.message}, where {beside} are in one process", evidence=(*finding.evidence, why)
            )


def clashes(judge: Judge, verdicts: Sequence[Verdict], situation: Situation) -> list[Clash]:
    """The extension modules that load by themselves and not in company, each with the company that says most."""
    modules = _in_question(judge, verdicts)
    by_path = {verdict.path: verdict for verdict in verdicts}
    failing: dict[str, Clash] = {}
    for company in companies(judge, set(modules), situation.matrix):
        there, back = (_failures(judge, order, modules) for order in (company.members, company.members[::-1]))
        in_any_order = there and back and _imports_all(company, judge.sources)
        severity: Severity = "error" if in_any_order else "warning"
        for path, failures in (there or back).items():
            if path not in failing or severity == "error":
                refused = by_path[path]._replace(loads=False, failures=tuple(failures))
                failing[path] = Clash(company, refused, severity)
    return list(failing.values())


def _level(levels: Mapping[str, Severity], verdict: Verdict) -> Severity:
    return levels[verdict.path]


def companies(judge: Judge, packages: set[str], matrix: Matrix) -> Iterator[Company]:
    """What is imported together of these packages, given by their records: each set once, two packages or more."""
    seen: set[frozenset[str]] = set()
    orders = {package.path: judge.order(package) for package in judge.packages.values()} if len(packages) > 1 else {}
    found = [
        Company(package.label, tuple(member for member in orders[package.path] if member.path in packages), package)
        for package in sorted(judge.packages.values(), key=lambda first: (len(orders.get(first.path, ())), first.name))
        if package.path in orders
    ]
    named = {name for project in matrix.frameworks for name in distributions_of(project)} if orders else set()
    together = [
        member for name in sorted(named & judge.packages.keys()) for member in orders[judge.packages[name].path]
    ]
    members = tuple(dict.fromkeys(member for member in together if member.path in packages))
    found.append(Company(_THE_FRAMEWORKS, members, None))
    for company in found:
        paths = frozenset(member.path for member in company.members)
        if len(paths) > 1 and paths not in seen:
            seen.add(paths)
            yield company


def _in_question(judge: Judge, verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Package -> its modules that bring a library of whose name there are several, or static thread-local storage."""
    files = judge.bare.process.environment.files
    brought = [verdict for verdict in verdicts if verdict.loads and verdict.extension and verdict.package]
    contents: dict[str, dict[str, int]] = {}  # soname -> content -> bytes of static storage
    for path in {path for verdict in brought for path in verdict.scope}:
        image = files.image(path)
        if image is not None and image.facts is not None and image.facts.soname:
            contents.setdefault(image.facts.soname, {})[image.key] = image.facts.static_tls
    several = {soname for soname, keys in contents.items() if len(keys) > 1}
    if sum(size for keys in contents.values() for size in keys.values()) > STATIC_TLS_SURPLUS:
        several |= {soname for soname, keys in contents.items() if any(keys.values())}
    found: dict[str, list[Verdict]] = {}
    for verdict in brought if several else ():
        images = (files.image(path) for path in verdict.scope)
        if verdict.package and any(image and image.facts and image.facts.soname in several for image in images):
            found.setdefault(verdict.package.path, []).append(verdict)
    return found


def _failures(
    judge: Judge, order: Sequence[InstalledPackage], modules: Mapping[str, Sequence[Verdict]]
) -> dict[str, list[Failure]]:
    """Module -> why it does not load after those of the packages before."""
    process, found = judge.bare.process.copy(), {}
    for package in order:
        mine, reached = modules[package.path], judge.sources.of(package).reached()
        imported = [verdict for verdict in mine if judge.sources.module(verdict.path) in reached]
        for verdict in imported or mine:
            _open_first(process, judge.process_of(verdict))
            result = process.open(f"{judge.bare.prefix}/{verdict.path}")
            if not result.loads:
                found[verdict.path] = result.failures
    return found


def _open_first(process: Process, known: Process) -> None:
    """Open what the code of a package has opened before its module, where that loads."""
    everywhere = set(map(id, known.global_scope))
    for loaded in known.objects:
        if loaded.image is not None and loaded.image.file_id not in process.by_id:
            process.open(loaded.path, make_global=id(loaded) in everywhere)


def _imports_all(company: Company, sources: SourceIndex) -> bool:
    """Whether the import of the user plainly imports every member, by way of others perhaps."""
    if company.by is None:
        return False
    roots = {root.partition(".")[0]: member for member in company.members for root in sources.of(member).roots()}
    reached, pending = {company.by.path}, [company.by]
    while pending:
        for name in sources.of(pending.pop()).top_levels():
            if name in roots and roots[name].path not in reached:
                reached.add(roots[name].path)
                pending.append(roots[name])
    return reached >= {member.path for member in company.members}


# -- OpenMP ------------------------------------------------------------------------------------------------------------


def check_openmp(judge: Judge, verdicts: Sequence[Verdict], tables: Tables, situation: Situation) -> Iterator[Finding]:
    """Different OpenMP runtimes that one process may come to hold, linked or opened by code.

    Intel's and LLVM's end the process where a second of them begins (OMP: Error #15), a copy of the same one too.
    """
    runtimes = _runtimes(judge, verdicts, tables, situation)  # runtime -> packages
    files = judge.bare.process.environment.files
    keys = {path: image.key for path in runtimes if (image := files.image(f"{judge.bare.prefix}/{path}")) is not None}
    alone = {path: family for path in runtimes if (family := runtime_of(path, tables.openmp)) in tables.openmp_alone}
    users = {runtime.path for path in alone for runtime in runtimes[path]}
    told: set[frozenset[str]] = set()
    several = len({keys.get(path, path) for path in alone}) > 1
    for company in companies(judge, users, situation.matrix) if several else ():
        found = [path for path in sorted(alone) if not set(company.members).isdisjoint(runtimes[path])]
        if len({keys.get(path, path) for path in found}) < 2 or frozenset(found) in told:
            continue
        told.add(frozenset(found))
        yield Finding(
            severity="warning",
            kind="two-openmp-runtimes",
            path=found[0],
            message=f"{' and '.join(found)} come into one process, and the second one that begins ends it",
            evidence=(*(_line(path, runtimes) for path in found), f"{company.user} imports them together"),
            files=tuple(found),
        )
    families = sorted({family for path in runtimes if (family := runtime_of(path, tables.openmp))})
    if len(families) > 1 and not told:
        yield Finding(
            severity="note",
            kind="two-openmp-runtimes",
            path=min(runtimes),
            message=f"packages of this environment use different OpenMP runtimes: {', '.join(families)}",
            evidence=tuple(_line(path, runtimes) for path in sorted(runtimes))[:8],
            files=tuple(sorted(runtimes)),
        )


def _line(path: str, runtimes: Mapping[str, Sequence[InstalledPackage]]) -> str:
    return f"{path} for {', '.join(runtime.label for runtime in runtimes[path])}"


def _runtimes(
    judge: Judge, verdicts: Sequence[Verdict], tables: Tables, situation: Situation
) -> dict[str, list[InstalledPackage]]:
    """OpenMP runtime -> packages that bring it: by their extension modules, else by what their code opens."""
    found: dict[str, list[InstalledPackage]] = {}
    served: set[str] = set()
    rest: dict[str, InstalledPackage] = {}
    for verdict in verdicts:
        package, scope = verdict.package, [situation.relative(path) for path in verdict.scope]
        mine = [path for path in scope if runtime_of(path, tables.openmp)]
        if package is None or not mine:
            continue
        if not verdict.extension:
            rest[package.path] = package
            continue
        served.add(package.path)
        for path in mine:
            _note(found, path, package)
    for package in rest.values():
        if package.path not in served and package.kind == "pypi" and judge.is_followed(package):
            opened = (loaded.path for story in judge.stories(package) for loaded in story.around.perhaps.objects)
            for path in map(situation.relative, opened):
                if runtime_of(path, tables.openmp):
                    _note(found, path, package)
    return found


def _note(found: dict[str, list[InstalledPackage]], path: str, package: InstalledPackage) -> None:
    known = found.setdefault(path, [])
    if package not in known:
        known.append(package)


def runtime_of(path: str, runtimes: frozenset[str]) -> str | None:
    """``libgomp`` of ``libgomp-a34b3233.so.1``: wheels carry renamed copies.

    >>> runtime_of("a.libs/libgomp-a34b3233.so.1.0.0", frozenset({"libgomp"}))
    'libgomp'
    """
    stem = path.rsplit("/", 1)[-1].partition(".so")[0].partition("-")[0]
    return stem if stem in runtimes else None
