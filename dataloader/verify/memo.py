"""The last report of a prefix, given again when nothing that it depends on has changed.

It depends on every file of the prefix (inode, size, times), on what was asked, on this program and its tables, and on
every path outside the prefix that the loader's model looked at, whether something was there or not.

Kept below the cache of facts as ``prefix-3/....memo.json``.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256

from dataloader import __version__
from dataloader.verify.answer import program_state
from dataloader.verify.files import Tree, state_at, states_at

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from dataloader.target import Target
    from dataloader.verify.report import VerifyReport


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
    try:
        with open(memo_path(cache, prefix), "rb") as file:
            memo = json.load(file)
        if memo["question"] != about or any(state_at(path) != state for path, state in memo["outside"].items()):
            return None
        reports = unpack(memo)  # first: the walk may still be under way
        return reports if memo["tree"] == digest() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def looked_at(cache: str | os.PathLike[str], prefix: str | os.PathLike[str], tree: Tree) -> dict[str, str] | None:
    """What the reports that are kept of just this tree depend on outside the prefix, and its states."""
    try:
        with open(memo_path(cache, prefix), "rb") as file:
            memo = json.load(file)
        return (
            {str(path): str(state) for path, state in memo["outside"].items()} if memo["tree"] == tree.digest else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def keep(
    cache: Path, prefix: Path, about: str, tree: Tree, outside: Iterable[str], reports: Sequence[VerifyReport]
) -> None:
    """Remember the reports; a full or read-only cache is no reason to fail."""
    from pathlib import Path

    from dataloader.files import keep_file

    path = Path(memo_path(cache, prefix))
    keep_file(path, json.dumps(pack(about, tree, states_at(outside), reports)).encode())


def pack(about: str, tree: Tree, outside: Mapping[str, str], reports: Sequence[VerifyReport]) -> dict[str, Any]:
    """Plain JSON values of what is to be remembered."""
    from dataclasses import asdict

    rows = [
        {"findings": [asdict(finding) for finding in each.findings], "counts": dict(each.counts)} for each in reports
    ]
    return {"question": about, "tree": tree.digest, "outside": dict(outside), "reports": rows}


def unpack(memo: Mapping[str, Any]) -> list[VerifyReport]:
    """The reports of :func:`pack`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: ``memo`` is something else.
    """
    from dataloader.verify.findings import Finding
    from dataloader.verify.report import VerifyReport

    return [
        VerifyReport(
            findings=tuple(
                Finding(**{**finding, "evidence": tuple(finding["evidence"])}) for finding in row["findings"]
            ),
            counts={str(name): int(count) for name, count in row["counts"].items()},
        )
        for row in memo["reports"]
    ]
