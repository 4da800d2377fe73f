"""Looking at a prefix in other processes, while this one does something else.

They are forks of this process, so begin before there are threads. Where there are any, or no process can be had, this
process looks itself when it is asked. Imports next to nothing, as :mod:`dataloader.verify.files`.
"""

from __future__ import annotations

import marshal
import os
import sys

from dataloader.verify.files import Part, Tree, is_same, walk

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class CheckAhead:
    """Whether a tree has changed. One process looks at each part: most of that is a system call for each file.

    Args:
        parts: Folders of each part, and the part, packed.
    """

    def __init__(self, prefix: str, parts: Sequence[tuple[Sequence[str], bytes]]) -> None:
        self._prefix, self._parts = prefix, parts
        self._children = [_fork(lambda part=part: is_same(prefix, *part)) for part in parts]  # type: ignore[misc]

    def is_same(self) -> bool:
        """Whether nothing has changed; a process that was lost makes it a change."""
        if 0 in self._children:
            return all(is_same(self._prefix, *part) for part in self._parts)
        return not any(self._ended())

    def close(self) -> None:
        """Wait for the end of the processes."""
        self._ended()

    def _ended(self) -> list[int]:
        children, self._children = self._children, []
        return [os.waitpid(child, 0)[1] for child in children if child]


class WalkAhead:
    """A walk over a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._tree: Tree | None = None
        reading, writing = os.pipe()

        def answer() -> bool:
            os.close(reading)  # else it would be a reader of its own, and never learn that nobody listens
            return _write(writing, marshal.dumps([part.pack() for part in walk(prefix).parts]))

        self._child = _fork(answer)
        os.close(writing)
        self._answer = open(reading, "rb")  # noqa: SIM115 - _end() closes it

    def tree(self) -> Tree:
        """What was seen."""
        if self._tree is None:
            self._tree = self._heard() or walk(self._prefix)
        return self._tree

    def _heard(self) -> Tree | None:
        """The other process's answer; nothing where there is none, or it did not come to its end."""
        answer = self._answer.read()
        if not self._child or self._end() != 0:
            return None
        return Tree([Part.unpack(part) for part in marshal.loads(answer)])  # noqa: S302 - by this program, just now

    def close(self) -> None:
        """Let the other process end, whether it was heard or not."""
        self._end()

    def _end(self) -> int:
        self._answer.close()
        child, self._child = self._child, 0
        return os.waitpid(child, 0)[1] if child else 0


def _fork(job: Callable[[], bool]) -> int:
    """Do ``job`` in a process that ends with 0 if it says so. Returns its id; 0 where there is none."""
    if "threading" in sys.modules and sys.modules["threading"].active_count() > 1:
        return 0
    try:
        child = os.fork()
    except OSError:
        return 0
    if not child:
        status = 1
        try:
            status = 0 if job() else 1
        finally:
            os._exit(status)  # whatever happened: the process that asked will meet it again, and say so
    return child


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
