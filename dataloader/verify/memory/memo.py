"""The last report of a prefix, given again when nothing that it depends on has changed.

It depends on every file of the prefix (inode, size, times), on what was asked, on this program and its tables, and on
every path outside the prefix that the loader's model looked at, whether something was there or not.

Kept below the cache of facts as ``prefix-8/....memo.json`` and ``....stamps``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dataloader import __version__
from dataloader.base.cache import PREFIXES
from dataloader.base.files import keep_file, read_kept
from dataloader.base.state import state_at
from dataloader.prefix.walk import PrefixTree, SealedTree
from dataloader.verify.findings import Finding
from dataloader.verify.memory.answer import program_state
from dataloader.verify.memory.relinked import Stamps, is_relinked, stamps_of
from dataloader.verify.report import VerifyReport

if TYPE_CHECKING:
    from dataloader.machine.target import Target


class Verification(NamedTuple):
    """What was said of one prefix, and what it depends on."""

    reports: Sequence[VerifyReport]
    """For each target."""
    tree: SealedTree
    """What the prefix was."""
    outside: Mapping[str, str]
    """The state of each path that was looked at beside, whether something was there or not."""
    stamps: Stamps | None = None
    """Those of the tree, where another process had the time to work them out."""


def question(
    targets: Sequence[Target], lock: str, hashes: bool, process: Sequence[object], described: bool | None
) -> str:
    """Stands for what is asked and for this program.

    Args:
        lock: What stands for the lock: a digest of its bytes.
        hashes: As the options of ``verify_prefix``; so are the others.
        process: What is said of the process that will run.
    """
    asked = (__version__, tuple(targets), lock, hashes, tuple(process), described, program_state())
    return sha256(repr(asked).encode("utf-8", "surrogateescape")).hexdigest()


def memo_path(cache: str | os.PathLike[str], prefix: str | os.PathLike[str]) -> str:
    """Where the memo of one prefix is kept."""
    return f"{os.fspath(cache)}/{PREFIXES}/{sha256(os.fsencode(prefix)).hexdigest()}.memo.json"


def recall(cache: Path, prefix: Path, about: str, walked: Callable[[], PrefixTree]) -> Verification | None:
    """The last reports, if the question is the same and nothing has changed; else ``None``. They have no verdicts.

    Args:
        about: :func:`question`.
        walked: Gives what a walk over the prefix sees; called only where the question is the same.
    """
    # A memo that cannot be read counts as none.
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        memo = json.loads(read_kept(Path(memo_path(cache, prefix))) or b"{}")
        outside = {str(path): str(state) for path, state in memo["outside"].items()}
        if memo["question"] == about and all(state_at(path) == state for path, state in outside.items()):
            reports = unpack(memo)  # first: the walk may still be under way
            known = Verification(reports, walked().seal(), outside)
            if memo["tree"] == known.tree.digest:
                return known
            if is_relinked(Stamps(str(memo["content"]), _read_stamps(cache, prefix)), stamps_of(known.tree)):
                keep(cache, prefix, about, known)  # the next time is as short as if nothing had been
                return known
    return None


def keep(cache: Path, prefix: Path, about: str, verification: Verification) -> None:
    """Remember the reports; a full or read-only cache is no reason to fail."""
    stamps = verification.stamps or stamps_of(verification.tree)
    keep_file(_stamps_path(cache, prefix), stamps.stamps)
    memo = {**pack(about, verification), "content": stamps.content}
    keep_file(Path(memo_path(cache, prefix)), json.dumps(memo).encode())


def _stamps_path(cache: Path, prefix: Path) -> Path:
    return Path(memo_path(cache, prefix).removesuffix(".memo.json") + ".stamps")


def _read_stamps(cache: Path, prefix: Path) -> bytes:
    return read_kept(_stamps_path(cache, prefix)) or b""


def pack(about: str, known: Verification) -> dict[str, Any]:
    """Plain JSON values of what is to be remembered."""
    rows = [
        {
            "findings": [finding._asdict() for finding in told.findings],
            "counts": dict(told.counts),
            "gpu": dict(told.gpu),
        }
        for told in known.reports
    ]
    return {"question": about, "tree": known.tree.digest, "outside": dict(known.outside), "reports": rows}


def unpack(memo: Mapping[str, Any]) -> list[VerifyReport]:
    """The reports of :func:`pack`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: ``memo`` is something else.
    """
    return [
        VerifyReport(
            findings=tuple(
                Finding(**{**finding, **{name: tuple(finding[name]) for name in ("evidence", "alternatives", "files")}})
                for finding in row["findings"]
            ),
            counts={str(name): int(count) for name, count in row["counts"].items()},
            gpu={str(path): tuple(map(str, code)) for path, code in row["gpu"].items()},
        )
        for row in memo["reports"]
    ]
