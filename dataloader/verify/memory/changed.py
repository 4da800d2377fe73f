"""Looking whether a prefix has changed, in other processes. Imports next to nothing, as the walk does."""

from __future__ import annotations

import os

from dataloader.prefix.walk import is_same
from dataloader.process.fork import fork

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Sequence


class CheckAhead:
    """Whether a tree has changed. One process looks at each part: most of that is a system call for each file.

    They are forks of this process, so begin before there are threads. Where there are any, or no process can be had,
    this process looks itself when it is asked.

    Args:
        parts: Folders of each part, and the part, packed.
    """

    def __init__(self, prefix: str, parts: Sequence[tuple[Sequence[str], bytes]]) -> None:
        self._prefix, self._parts = prefix, parts
        self._children = [fork(lambda part=part: is_same(prefix, *part)) for part in parts]  # type: ignore[misc]

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
