"""Verify one prefix: read what is there, model what the loader will do, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import PrefixError
from dataloader.base.state import states_at
from dataloader.elf.cache import FactsCache
from dataloader.loader.system import LD_CACHE
from dataloader.machine.target import Target
from dataloader.prefix.python import PROGRAM
from dataloader.prefix.walk import PrefixTree, walk
from dataloader.verify.memory.answer import mounted
from dataloader.verify.memory.memo import Verification, keep, question, recall
from dataloader.verify.options import VerifyOptions
from dataloader.verify.report import VerifyReport, inventory
from dataloader.verify.survey import Survey, survey

if TYPE_CHECKING:
    from dataloader.loader.model import Failure
    from dataloader.loader.trace import TreeNode
    from dataloader.lockfile.model import Lockfile
    from dataloader.verify.judgement import Inspection


SYMBOLS = "undefined-symbol"
"""Kind of the findings that say more when more is known of a framework's releases."""


def verify_prefix(
    prefix: Path, *, target: Target, lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> VerifyReport:
    """Check every file and library of ``prefix`` for ``target``; with ``lock`` also that it holds what the lock says.

    Any prefix will do: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.

    Raises:
        PrefixError: there is no such directory.
    """
    return verify_targets(prefix, targets=[target], read_lock=lambda: lock, options=options).reports[0]


def verify_targets(
    prefix: Path,
    *,
    targets: Sequence[Target],
    read_lock: Callable[[], Lockfile | None] = lambda: None,
    options: VerifyOptions | None = None,
    walked: Callable[[], PrefixTree] | None = None,
) -> Verification:
    """One report for each target, of one reading of the prefix.

    Args:
        read_lock: Gives the lock that the prefix is held against; another process may be who reads it.
        walked: Gives what a walk over the prefix sees, where one is under way already.

    Raises:
        PrefixError: there is no such directory.
    """
    options = options or VerifyOptions()
    with _cache(options) as cache:
        prefix = _checked(prefix)
        about, walked = "", lru_cache(maxsize=1)(walked or (lambda: walk(prefix)))
        if options.reuse and options.cache is not None:
            stands_for = options.asked or repr(read_lock())
            if options.matrix is not None:
                stands_for += f" {sha256(options.matrix.read_bytes()).hexdigest()}"
            how = (*options.process, mounted(str(prefix)))
            about = question(targets, stands_for, options.hashes, how, options.described)
            known = recall(options.cache, prefix, about, walked)
            if known is not None:
                return known
        learnt = cache.load_learnt(prefix)
        seen = survey(
            prefix, targets=targets, options=options, cache=cache, walked=walked, read_lock=read_lock, learnt=learnt
        )
        cache.store_learnt(prefix, learnt)
        said = _verification(prefix, seen)
        kinds = {finding.kind for report in said.reports for finding in report.findings}
        if options.windows is not None and SYMBOLS in kinds:
            said = said._replace(outside={**said.outside, **states_at([options.windows.kept_in])})
        if about and options.cache is not None:
            keep(options.cache, prefix, about, said)
        return said


def survey_prefix(prefix: Path, *, target: Target, options: VerifyOptions) -> Survey:
    """Look at all of a prefix, for those who want to know what is in it.

    Raises:
        PrefixError: there is no such directory.
    """
    prefix = _checked(prefix)
    with _cache(options) as cache:
        learnt = cache.load_learnt(prefix)
        walked = lru_cache(maxsize=1)(lambda: walk(prefix))
        return survey(prefix, targets=[target], options=options, cache=cache, walked=walked, learnt=learnt)


def report_of(prefix: Path, seen: Survey) -> VerifyReport:
    """Return what is wrong with a prefix that was looked at."""
    return _verification(prefix, seen).reports[0]


def _verification(prefix: Path, seen: Survey) -> Verification:
    reports = [
        VerifyReport(
            findings=inspection.findings,
            counts=seen.counts,
            verdicts=tuple(inspection.verdicts),
            gpu=inventory(seen.scanned),
        )
        for inspection in seen.inspections
    ]
    beside = seen.disk.looked_at_beside(prefix, seen.groundwork.states)
    outside = states_at([*beside, LD_CACHE, f"{prefix}/{PROGRAM}"])
    return Verification(reports=reports, tree=seen.groundwork.tree, outside=outside, stamps=seen.stamps)


def inspect_prefix(
    prefix: Path,
    walked: Callable[[], PrefixTree],
    *,
    targets: Sequence[Target],
    lock: Lockfile | None = None,
    options: VerifyOptions | None = None,
    libraries: Mapping[str, str] | None = None,
) -> Sequence[Inspection]:
    """As :func:`verify_targets`, for those who draw conclusions from the evidence; nothing is kept of the prefix.

    Args:
        walked: Gives what a walk over the prefix sees.
        libraries: Key of the facts of those whose content is known.

    Raises:
        PrefixError: there is no such directory.
    """
    options = options or VerifyOptions()
    with _cache(options) as cache:
        return survey(
            _checked(prefix),
            targets=targets,
            options=options,
            cache=cache,
            walked=walked,
            read_lock=lambda: lock,
            libraries=libraries or {},
        ).inspections


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
        (inspection,) = survey(
            prefix,
            targets=[target],
            options=options,
            cache=cache,
            walked=lambda: walk(prefix),
            learnt=cache.load_learnt(prefix),
        ).inspections
        from dataloader.loader.trace import build_tree

        verdict = next((verdict for verdict in inspection.verdicts if verdict.path == file), None)
        if verdict is None:
            raise PrefixError(
                f"{file} is no library of {prefix} that this target could load",
                code="no-such-library",
                suggestions=("name it relative to the prefix, as findings do",),
            )
        return build_tree(inspection.judge.process_of(verdict), str(prefix / file))


@contextmanager
def _cache(options: VerifyOptions) -> Iterator[FactsCache]:
    """The cache asked for, else one that lasts as long as this verification."""
    if options.cache is not None:
        yield FactsCache(options.cache)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dataloader-verify-") as scratch:
        yield FactsCache(Path(scratch))


def _checked(prefix: Path) -> Path:
    if not prefix.is_dir():
        raise PrefixError(f"{prefix} is not a directory", code="prefix-missing")
    return prefix.absolute()
