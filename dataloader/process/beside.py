"""Work that another process does while this one does something else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from dataloader.process.fork import fork

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


BEHIND: Final = 10
"""Niceness of what is asked for last: it gets a tenth of what others get."""


class Beside(Generic[T]):
    """A value that a fork of this process computes.

    Begin before there are threads. Where there are any, where no process can be had, or where it is lost or fails, the
    job is done here when the value is asked for.

    Args:
        job: Must be fit to be done twice; what it changes in memory is not seen here.
        niceness: How far it stands back while this process and its others have work to do, as nice(2) has it.
    """

    def __init__(self, job: Callable[[], T], *, niceness: int = 0) -> None:
        self._job = job
        reading, writing = os.pipe()

        def answer() -> bool:
            os.close(reading)  # else it would be a reader of its own, and never learn that nobody listens
            os.nice(niceness)
            return _write(writing, _framed(pickle.dumps(job(), pickle.HIGHEST_PROTOCOL)))

        self._child = fork(answer)
        os.close(writing)
        self._answer = open(reading, "rb")  # noqa: SIM115 - _end() closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def result(self) -> T:
        """The value, waited for; to be asked for once, here or by a fork of this process."""
        answer = self._answer.read() if self._child else b""
        self._end()
        if int.from_bytes(answer[:_LENGTH], "little") == len(answer) - _LENGTH:
            value: T = pickle.loads(memoryview(answer)[_LENGTH:])  # noqa: S301 - by this program, just now
            return value
        return self._job()

    def _end(self) -> None:
        """Wait for the other process's end, which comes at once where it is not heard."""
        self._answer.close()
        child, self._child = self._child, 0
        if child:
            with suppress(ChildProcessError):  # a fork of this process asked, whose child it is not
                os.waitpid(child, 0)


_LENGTH: Final = 8
"""Bytes before an answer that say how long it is: what a process that was lost wrote of it is none."""


def _framed(answer: bytes) -> bytes:
    return len(answer).to_bytes(_LENGTH, "little") + answer


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it, if somebody reads."""
    try:
        with open(descriptor, "wb", buffering=0) as stream:
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
    except BrokenPipeError:
        return False
    return True
