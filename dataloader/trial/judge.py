"""Judges a finished tree before it becomes the environment: what contradicts, and what only the machine can mend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.errors import WouldNotLoad
from dataloader.base.reporter import Reporter
from dataloader.lockfile.model import Lockfile
from dataloader.machine.target import Target
from dataloader.trial.model import Contradiction, artefact_of, exclusion

if TYPE_CHECKING:
    from dataloader.install.tree.tree import PathClash
    from dataloader.verify.findings import Finding

_SHOWN = 3
"""Findings told one by one."""


class Contradicted(WouldNotLoad):
    """A tree that verify would not pass, with what that teaches."""

    def __init__(self, contradictions: Sequence[Contradiction]) -> None:
        self.contradictions = tuple(contradictions)
        super().__init__(
            "the packages do not go together, as their files show; nothing was changed",
            causes=tuple(dict.fromkeys(contradiction.why for contradiction in contradictions)),
            suggestions=(
                "choose other packages with `dataloader lock`",
                "or take these as they are with --no-verify",
            ),
        )


class BuiltTree(NamedTuple):
    """A tree that was built from a lock: would it load?"""

    tree: Path
    lock: Lockfile
    targets: Sequence[Target]
    """The machines it is meant for."""
    facts: Path
    """Directory of verify's facts cache."""
    libraries: Mapping[str, str]
    """Path, relative to the tree, of what is named like a library -> key of its facts, where it is known."""


class Judgement(NamedTuple):
    """What is wrong with a tree."""

    contradictions: tuple[Contradiction, ...]
    """What other packages could mend."""
    rest: tuple[Finding, ...]
    """What only the machine can, and files that are no longer there as their package has them."""


def prove(question: BuiltTree, judge: Callable[[BuiltTree], Judgement], reporter: Reporter) -> bool:
    """Look at a tree, and tell what only the machine can mend; say whether there was nothing to tell.

    Args:
        judge: :func:`judge_tree`, here or elsewhere.

    Raises:
        Contradicted: other packages could mend what is wrong with it.
    """
    reporter.start("verify", "verifying", None, "packages")
    try:
        found = judge(question)
    finally:
        reporter.finish("verify")
    if found.contradictions:
        raise Contradicted(found.contradictions)
    _tell(found.rest, reporter)
    return not found.rest


def judge_tree(question: BuiltTree) -> Judgement:
    """Say what is wrong with a tree."""
    from dataloader.prefix.activate import activation
    from dataloader.prefix.walk import walk
    from dataloader.process.beside import Beside
    from dataloader.trial.lessons import Contradictions
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.run import inspect_prefix

    tree, lock, targets, facts, libraries = question
    options = VerifyOptions(cache=facts, hashes=False, library_path=activation(tree).library_path)
    found: list[Contradiction] = []
    rest: list[Finding] = []
    with Beside(partial(walk, tree)) as walking:
        inspections = inspect_prefix(
            tree, walking.result, targets=targets, lock=lock, options=options, libraries=libraries
        )
        for inspection in inspections:
            found += Contradictions(inspection, lock).find()
            rest += [finding for finding in inspection.findings if finding.severity == "error"]
            rest += [finding for finding in inspection.findings if _is_lost(finding)]
    return Judgement(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(rest)))


def read_ahead(libraries: Mapping[str, str], facts: Path) -> None:
    """Read what a tree will hold into the facts cache.

    Args:
        libraries: Absolute path -> key of its facts.
    """
    from dataloader.base.state import states_of
    from dataloader.elf.cache import FactsCache
    from dataloader.elf.scan import Reading

    root, keys = Path("/"), {path.lstrip("/"): key for path, key in libraries.items()}
    states = states_of(root, keys)
    with Reading(root, FactsCache(facts)) as reading:
        reading.finish({path: keys[path] for path in states}, states)


def _is_lost(finding: Finding) -> bool:
    """Say whether a file, though none that is loaded, is not there as its package has it: another's lies there."""
    return finding.kind == "clobbered-path" and finding.severity == "warning"


def _tell(findings: Sequence[Finding], reporter: Reporter) -> None:
    for finding in findings[:_SHOWN]:
        reporter.warn(f"{finding.path}: {finding.message}" + (f"; {finding.fix}" if finding.fix else ""))
    if len(findings) > _SHOWN:
        reporter.warn(f"{len(findings) - _SHOWN} more are told by `dataloader verify`")


def of_clash(clash: PathClash, lock: Lockfile) -> Contradicted | None:
    """Return what a clash of two packages' paths teaches; ``None`` where not both are packages of the lock."""
    owners = {
        package.name: artefact_of(package)
        for package in lock.packages
        if package.name in clash.owners and package.sha256
    }
    if len(owners) != len(clash.owners):
        return None
    first, second = (owners[name] for name in clash.owners)
    return Contradicted([exclusion(first, second, "clobbered-path", clash.message)])
