"""Whether there is a Python to run an environment with: one that is gone breaks everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataloader.prefix.python import PROGRAM, missing_python
from dataloader.verify.findings import Finding


def check_python(prefix: Path, *, described: bool) -> Iterator[Finding]:
    """Say that the Python of an environment is gone.

    Args:
        prefix: The environment.
        described: Judged is another machine than this one: whether it has a Python that lies beside the environment
            cannot be told here.
    """
    why = missing_python(prefix)
    if why is None:
        return
    elsewhere = described and (prefix / PROGRAM).is_symlink()
    yield Finding(
        severity="note" if elsewhere else "error",
        kind="python-missing",
        path=PROGRAM,
        message=f"the environment's Python is not on this machine: {why}"
        if elsewhere
        else f"the environment's Python is gone: {why}",
        fix="dataloader sync",
    )
