"""Judges a finished tree before it becomes the environment: what contradicts, and what only the machine can mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.contradictions import Contradiction, artefact_of, exclusion
from dataloader.errors import WouldNotLoad
from dataloader.lockfile.model import Lockfile
from dataloader.reporter import Reporter
from dataloader.target import Target

if TYPE_CHECKING:
    from dataloader.install.tree import PathClash
    from dataloader.verify.files import Tree
    from dataloader.verify.findings import Finding

_SHOWN = 3
"""Findings told one by one."""


class Contradicted(WouldNotLoad):
    """A tree that verify would not pass, with what that teaches."""

    def __init__(self, contradictions: Sequence[Contradiction]) -> None:
        self.contradictions = tuple(contradictions)
        super().__init__(
            "the packages do not go together, as their files show; nothing was changed",
            causes=tuple(dict.fromkeys(each.why for each in contradictions)),
            suggestions=(
                "Choose other packages with `dataloader lock`.",
                "Or take these as they are with --no-verify.",
            ),
        )


def prove(tree: Path, lock: Lockfile, targets: Callable[[], Sequence[Target]], facts: Path, reporter: Reporter) -> None:
    """Look at a tree that was built from ``lock``.

    Args:
        targets: Says which machines it is meant for; asked only where there is something to look at.
        facts: Directory of verify's facts cache.
        reporter: Is told what only the machine can mend.

    Raises:
        Contradicted: other packages could mend what is wrong with it.
    """
    from dataloader.verify.files import walk

    seen = walk(tree)
    if not seen.elf:
        return  # Python alone: there is nothing that the loader could refuse
    reporter.start("verify", "verifying", None, "packages")
    try:
        contradictions, rest = _judge(tree, seen, lock, targets(), facts)
    finally:
        reporter.finish("verify")
    if contradictions:
        raise Contradicted(contradictions)
    _tell(rest, reporter)


def _judge(
    tree: Path, seen: Tree, lock: Lockfile, targets: Sequence[Target], facts: Path
) -> tuple[list[Contradiction], list[Finding]]:
    from dataloader.install.activate import activation
    from dataloader.verify.contradictions import Contradictions
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.run import inspect_prefix

    options = VerifyOptions(cache=facts, hashes=False, fresh=True, library_path=activation(tree).library_path)
    found: list[Contradiction] = []
    rest: list[Finding] = []
    for inspection in inspect_prefix(tree, seen, targets=targets, lock=lock, options=options):
        found += Contradictions(inspection, lock).find()
        rest += [finding for finding in inspection.findings if finding.severity == "error"]
    return list(dict.fromkeys(found)), list(dict.fromkeys(rest))


def _tell(findings: Sequence[Finding], reporter: Reporter) -> None:
    for finding in findings[:_SHOWN]:
        reporter.warn(f"{finding.path}: {finding.message}" + (f"; {finding.fix}" if finding.fix else ""))
    if len(findings) > _SHOWN:
        reporter.warn(f"{len(findings) - _SHOWN} more parts will not load on this machine: `dataloader verify`")


def of_clash(clash: PathClash, lock: Lockfile) -> Contradicted | None:
    """Return what a clash of two packages' paths teaches; ``None`` where not both are packages of the lock."""
    owners = {each.name: artefact_of(each) for each in lock.packages if each.name in clash.owners and each.sha256}
    if len(owners) != len(clash.owners):
        return None
    first, second = (owners[name] for name in clash.owners)
    return Contradicted([exclusion(first, second, "clobbered-path", clash.message.rstrip("."))])
