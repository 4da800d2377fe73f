"""Work that another process does while this one does something else."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from dataloader.process.fork import fork

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
U = TypeVar("U")


BEHIND: Final = 10
"""Niceness of what is asked for last: it gets a tenth of what others get."""


class _Fork:
    """A fork of this process that tells values, each as soon as it has it, whether somebody listens yet or not.

    Begin before there are threads. Where there are any, or no process can be had, there is nobody to tell anything.

    Args:
        values: Gives them, there.
        niceness: How far it stands back while this process and its others have work to do, as nice(2) has it.
    """

    def __init__(self, values: Callable[[], Iterable[object]], niceness: int) -> None:
        reading, writing = os.pipe()

        def answer() -> bool:
            os.close(reading)  # else it would be a reader of its own, and never learn that nobody listens
            os.nice(niceness)
            return _tell(writing, values())

        self._child = fork(answer)
        os.close(writing)
        self._answer = open(reading, "rb")  # noqa: SIM115 - end() closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def hear(self) -> Any:
        """The next value, waited for.

        Raises:
            EOFError: that process is lost, or never was.
        """
        length = int.from_bytes(self._answer.read(_LENGTH), "little") if self._child else 0
        answer = self._answer.read(length)
        if not length or len(answer) < length:
            raise EOFError
        return pickle.loads(answer)  # noqa: S301 - by this program, just now

    def end(self) -> None:
        """Wait for the other process's end, which comes with the value that it has in hand where it is not heard."""
        self._answer.close()
        child, self._child = self._child, 0
        if child:
            with suppress(ChildProcessError):  # a fork of this process asked, whose child it is not
                os.waitpid(child, 0)


class Beside(_Fork, Generic[T]):
    """A value that a fork of this process computes.

    Begin before there are threads. Where there are any, where no process can be had, or where it is lost or fails, the
    job is done here when the value is asked for.

    Args:
        job: Must be fit to be done twice; what it changes in memory is not seen here.
        niceness: As :class:`_Fork` has it.
    """

    def __init__(self, job: Callable[[], T], *, niceness: int = 0) -> None:
        self._job = job

        def values() -> Iterator[object]:
            yield job()

        super().__init__(values, niceness)

    def result(self) -> T:
        """The value, waited for; to be asked for once, here or by a fork of this process."""
        try:
            value: T = self.hear()
        except EOFError:
            self.end()
            return self._job()
        self.end()
        return value


class BesideInTwo(_Fork, Generic[T, U]):
    """A value that a fork of this process computes, and one that it goes on to compute while this one has the first.

    Args:
        job: As :class:`Beside` has it; gives the first value, and what gives the second.
        niceness: As :class:`_Fork` has it.
    """

    def __init__(self, job: Callable[[], tuple[T, Callable[[], U]]], *, niceness: int = 0) -> None:
        self._job = job
        self._goes_on: Callable[[], U] | None = None
        """Gives the second value, where the first was computed here."""

        def values() -> Iterator[object]:
            value, goes_on = job()
            yield value
            yield goes_on()

        super().__init__(values, niceness)

    def first(self) -> T:
        """The first value, waited for; to be asked for once."""
        try:
            value: T = self.hear()
        except EOFError:
            self.end()
            value, self._goes_on = self._job()
        return value

    def second(self) -> U:
        """The second, waited for; to be asked for once, after the first."""
        if self._goes_on is None:
            try:
                value: U = self.hear()
            except EOFError:
                _, self._goes_on = self._job()
            else:
                return value
            finally:
                self.end()
        return self._goes_on()


_LENGTH: Final = 8
"""Bytes before an answer that say how long it is: what a process that was lost wrote of it is none."""


def _tell(descriptor: int, values: Iterable[object]) -> bool:
    """Write each value while the next is computed, as a pipe holds little; say whether somebody read them."""
    unheard: list[OSError] = []
    with open(descriptor, "wb", buffering=0) as stream:
        writer: threading.Thread | None = None
        for value in values:
            answer = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            _join(writer)
            if unheard:
                break
            writer = threading.Thread(target=_write, args=(stream, _framed(answer), unheard))
            writer.start()
        _join(writer)
    return not unheard


def _join(thread: threading.Thread | None) -> None:
    if thread is not None:
        thread.join()


def _framed(answer: bytes) -> bytes:
    return len(answer).to_bytes(_LENGTH, "little") + answer


def _write(stream: FileIO, data: bytes, unheard: list[OSError]) -> None:
    """Write all of it, if somebody reads."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except BrokenPipeError as error:
        unheard.append(error)
