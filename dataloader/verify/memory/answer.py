"""What a plain ``verify`` of a prefix said last, said again while nothing that it depends on has changed.

It depends on every file of the prefix (inode, size, times), on the machine, the lock, this program and its tables, and
on every path outside the prefix that the loader's model looked at, whether something was there or not.

Kept below the cache of facts as ``prefix-8/DEVICE-INODE.answer``: bytes to be compared or shown, never code. Imports
next to nothing, so that an answer takes as long as it takes to look at the files; whoever asks in another way is served
by :mod:`dataloader.verify.memory.memo`.
"""

# ruff: noqa: PTH116, PTH120
# As dataloader.prefix.walk: importing pathlib would take longer than the rest.

from __future__ import annotations

import os
from itertools import accumulate

from dataloader import __version__
from dataloader.base.cache import PREFIXES
from dataloader.base.matrix_folder import matrix_folder
from dataloader.base.sealed import seal, unseal
from dataloader.base.state import state_at
from dataloader.machine.host import machine_evidence
from dataloader.prefix.variables import counted
from dataloader.prefix.walk import SealedTree

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataloader.verify.report import VerifyReport

_JUDGES = ("verify", "loader", "elf", "prefix")
"""The packages that find and judge."""

_NUL = "\0"
"""No path has it."""


class KeptAnswer:
    """What was said, and what it depends on."""

    __slots__ = ("failing", "forms", "outside", "parts", "question")

    def __init__(
        self,
        question: str,
        outside: Mapping[str, str],
        parts: Sequence[tuple[Sequence[str], bytes]],
        failing: str,
        forms: Mapping[str, str],
    ) -> None:
        self.question = question
        self.outside = outside
        """Paths outside the prefix that were looked at, and their states."""
        self.parts = parts
        """Folders of each part of the tree, and the part, packed."""
        self.failing = failing
        """Each ``--fail-on`` that fails."""
        self.forms = forms
        """Name of ``--format`` -> the report."""

    @classmethod
    def from_bytes(cls, data: bytes) -> KeptAnswer:
        """The inverse of :meth:`to_bytes`.

        Raises:
            ValueError: it is something else, or was damaged.
        """
        head, _, content = unseal(data).partition(b"\n")
        lengths = [int(length) for length in head.split()]
        if sum(lengths) != len(content):
            raise ValueError("no answer")
        fields = (content[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True))
        question, outside, failing, forms, *tree = fields
        if not tree:
            raise ValueError("no part of a tree")
        folders, packed = iter(tree[::2]), iter(tree[1::2])
        return cls(
            _text(question),
            _pairs(_text(outside)),
            [(_text(names).split(_NUL), part) for names, part in zip(folders, packed, strict=True)],
            _text(failing),
            _pairs(_text(forms)),
        )

    def to_bytes(self) -> bytes:
        """A line with the lengths of the fields, and the fields; sealed."""
        rows = (self.outside.items(), self.forms.items())
        outside, forms = (_NUL.join(text for row in texts for text in row) for texts in rows)
        fields = [_data(text) for text in (self.question, outside, self.failing, forms)]
        for folders, packed in self.parts:
            fields += [_data(_NUL.join(folders)), packed]
        content = b"".join(fields)
        return seal(b"%s\n%s" % (" ".join(str(len(field)) for field in fields).encode(), content))

    def stands(self, question: str) -> bool:
        """Whether the question is the same and nothing outside the prefix has changed."""
        return self.question == question and all(state_at(path) == state for path, state in self.outside.items())


def plain_question(prefix: str, lock: str, environ: Mapping[str, str]) -> str:
    """Stands for what is asked, for the machine and for this program; ``""`` where it takes longer to tell.

    Args:
        lock: Path of the lock, ``""`` for none.
    """
    machine = machine_evidence(environ)
    if machine is None:
        return ""
    how = mounted(prefix)
    return repr((__version__, prefix, lock, lock and state_at(lock), machine, counted(environ), how, program_state()))


def mounted(prefix: str) -> str:
    """How the file systems of a prefix are mounted, noexec for one: its own, and those that begin below it."""
    try:
        found = [str(os.statvfs(prefix).f_flag)]
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return ""  # it is no prefix, which is said elsewhere; or a system without /proc
    below = os.fsencode(os.path.realpath(prefix)).replace(b" ", b"\\040") + b"/"  # proc_pid_mountinfo(5)
    for line in lines:
        fields = line.split(b" ", 6)
        if len(fields) > 6 and fields[4].startswith(below):
            found.append(os.fsdecode(b" ".join(fields[4:6])))
    return " ".join(found)


def program_state() -> list[str]:
    """Names and states of the modules and tables that judge: a program that was changed may judge anew."""
    found = []
    program = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    for folder in (*(f"{program}/{part}" for part in _JUDGES), matrix_folder()):
        for where, _, names in os.walk(folder):
            paths = (f"{where}/{name}" for name in names if name.endswith((".py", ".jsonl")))
            found += [f"{path} {state_at(path)}" for path in paths]
    return sorted(found)


def read_answer(cache: str, prefix: str) -> KeptAnswer | None:
    """The last answer about ``prefix``; one that cannot be read counts as none."""
    try:
        with open(_path(cache, prefix), "rb") as file:
            return KeptAnswer.from_bytes(file.read())
    except (OSError, ValueError):
        return None


def keep_answer(
    cache: str, prefix: str, question: str, outside: Mapping[str, str], tree: SealedTree, report: VerifyReport
) -> None:
    """Keep a report in all its forms; a full or read-only cache is no reason to fail."""
    from pathlib import Path

    from dataloader.base.files import keep_sealed
    from dataloader.verify.output import FORMATS, SEVERITIES, fails

    answer = KeptAnswer(
        question,
        outside,
        [(folders, packed) for folders, packed in tree.parts if folders],
        " ".join(severity for severity in SEVERITIES if fails(report, severity)),
        {name: render(report) for name, render in FORMATS.items()},
    )
    try:
        path = Path(_path(cache, prefix))
    except OSError:
        return  # the prefix is gone meanwhile
    keep_sealed(path, answer.to_bytes())


def _path(cache: str, prefix: str) -> str:
    status = os.stat(prefix)
    return f"{cache}/{PREFIXES}/{status.st_dev}-{status.st_ino}.answer"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pairs(text: str) -> dict[str, str]:
    texts = iter(text.split(_NUL) if text else ())
    return dict(zip(texts, texts, strict=True))
