"""The last report of a prefix, given again when nothing that it depends on has changed.

It depends on every file of the prefix (inode, size, times), on what was asked, on this program and its tables, and on
every path outside the prefix that the loader's model looked at, whether something was there or not.

Kept below the cache of facts as ``prefix-3/....memo.json``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader import __version__
from dataloader.files import keep_file
from dataloader.verify.answer import program_state
from dataloader.verify.files import Tree, state_at, states_at
from dataloader.verify.findings import Finding
from dataloader.verify.report import VerifyReport

if TYPE_CHECKING:
    from dataloader.target import Target


def question(
    targets: Sequence[Target], lock: str, hashes: bool, library_path: Sequence[str], described: bool | None
) -> str:
    """Stands for what is asked and for this program.

    Args:
        lock: What stands for the lock: a digest of its bytes.
        hashes: As the options of ``verify_prefix``; so are the others.
    """
    asked = (__version__, tuple(targets), lock, hashes, tuple(library_path), described, program_state())
    return sha256(repr(asked).encode("utf-8", "surrogateescape")).hexdigest()


def memo_path(cache: str | os.PathLike[str], prefix: str | os.PathLike[str]) -> str:
    """Where the memo of one prefix is kept."""
    return f"{os.fspath(cache)}/prefix-3/{sha256(os.fsencode(prefix)).hexdigest()}.memo.json"


def recall(
    cache: str | os.PathLike[str], prefix: str | os.PathLike[str], about: str, digest: Callable[[], str]
) -> list[VerifyReport] | None:
    """The last reports, if the question is the same and nothing has changed; else ``None``. They have no verdicts.

    Args:
        about: :func:`question`.
        digest: Gives that of the tree, as it is now; called only where the question is the same.
    """
    with _as_none():
        memo = _read(cache, prefix)
        if memo["question"] == about and all(state_at(path) == state for path, state in memo["outside"].items()):
            reports = unpack(memo)  # first: the walk may still be under way
            return reports if memo["tree"] == digest() else None
    return None


def looked_at(cache: str | os.PathLike[str], prefix: str | os.PathLike[str], tree: Tree) -> dict[str, str] | None:
    """What the reports that are kept of just this tree depend on outside the prefix, and its states."""
    with _as_none():
        memo = _read(cache, prefix)
        if memo["tree"] == tree.digest:
            return {str(path): str(state) for path, state in memo["outside"].items()}
    return None


def _read(cache: str | os.PathLike[str], prefix: str | os.PathLike[str]) -> Any:
    with open(memo_path(cache, prefix), "rb") as file:
        return json.load(file)


def _as_none() -> suppress:
    """A memo that cannot be read counts as none."""
    return suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def keep(
    cache: Path, prefix: Path, about: str, tree: Tree, outside: Iterable[str], reports: Sequence[VerifyReport]
) -> None:
    """Remember the reports; a full or read-only cache is no reason to fail."""
    path = Path(memo_path(cache, prefix))
    keep_file(path, json.dumps(pack(about, tree, states_at(outside), reports)).encode())


def pack(about: str, tree: Tree, outside: Mapping[str, str], reports: Sequence[VerifyReport]) -> dict[str, Any]:
    """Plain JSON values of what is to be remembered."""
    rows = [
        {"findings": [asdict(finding) for finding in each.findings], "counts": dict(each.counts)} for each in reports
    ]
    return {"question": about, "tree": tree.digest, "outside": dict(outside), "reports": rows}


def unpack(memo: Mapping[str, Any]) -> list[VerifyReport]:
    """The reports of :func:`pack`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: ``memo`` is something else.
    """
    return [
        VerifyReport(
            findings=tuple(
                Finding(**{**finding, "evidence": tuple(finding["evidence"])}) for finding in row["findings"]
            ),
            counts={str(name): int(count) for name, count in row["counts"].items()},
        )
        for row in memo["reports"]
    ]
