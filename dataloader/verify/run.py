"""Verify one prefix: read what is there, model what the loader will do, and say what is wrong."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dataloader.errors import PrefixError
from dataloader.lockfile.model import Lockfile
from dataloader.target import Target
from dataloader.verify.cache import FactsCache, PrefixState
from dataloader.verify.checks import Situation, check_library_path, check_loads, check_machine, check_malformed
from dataloader.verify.conda import check_conda_depends
from dataloader.verify.contents import check_clobbers, check_contents, check_records
from dataloader.verify.dependencies import check_requires_dist, check_rules
from dataloader.verify.drift import check_lock
from dataloader.verify.files import Tree, states_of, walk
from dataloader.verify.findings import Finding
from dataloader.verify.gpu import check_driver, check_gpu_code
from dataloader.verify.hashes import cache_keys, hash_recorded, recall_keys, written_digests
from dataloader.verify.importance import Importance
from dataloader.verify.imports import SourceIndex
from dataloader.verify.installed import Installed, InstalledPackage, read_installed
from dataloader.verify.link_map import Failure, Memory
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.memo import keep, question, recall
from dataloader.verify.openings import check_openings
from dataloader.verify.python import find_interpreter
from dataloader.verify.report import VerifyReport, sort_findings
from dataloader.verify.scan import Reading, ScannedFile
from dataloader.verify.stacks import check_cuda_stacks, check_duplicates, check_numpy, check_openmp
from dataloader.verify.system import LD_CACHE
from dataloader.verify.tables import load_tables
from dataloader.verify.tree import TreeNode, build_tree
from dataloader.verify.world import Disk, build_environment, is_this_machine, start_python


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How to verify."""

    cache: Path | None = None
    """Directory of the facts cache; ``None`` keeps nothing."""
    hashes: bool = True
    """Hash every file that changed since the last run; without, sizes alone are compared."""
    rehash: bool = False
    """Hash those too that seem not to have changed."""
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH as it will be when the environment runs (absolute directories)."""
    jobs: int | None = None
    """Processes that read files; ``None``: one for each core."""
    reuse: bool = False
    """Give the last report again, without verdicts, when nothing that it depends on has changed (needs ``cache``)."""
    asked: str = ""
    """What stands for the lock when the last report is looked for: its digest; else the lock itself does."""
    described: bool | None = None
    """Judge for the target's description instead of this machine's libraries; ``None``: when they differ."""
    fresh: bool = False
    """The prefix was built just now, and each RECORD was written from hashes that were computed: they are taken."""


def verify_prefix(
    prefix: Path, *, target: Target, lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> VerifyReport:
    """Check every file and library of ``prefix`` for ``target``; with ``lock`` also that it holds what the lock says.

    Any prefix will do: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.

    Raises:
        PrefixError: there is no such directory.
    """
    return verify_targets(prefix, targets=[target], lock=lock, options=options)[0]


def verify_targets(
    prefix: Path, *, targets: Sequence[Target], lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> list[VerifyReport]:
    """One report for each target, of one reading of the prefix.

    Raises:
        PrefixError: there is no such directory.
    """
    options = options or VerifyOptions()
    with _cache(options) as cache:
        prefix = _checked(prefix)
        about, walked = "", lru_cache(maxsize=1)(lambda: walk(prefix))
        if options.reuse and options.cache is not None:
            stands_for = options.asked or repr(lock)
            about = question(targets, stands_for, options.hashes, options.library_path, options.described)
            known = recall(options.cache, prefix, about, walked)
            if known is not None:
                return known
        contents = _read(prefix, walked, cache.load_state(prefix), options, cache)
        reports = []
        for target in targets:
            view = _judge(contents, target, lock, options)
            findings = sort_findings(_findings(view))
            reports.append(VerifyReport(findings=findings, counts=_counts(contents), verdicts=tuple(view.verdicts)))
        if about and options.cache is not None:
            outside = contents.disk.looked_at_outside(prefix, contents.tree.states)
            keep(options.cache, prefix, about, contents.tree, (*outside, LD_CACHE), reports)
        cache.store_state(prefix, contents.state)
        return reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What one target makes of a prefix: the findings, and what they were made from."""

    findings: tuple[Finding, ...]
    verdicts: Sequence[Verdict]
    situation: Situation
    scanned: Sequence[ScannedFile]


def inspect_prefix(
    prefix: Path,
    tree: Tree,
    *,
    targets: Sequence[Target],
    lock: Lockfile | None = None,
    options: VerifyOptions | None = None,
) -> list[Inspection]:
    """As :func:`verify_targets`, for those who draw conclusions from the evidence; nothing is kept of the prefix.

    ``tree`` is what a walk over the prefix saw.

    Raises:
        PrefixError: there is no such directory.
    """
    options = options or VerifyOptions()
    with _cache(options) as cache:
        prefix = _checked(prefix)
        contents = _read(prefix, lambda: tree, PrefixState(), options, cache)
        views = [_judge(contents, target, lock, options) for target in targets]
        return [
            Inspection(
                findings=sort_findings(_findings(view)),
                verdicts=view.verdicts,
                situation=view.situation,
                scanned=contents.scanned,
            )
            for view in views
        ]


def trace_file(
    prefix: Path, file: str, *, target: Target, options: VerifyOptions | None = None
) -> tuple[TreeNode, tuple[Failure, ...]]:
    """Where every library of one file of the prefix comes from, and the reasons for which it does not load.

    Args:
        file: Relative to the prefix, with ``/``.

    Raises:
        PrefixError: there is no such directory, or no such library in it.
    """
    options = options or VerifyOptions()
    with _cache(options) as cache:
        prefix = _checked(prefix)
        contents = _read(prefix, lambda: walk(prefix), cache.load_state(prefix), options, cache)
        view = _judge(contents, target, None, options)
        verdict = next((each for each in view.verdicts if each.path == file), None)
        if verdict is None:
            raise PrefixError(
                f"{file} is no library of {prefix} that this target could load",
                code="no-such-library",
                suggestions=("name it relative to the prefix, as findings do",),
            )
        bare = verdict.bare or verdict.package is None
        process = view.judge.process if bare or verdict.package is None else view.judge.context(verdict.package)
        return build_tree(process, str(contents.prefix / file))


@contextmanager
def _cache(options: VerifyOptions) -> Iterator[FactsCache]:
    """The cache asked for, else one that lasts as long as this verification."""
    if options.cache is not None:
        yield FactsCache(options.cache)
        return
    with tempfile.TemporaryDirectory(prefix="dataloader-verify-") as scratch:
        yield FactsCache(Path(scratch))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """What was read of a prefix, whatever the target."""

    prefix: Path
    installed: Installed
    tree: Tree
    digests: Mapping[str, str]
    scanned: Sequence[ScannedFile]
    disk: Disk
    state: PrefixState


def _checked(prefix: Path) -> Path:
    if not prefix.is_dir():
        raise PrefixError(f"{prefix} is not a directory", code="prefix-missing")
    return prefix.absolute()


def _read(
    prefix: Path, walked: Callable[[], Tree], state: PrefixState, options: VerifyOptions, cache: FactsCache
) -> _Contents:
    if options.rehash:
        state.hashes, state.changed = {}, True
    with Reading(prefix, cache, options.jobs) as reading:
        if options.hashes:
            known = states_of(prefix, state.libraries)
            reading.begin(recall_keys(known, state), known)
        tree = walked()
        state.changed |= state.libraries != [*tree.elf]
        state.libraries = [*tree.elf]
        installed = read_installed(prefix)
        digests = hash_recorded(prefix, installed, tree, state) if options.hashes else {}
        if options.fresh:
            digests = {**written_digests(installed, tree), **digests}
        scanned = reading.finish(cache_keys(cache, installed, tree, digests), tree)
    return _Contents(
        prefix=prefix,
        installed=installed,
        tree=tree,
        digests=digests,
        scanned=scanned,
        disk=Disk(prefix, scanned, cache),
        state=state,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """All that was read and modelled, for the checks."""

    contents: _Contents
    target: Target
    lock: Lockfile | None
    options: VerifyOptions
    judge: Judge
    verdicts: Sequence[Verdict]
    situation: Situation


def _judge(contents: _Contents, target: Target, lock: Lockfile | None, options: VerifyOptions) -> _View:
    installed, state = contents.installed, contents.state
    interpreter = find_interpreter(contents.prefix)
    described = options.described if options.described is not None else not is_this_machine(target)
    environment = build_environment(
        contents.disk,
        target,
        described=described,
        library_path=options.library_path,
        memory=Memory(state.sufficed, state.missing),
    )
    owners = sole_owners(installed)
    sources = SourceIndex(contents.prefix, installed)
    judge = Judge(
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
        importance=Importance(installed, sources, judge.is_extension),
        described=described,
        has_symbols=lambda failures: contents.disk.defines({os.fsencode(failure.name) for failure in failures}),
    )
    return _View(
        contents=contents,
        target=target,
        lock=lock,
        options=options,
        judge=judge,
        verdicts=judge.judge(),
        situation=situation,
    )


def _findings(view: _View) -> Iterator[Finding]:
    """Every check, in the order of the data: files, packages, libraries, GPU."""
    from dataloader.compat.matrix import load_matrix
    from dataloader.compat.rules import rule_of

    contents, situation, judge, tables = view.contents, view.situation, view.judge, load_tables()
    installed, verdicts, relative = contents.installed, view.verdicts, view.situation.relative
    yield from check_records(installed)
    yield from check_contents(installed, contents.tree, contents.digests)
    yield from check_clobbers(installed, contents.digests, frozenset(tables.providers))
    if view.lock is not None:
        yield from check_lock(installed, view.lock)
    yield from check_requires_dist(installed, view.target, judge.interpreter.version, judge.sources.imports_project)
    yield from check_rules(installed, map(rule_of, load_matrix().rules))
    yield from check_conda_depends(installed, dict(each[:2] for each in view.target.virtual_packages()))
    yield from check_malformed(contents.scanned, situation.owners)
    yield from check_machine(contents.scanned, judge)
    yield from check_loads(verdicts, situation)
    yield from check_library_path(verdicts, situation, view.options.library_path)
    yield from check_openings(
        judge, verdicts, installed, tables, view.lock, situation.cuda_major, contents.state.opened
    )
    yield from check_cuda_stacks(verdicts, judge.files, tables, relative)
    yield from check_openmp(verdicts, judge.files, tables, relative)
    yield from check_duplicates(contents.scanned, tables)
    by_path = {verdict.path: verdict for verdict in verdicts}
    yield from check_numpy(installed, contents.scanned, situation.owners, by_path, situation.importance)
    yield from check_driver(installed, view.target)
    yield from check_gpu_code(contents.scanned, verdicts, situation.owners, view.target)


def _counts(contents: _Contents) -> dict[str, int]:
    return {
        "packages": len(contents.installed.packages),
        "files": len(contents.tree.states),
        "libraries": sum(1 for file in contents.scanned if file.facts),
    }


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
