"""What one target makes of what is in a prefix: which libraries load there, and every check."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataloader.target import Target
from dataloader.verify.checks import Situation, check_library_path, check_loads, check_machine, check_malformed
from dataloader.verify.findings import Finding
from dataloader.verify.gpu import check_driver, check_gpu_code
from dataloader.verify.importance import Importance
from dataloader.verify.imports import SourceIndex
from dataloader.verify.installed import Installed, InstalledPackage
from dataloader.verify.link_map import Memory
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.openings import check_openings, openings_by_soname, read_opened
from dataloader.verify.options import VerifyOptions
from dataloader.verify.python import find_interpreter
from dataloader.verify.reading import Contents
from dataloader.verify.report import sort_findings
from dataloader.verify.scan import ScannedFile
from dataloader.verify.stacks import check_cuda_stacks, check_duplicates, check_numpy, check_openmp
from dataloader.verify.tables import Opening, load_tables
from dataloader.verify.world import Disk, build_environment, is_this_machine, start_python

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one target makes of a prefix: all that was read and modelled, for the checks."""

    contents: Contents
    target: Target
    options: VerifyOptions
    judge: Judge
    verdicts: Sequence[Verdict]
    situation: Situation


def judge(contents: Contents, disk: Disk, target: Target, options: VerifyOptions) -> View:
    """Open every library in the model of ``target``."""
    installed, state = contents.installed, contents.state
    interpreter = find_interpreter(contents.prefix)
    described = options.described if options.described is not None else not is_this_machine(target)
    environment = build_environment(
        disk,
        target,
        described=described,
        library_path=options.library_path,
        memory=Memory(state.sufficed, state.missing),
    )
    owners = sole_owners(installed)
    sources = SourceIndex(contents.prefix, installed)
    opened = Judge(
        prefix=contents.prefix,
        interpreter=interpreter,
        process=start_python(environment, interpreter),
        files={file.path: file for file in contents.scanned},
        owners=owners,
        packages={package.name: package for package in installed.packages if package.kind == "pypi"},
        sources=sources,
    )
    situation = Situation(
        prefix=str(contents.prefix),
        target=target,
        installed=installed,
        provided=provided_names(contents.scanned),
        owners=owners,
        cuda_major=cuda_major(contents.scanned),
        importance=Importance(installed, sources, opened.is_extension),
        described=described,
        has_symbols=lambda failures: disk.defines({os.fsencode(failure.name) for failure in failures}),
    )
    return View(
        contents=contents,
        target=target,
        options=options,
        judge=opened,
        verdicts=opened.judge(),
        situation=situation,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Groundwork:
    """What needs no library to be opened in the model."""

    findings: tuple[Finding, ...]
    """Of metadata, records and files."""
    openings: Mapping[str, Sequence[Opening]]
    """As :func:`dataloader.verify.openings.openings_by_soname` gives them."""
    opened: Mapping[str, list[str]]
    """As :func:`dataloader.verify.openings.read_opened` gives it."""


def lay_groundwork(contents: Contents, target: Target, read_lock: Callable[[], Lockfile | None]) -> Groundwork:
    """Make every check that asks no library, in the order of the data: files, packages."""
    lock = read_lock()
    openings = openings_by_soname(contents.installed, load_tables(), lock.stack if lock is not None else {})
    return Groundwork(
        findings=tuple(_package_findings(contents, target, lock)),
        openings=openings,
        opened=read_opened(contents, openings),
    )


def _package_findings(contents: Contents, target: Target, lock: Lockfile | None) -> Iterator[Finding]:
    # Imported where they are asked: mostly in another process.
    from dataloader.compat.matrix import load_matrix
    from dataloader.compat.rules import rule_of
    from dataloader.verify.conda import check_conda_depends
    from dataloader.verify.contents import check_clobbers, check_contents, check_records
    from dataloader.verify.dependencies import check_requires_dist, check_rules

    installed = contents.installed
    yield from check_records(installed)
    yield from check_contents(installed, contents.tree, contents.digests)
    yield from check_clobbers(installed, contents.digests, frozenset(load_tables().providers))
    if lock is not None:
        from dataloader.verify.drift import check_lock

        yield from check_lock(installed, lock)
    python, sources = find_interpreter(contents.prefix).version, SourceIndex(contents.prefix, installed)
    yield from check_requires_dist(installed, target, python, sources.imports_project)
    yield from check_rules(installed, map(rule_of, load_matrix().rules))
    yield from check_conda_depends(installed, dict(each[:2] for each in target.virtual_packages()))


def findings(view: View, groundwork: Groundwork) -> tuple[Finding, ...]:
    """What every check found, the worst first."""
    return sort_findings((*groundwork.findings, *_library_findings(view, groundwork)))


def _library_findings(view: View, groundwork: Groundwork) -> Iterator[Finding]:
    contents, situation, judge, tables = view.contents, view.situation, view.judge, load_tables()
    installed, verdicts, relative = contents.installed, view.verdicts, view.situation.relative
    yield from check_malformed(contents.scanned, situation.owners)
    yield from check_machine(contents.scanned, judge)
    yield from check_loads(verdicts, situation)
    yield from check_library_path(verdicts, situation, view.options.library_path)
    yield from check_openings(judge, verdicts, groundwork.openings, situation.cuda_major, groundwork.opened)
    yield from check_cuda_stacks(verdicts, judge.files, tables, relative)
    yield from check_openmp(verdicts, judge.files, tables, relative)
    yield from check_duplicates(contents.scanned, tables)
    by_path = {verdict.path: verdict for verdict in verdicts}
    yield from check_numpy(installed, contents.scanned, situation.owners, by_path, situation.importance)
    yield from check_driver(installed, view.target)
    yield from check_gpu_code(contents.scanned, verdicts, situation.owners, view.target)


def sole_owners(installed: Installed) -> dict[str, InstalledPackage]:
    """Path -> the package that installed it; the last one where several claim it."""
    return {file.path: package for package in installed.packages for file in package.files}


def provided_names(scanned: Iterable[ScannedFile]) -> dict[str, list[str]]:
    """soname and file name -> paths."""
    found: dict[str, list[str]] = {}
    for file in scanned:
        if file.facts and file.facts.is_library:
            for name in {file.facts.soname, file.path.rsplit("/", 1)[-1]} - {None}:
                found.setdefault(str(name), []).append(file.path)
    return found


def cuda_major(scanned: Iterable[ScannedFile]) -> str | None:
    """The CUDA major that most libraries of an environment ask for; sonames of several majors do not count."""
    providers = load_tables().providers
    votes: Counter[str] = Counter()
    for file in scanned:
        for name in file.facts.needed if file.facts else ():
            provider = providers.get(name)
            if provider and len(provider.cuda_majors) == 1:
                votes[provider.cuda_majors[0]] += 1
    return votes.most_common(1)[0][0] if votes else None
