"""What one target makes of what is in a prefix: which libraries load there, and every check."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from dataloader.compat.matrix import matrix_with
from dataloader.elf.scan import ScannedFile
from dataloader.loader.disk import Disk
from dataloader.prefix.records import Owners
from dataloader.verify.checks.beside_python import check_beside_python
from dataloader.verify.checks.cuda_stacks import check_cuda_stacks, check_duplicates, check_numpy, check_singles
from dataloader.verify.checks.drivers import check_driver_libraries
from dataloader.verify.checks.gpu import check_driver, check_gpu_code
from dataloader.verify.checks.importance import Importance
from dataloader.verify.checks.loads import Situation, check_doubts, check_loads
from dataloader.verify.checks.misfits import check_kind, check_machine, check_malformed
from dataloader.verify.checks.one_process import check_one_process, check_openmp
from dataloader.verify.checks.openings import check_openings
from dataloader.verify.checks.programs import check_programs, start_programs
from dataloader.verify.checks.python import check_mounts, check_python
from dataloader.verify.checks.sources import SourceIndex
from dataloader.verify.checks.variables import check_start, check_unread, check_variables, differences, explained
from dataloader.verify.findings import Finding
from dataloader.verify.groundwork import Checked, Groundwork
from dataloader.verify.libraries import BareLoads
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.options import VerifyOptions
from dataloader.verify.report import sort_findings
from dataloader.verify.tables import load_tables


class Inspection(NamedTuple):
    """What one target makes of a prefix: the findings, and what they were made from."""

    findings: tuple[Finding, ...]
    verdicts: Sequence[Verdict]
    situation: Situation
    scanned: Sequence[ScannedFile]
    judge: Judge


def inspect(
    bare: BareLoads, disk: Disk, groundwork: Groundwork, checked: Callable[[], Checked], options: VerifyOptions
) -> Inspection:
    """Open, after the import of its package, what does not load on its own; and make every check.

    Args:
        bare: The libraries of the prefix, opened on their own for one target.
        checked: Gives what the checks come to that ask no library: asked when all else is known.
    """
    installed, scanned = groundwork.installed, tuple(bare.files.values())
    owners, sources = (
        Owners(installed.packages, groundwork.keys, groundwork.recorded),
        SourceIndex(bare.prefix, installed),
    )
    judge = Judge(
        bare=bare,
        owners=owners,
        packages={package.name: package for package in installed.packages if package.kind == "pypi"},
        sources=sources,
        installed=installed,
    )
    situation = Situation(
        prefix=str(bare.prefix),
        target=bare.target,
        installed=installed,
        provided=provided_names(scanned),
        owners=owners,
        cuda_major=cuda_major(scanned),
        cuda_of=lambda package: cuda_major(file for file in scanned if owners.get(file.path) == package),
        importance=Importance(installed, sources, bare, judge.asked_by_import),
        described=bare.described,
        has_symbols=lambda failures: disk.defines(
            {os.fsencode(failure.name) for failure in failures}, bare.process.environment.memory
        ),
        matrix=matrix_with(options.matrix),
        window=lambda package, project: (
            options.windows.find(bare.prefix, package, project) if options.windows is not None else ("", ())
        ),
    )
    verdicts = judge.judge()
    of_libraries = tuple(_library_findings(judge, verdicts, situation, options))
    others = checked()
    found = (
        *_if_it_loads(others.findings[bare.target], verdicts),
        *of_libraries,
        *check_openings(judge, verdicts, others.openings, situation, others.opened),
    )
    return Inspection(
        findings=sort_findings(found), verdicts=verdicts, situation=situation, scanned=scanned, judge=judge
    )


def _if_it_loads(findings: Iterable[Finding], verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    """What was done to a library is forgiven only where it loads."""
    broken = {verdict.path for verdict in verdicts if not verdict.loads}
    for finding in findings:
        is_broken = finding.kind == "file-changed" and finding.path in broken
        yield finding._replace(severity="error") if is_broken else finding


def _library_findings(
    judge: Judge, verdicts: Sequence[Verdict], situation: Situation, options: VerifyOptions
) -> Iterator[Finding]:
    files, installed, owners, target = judge.bare.files, situation.installed, situation.owners, situation.target
    scanned, tables, relative = tuple(files.values()), load_tables(), situation.relative
    yield from check_python(judge.bare.prefix, described=judge.bare.described)
    yield from check_mounts(judge.bare.prefix, files, described=judge.bare.described)
    yield from check_malformed(scanned, owners)
    yield from check_machine(scanned, judge.bare, owners)
    yield from check_kind(scanned, judge.bare, owners)
    changed = differences(judge.bare, options)
    said = explained(changed)
    yield from check_start(judge.bare, situation)
    yield from check_variables(changed, situation, options.variables_of)
    yield from check_unread(options)
    yield from check_loads([verdict for verdict in verdicts if verdict.path not in said], situation)
    yield from check_doubts(verdicts)
    yield from check_programs(start_programs(judge.bare, situation), situation)
    yield from check_cuda_stacks(verdicts, files, tables, relative)
    yield from check_openmp(judge, verdicts, tables, situation)
    plain = [verdict for verdict in verdicts if verdict.path not in said]
    yield from check_one_process(judge, plain, situation)
    yield from check_beside_python(judge, plain, situation)
    yield from check_driver_libraries(verdicts, judge.bare.process.environment.assumed, situation)
    yield from check_duplicates(scanned, tables)
    yield from check_singles(verdicts, files, tables, relative)
    by_path = {verdict.path: verdict for verdict in verdicts}
    yield from check_numpy(installed, scanned, owners, by_path, situation.importance)
    yield from check_driver(installed, target)
    yield from check_gpu_code(scanned, verdicts, owners, target)


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
    return max(votes, key=votes.__getitem__) if votes else None
