"""Work that another process does while this one does something else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from dataloader.verify.ahead import fork

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Beside(Generic[T]):
    """A value that a fork of this process computes.

    Begin before there are threads. Where there are any, where no process can be had, or where it is lost or fails, the
    job is done here when the value is asked for.

    Args:
        job: Must be fit to be done twice; what it changes in memory is not seen here.
    """

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        reading, writing = os.pipe()

        def answer() -> bool:
            os.close(reading)  # else it would be a reader of its own, and never learn that nobody listens
            return _write(writing, pickle.dumps(job(), pickle.HIGHEST_PROTOCOL))

        self._child = fork(answer)
        os.close(writing)
        self._answer = open(reading, "rb")  # noqa: SIM115 - _end() closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def result(self) -> T:
        """The value, waited for; to be asked for once."""
        answer = self._answer.read() if self._child else b""
        if self._child and self._end() == 0:
            value: T = pickle.loads(answer)  # noqa: S301 - by this program, just now
            return value
        return self._job()

    def _end(self) -> int:
        """Wait for the other process's end, which comes at once where it is not heard. Returns its status."""
        self._answer.close()
        child, self._child = self._child, 0
        return os.waitpid(child, 0)[1] if child else 0


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
