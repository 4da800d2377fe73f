"""The last report of a prefix, given again when nothing that it depends on has changed.

It depends on every file of the prefix (inode, size, times), on what was asked, on this program and its tables, and on
every path outside the prefix that the loader's model looked at, whether something was there or not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataloader import __version__
from dataloader.lockfile.model import Lockfile
from dataloader.target import Target
from dataloader.verify.cache import StatKey
from dataloader.verify.findings import Finding
from dataloader.verify.report import VerifyReport
from dataloader.verify.scan import Tree


def fingerprint(tree: Tree, targets: Sequence[Target], lock: Lockfile | None, options: object) -> str:
    """Stands for what was asked and for the state of every file of the prefix."""
    from dataloader.compat.paths import matrix_dir

    digest = hashlib.sha256(repr((__version__, targets, lock, options)).encode())
    package = Path(__file__).parent
    for path in (*sorted(package.glob("*.py")), *sorted(matrix_dir().rglob("*.jsonl"))):
        digest.update(stat_text(str(path)).encode())
    lines = [
        f"{path}\0{stat.st_ino}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
        for path, stat in sorted(tree.stats.items())
    ]
    digest.update(os.fsencode("\n".join([*lines, *sorted(tree.links)])))
    return digest.hexdigest()


def stat_text(path: str) -> str:
    """The state of one path; ``""`` when nothing is there."""
    try:
        return StatKey.of(os.stat(path)).text  # noqa: PTH116 - thousands of times
    except (OSError, ValueError):
        return ""


def outside_state(paths: Iterable[str]) -> dict[str, str]:
    """The state of each path."""
    return {path: stat_text(path) for path in paths}


def pack(key: str, outside: Mapping[str, str], reports: Sequence[VerifyReport]) -> dict[str, Any]:
    """Plain JSON values of what is to be remembered."""
    rows = [
        {"findings": [asdict(finding) for finding in each.findings], "counts": dict(each.counts)} for each in reports
    ]
    return {"key": key, "outside": dict(outside), "reports": rows}


def unpack(memo: Mapping[str, Any], key: str) -> list[VerifyReport] | None:
    """The reports, if ``key`` and every path outside are what they were; ``None`` otherwise.

    They come without verdicts.
    """
    try:
        if memo["key"] != key or any(stat_text(path) != state for path, state in memo["outside"].items()):
            return None
        return [
            VerifyReport(
                findings=tuple(
                    Finding(**{**finding, "evidence": tuple(finding["evidence"])}) for finding in row["findings"]
                ),
                counts={str(name): int(count) for name, count in row["counts"].items()},
            )
            for row in memo["reports"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
