"""Another process of this program that is no fork, where threads forbid one."""

from __future__ import annotations

import os
import pickle
import sys
from typing import IO, Any


def command_of(module: str, *arguments: str) -> list[str]:
    """The command that runs ``main`` of a module of ours with these arguments.

    Without site, which takes 10 ms: the process is told where modules are.
    """
    paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109
    program = f"import sys; sys.path[:] = {paths!r}; from {module} import main; main(*sys.argv[1:])"
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    return [sys.executable, *options, "-c", program, *arguments]


def send(stream: IO[bytes], value: object) -> None:
    """Tell the other process a value."""
    pickle.dump(value, stream)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """A value that the other process told; it is this program too, so what it says may be loaded.

    Raises:
        EOFError: it has ended.
        ValueError: it was cut off.
    """
    try:
        return pickle.load(stream)  # noqa: S301 - by this program, just now
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
