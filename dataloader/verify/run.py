"""Verify one prefix: read what is there, model what the loader will do, and say what is wrong."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataloader.errors import PrefixError
from dataloader.lockfile.model import Lockfile
from dataloader.target import Target
from dataloader.verify.cache import FactsCache, PrefixState, StatKey
from dataloader.verify.checks import Situation, check_library_path, check_loads, check_machine, check_malformed
from dataloader.verify.contents import check_clobbers, check_contents, check_records
from dataloader.verify.dependencies import check_conda_depends, check_requires_dist
from dataloader.verify.drift import check_lock
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.gpu import check_driver, check_gpu_code
from dataloader.verify.importance import Importance
from dataloader.verify.imports import SourceIndex
from dataloader.verify.installed import Installed, InstalledPackage, read_installed
from dataloader.verify.loader import Memory
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.openings import check_openings
from dataloader.verify.python import find_interpreter
from dataloader.verify.scan import ScannedFile, Tree, hash_file, scan, walk
from dataloader.verify.stacks import check_cuda_stacks, check_duplicates, check_numpy, check_openmp
from dataloader.verify.tables import load_tables
from dataloader.verify.world import Disk, build_environment, is_this_machine, start_python

_ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How to verify."""

    cache: Path | None = None
    """Directory of the facts cache; ``None`` keeps nothing."""
    hashes: bool = True
    """Hash every file that changed since the last run; without, sizes alone are compared."""
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH as it will be when the environment runs (absolute directories)."""
    jobs: int | None = None
    """Processes that read files; ``None``: one for each core."""
    described: bool | None = None
    """Judge for the target's description instead of this machine's libraries; ``None``: when they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What verify found, worst first."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    """``files``, ``libraries``, ``packages``, ``symbols``... that were looked at."""
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """No finding of severity error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``verify --json``."""
        return {
            "version": 1,
            "status": "ok" if self.ok else "error",
            "counts": dict(sorted(self.counts.items())),
            "findings": [
                {
                    "severity": finding.severity,
                    "kind": finding.kind,
                    "path": printable(finding.path),
                    "message": printable(finding.message),
                    "evidence": [printable(line) for line in finding.evidence],
                    "fix": finding.fix and printable(finding.fix),
                }
                for finding in self.findings
            ],
        }


def printable(text: str) -> str:
    """``text`` without control characters and with bytes that are no UTF-8 escaped: names come from untrusted files."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in clean)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, then by path; equal ones once."""
    key = lambda each: (_ORDER[each.severity], each.path, each.kind, each.message)  # noqa: E731
    return tuple(sorted(dict.fromkeys(findings), key=key))


def verify_prefix(
    prefix: Path, *, target: Target, lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> VerifyReport:
    """Check every file and library of ``prefix`` for ``target``; with ``lock`` also that it holds what the lock says.

    Any prefix will do: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.

    Raises:
        PrefixError: there is no such directory.
    """
    options = options or VerifyOptions()
    prefix = prefix.absolute()
    if not prefix.is_dir():
        raise PrefixError(f"{prefix} is not a directory", code="prefix-missing")
    if options.cache is not None:
        return _verify(prefix, target, lock, options, FactsCache(options.cache))
    with tempfile.TemporaryDirectory(prefix="dataloader-verify-") as scratch:
        return _verify(prefix, target, lock, options, FactsCache(Path(scratch)))


def _verify(
    prefix: Path, target: Target, lock: Lockfile | None, options: VerifyOptions, cache: FactsCache
) -> VerifyReport:
    installed = read_installed(prefix)
    tree = walk(prefix)
    state = cache.load_state(prefix)
    digests = hash_recorded(prefix, installed, tree, state) if options.hashes else {}
    scanned = scan(prefix, tree, cache, _cache_keys(cache, installed, tree, digests), options.jobs)
    interpreter = find_interpreter(prefix)
    described = options.described if options.described is not None else not is_this_machine(target)
    disk = Disk(prefix, scanned, cache)
    environment = build_environment(
        disk,
        target,
        described=described,
        library_path=options.library_path,
        memory=Memory(state.sufficed, state.missing),
    )
    owners = sole_owners(installed)
    sources = SourceIndex(prefix, installed)
    judge = Judge(
        prefix=prefix,
        interpreter=interpreter,
        process=start_python(environment, interpreter),
        files={file.path: file for file in scanned},
        owners=owners,
        packages={package.name: package for package in installed.packages if package.kind == "pypi"},
        sources=sources,
    )
    verdicts = judge.judge()
    situation = Situation(
        prefix=str(prefix),
        target=target,
        installed=installed,
        provided=provided_names(scanned),
        owners=owners,
        cuda_major=cuda_major(scanned),
        importance=Importance(sources),
        has_symbols=lambda failures: disk.defines({os.fsencode(failure.name) for failure in failures}),
    )
    view = _View(
        prefix=prefix,
        target=target,
        lock=lock,
        installed=installed,
        tree=tree,
        digests=digests,
        scanned=scanned,
        judge=judge,
        verdicts=verdicts,
        situation=situation,
        opened=state.opened,
        options=options,
    )
    findings = list(_findings(view))
    cache.store_state(prefix, state)
    return VerifyReport(
        findings=sort_findings(findings), counts=_counts(installed, tree, scanned), verdicts=tuple(verdicts)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """All that was read and modelled, for the checks."""

    prefix: Path
    target: Target
    lock: Lockfile | None
    options: VerifyOptions
    installed: Installed
    tree: Tree
    digests: Mapping[str, str]
    scanned: Sequence[ScannedFile]
    judge: Judge
    verdicts: Sequence[Verdict]
    situation: Situation
    opened: dict[str, list[str]]


def _findings(view: _View) -> Iterator[Finding]:
    """Every check, in the order of the data: files, packages, libraries, GPU."""
    installed, situation, judge, tables = view.installed, view.situation, view.judge, load_tables()
    python = judge.interpreter.version
    yield from check_records(installed)
    yield from check_contents(installed, view.tree, view.digests)
    yield from check_clobbers(installed, view.digests, frozenset(tables.providers))
    if view.lock is not None:
        yield from check_lock(installed, view.lock)
    yield from check_requires_dist(installed, view.target, python, judge.sources.imports_project)
    yield from check_conda_depends(installed, dict(each[:2] for each in view.target.virtual_packages()))
    yield from check_malformed(view.scanned, situation.owners)
    yield from check_machine(view.scanned, judge)
    yield from check_loads(view.verdicts, situation)
    yield from check_library_path(view.verdicts, situation, view.options.library_path)
    yield from check_openings(judge, view.verdicts, installed, tables, view.lock, situation.cuda_major, view.opened)
    yield from check_cuda_stacks(view.verdicts, judge.files, tables, situation.relative)
    yield from check_openmp(view.verdicts, judge.files, tables, situation.relative)
    yield from check_duplicates(view.scanned, tables)
    by_path = {verdict.path: verdict for verdict in view.verdicts}
    yield from check_numpy(installed, view.scanned, situation.owners, by_path, situation.importance)
    yield from check_driver(installed, view.target)
    yield from check_gpu_code(view.scanned, view.verdicts, situation.owners, view.target)


def _counts(installed: Installed, tree: Tree, scanned: list[ScannedFile]) -> dict[str, int]:
    return {
        "packages": len(installed.packages),
        "files": len(tree.stats),
        "libraries": sum(1 for file in scanned if file.facts),
    }


def hash_recorded(prefix: Path, installed: Installed, tree: Tree, state: PrefixState) -> dict[str, str]:
    """SHA-256 of each recorded file; those that have not changed since the last run are not read again."""
    wanted = {file.path for package in installed.packages for file in package.files if file.recorded}
    wanted = {path for path in wanted if path in tree.stats} | set(tree.elf)
    digests: dict[str, str] = {}
    unknown: list[str] = []
    for path in sorted(wanted):
        known = state.hashes.get(StatKey.of(tree.stats[path]).text)
        if known:
            digests[path] = known
        else:
            unknown.append(path)
    unknown.sort(key=lambda path: tree.stats[path].st_size, reverse=True)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:  # hashing releases the interpreter lock
        found = pool.map(lambda path: _try_hash(prefix / path), unknown)
        digests |= {path: digest for path, digest in zip(unknown, found, strict=True) if digest is not None}
    state.hashes = {StatKey.of(tree.stats[path]).text: digest for path, digest in digests.items()}
    return digests


def _try_hash(path: Path) -> str | None:
    try:
        return hash_file(str(path))
    except OSError:
        return None  # gone or unreadable: the walk saw it, so reading it as ELF says the same as a finding


def _cache_keys(cache: FactsCache, installed: Installed, tree: Tree, digests: Mapping[str, str]) -> dict[str, str]:
    """Cache entry of each ELF file: its hash where known, else its inode and times.

    Without hashing, the recorded hash finds an entry (size compared), but only a hash that was computed may make one.
    """
    candidates = frozenset(tree.elf)
    recorded = {
        file.path: file.sha256
        for package in installed.packages
        for file in package.files
        if file.path in candidates and file.sha256 and tree.stats[file.path].st_size == file.size
    }
    keys: dict[str, str] = {}
    for path in tree.elf:
        known = digests.get(path)
        if known is None and path in recorded and cache.has(recorded[path]):
            known = recorded[path]
        keys[path] = known or StatKey.of(tree.stats[path]).text
    return keys


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
