"""Verify one prefix: read what is there, model what the loader will do, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.errors import PrefixError
from dataloader.target import Target
from dataloader.verify.beside import Beside
from dataloader.verify.cache import FactsCache, PrefixState
from dataloader.verify.files import Tree, walk
from dataloader.verify.memo import keep, question, recall
from dataloader.verify.options import VerifyOptions
from dataloader.verify.reading import read_contents
from dataloader.verify.report import VerifyReport
from dataloader.verify.system import LD_CACHE

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile
    from dataloader.verify.checks import Situation
    from dataloader.verify.findings import Finding
    from dataloader.verify.link_map import Failure
    from dataloader.verify.loads import Verdict
    from dataloader.verify.scan import ScannedFile
    from dataloader.verify.tree import TreeNode


def verify_prefix(
    prefix: Path, *, target: Target, lock: Lockfile | None = None, options: VerifyOptions | None = None
) -> VerifyReport:
    """Check every file and library of ``prefix`` for ``target``; with ``lock`` also that it holds what the lock says.

    Any prefix will do: a virtual environment, a conda or pixi environment, a directory of ``pip install --target``.

    Raises:
        PrefixError: there is no such directory.
    """
    return verify_targets(prefix, targets=[target], read_lock=lambda: lock, options=options)[0]


def verify_targets(
    prefix: Path,
    *,
    targets: Sequence[Target],
    read_lock: Callable[[], Lockfile | None] = lambda: None,
    options: VerifyOptions | None = None,
    walked: Callable[[], Tree] | None = None,
) -> list[VerifyReport]:
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
            about = question(targets, stands_for, options.hashes, options.library_path, options.described)
            known = recall(options.cache, prefix, about, lambda: walked().digest)
            if known is not None:
                return known
        contents = read_contents(prefix, walked, cache.load_state(prefix), options, cache)
        from dataloader.verify.judgement import findings, judge, lay_groundwork
        from dataloader.verify.world import Disk

        disk, reports = Disk(prefix, contents.scanned, cache), []
        for target in targets:
            with Beside(partial(lay_groundwork, contents, target, read_lock)) as beside:
                view = judge(contents, disk, target, options)
                groundwork = beside.result()
            contents.state.opened.update(groundwork.opened)
            found = findings(view, groundwork)
            reports.append(VerifyReport(findings=found, counts=contents.counts, verdicts=tuple(view.verdicts)))
        if about and options.cache is not None:
            outside = disk.looked_at_outside(prefix, contents.tree.states)
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
        contents = read_contents(prefix, lambda: tree, PrefixState(), options, cache)
        from dataloader.verify.judgement import findings, judge, lay_groundwork
        from dataloader.verify.world import Disk

        disk = Disk(prefix, contents.scanned, cache)
        views = [
            (judge(contents, disk, target, options), lay_groundwork(contents, target, lambda: lock))
            for target in targets
        ]
        return [
            Inspection(
                findings=findings(view, groundwork),
                verdicts=view.verdicts,
                situation=view.situation,
                scanned=contents.scanned,
            )
            for view, groundwork in views
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
        contents = read_contents(prefix, lambda: walk(prefix), cache.load_state(prefix), options, cache)
        from dataloader.verify.judgement import judge
        from dataloader.verify.tree import build_tree
        from dataloader.verify.world import Disk

        view = judge(contents, Disk(prefix, contents.scanned, cache), target, options)
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
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dataloader-verify-") as scratch:
        yield FactsCache(Path(scratch))


def _checked(prefix: Path) -> Path:
    if not prefix.is_dir():
        raise PrefixError(f"{prefix} is not a directory", code="prefix-missing")
    return prefix.absolute()
