"""Another process of this program that is no fork, where threads forbid one."""

from __future__ import annotations

import os
import sys


def command_of(module: str, *arguments: str) -> list[str]:
    """The command that runs ``main`` of a module of ours with these arguments.

    Without site, which takes 10 ms: the process is told where modules are.
    """
    paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109
    program = f"import sys; sys.path[:] = {paths!r}; from {module} import main; main(*sys.argv[1:])"
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    return [sys.executable, *options, "-c", program, *arguments]
