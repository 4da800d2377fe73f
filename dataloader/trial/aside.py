"""A process that judges a finished tree. It gets ready while the tree is built, and has no threads, so it may fork."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dataloader.lockfile.model import CondaPackage, Lockfile
from dataloader.process.program import command_of, receive, send
from dataloader.trial.judge import BuiltTree, Judgement, judge_tree, read_ahead

if TYPE_CHECKING:
    import subprocess


class JudgeHere:
    """Judges a tree in this process, which most likely is Python alone: there is nothing that could be refused."""

    def foresee(self, libraries: Mapping[str, str], facts: Path) -> None:
        """Get to know what the tree will hold, as :func:`dataloader.trial.judge.read_ahead`; not to be waited for."""

    def judge(self, question: BuiltTree) -> Judgement:
        """As :func:`dataloader.trial.judge.judge_tree`."""
        from dataloader.prefix.walk import walk

        return judge_tree(question) if walk(question.tree).elf else Judgement((), ())

    def close(self) -> None:
        """There will be no tree any more."""


class _Aside(JudgeHere):
    """Has a process of its own judge, and judges itself where that is lost."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._asking = threading.Lock()  # who is interrupted closes it, and waits for the thread that asks

    def foresee(self, libraries: Mapping[str, str], facts: Path) -> None:
        with self._asking, suppress(OSError):
            self._say((read_ahead.__name__, (libraries, facts)))

    def judge(self, question: BuiltTree) -> Judgement:
        with self._asking:
            try:
                self._say((judge_tree.__name__, (question,)))
                assert self._process.stdout is not None
                answer: Judgement = receive(self._process.stdout)
            except (OSError, ValueError, EOFError):
                pass  # it may have failed as this process will, which then says how
            else:
                return answer
        return judge_tree(question)

    def close(self) -> None:
        with self._asking:
            self._process.communicate()  # the end of its input is the end of it

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None
        send(self._process.stdin, what)


@contextmanager
def prepared(lock: Lockfile) -> Iterator[JudgeHere]:
    """Give what judges a tree of ``lock``, for as long as that is built."""
    judge = JudgeHere() if _is_pure(lock) else _start()
    try:
        yield judge
    finally:
        judge.close()


def _is_pure(lock: Lockfile) -> bool:
    return all(
        package.noarch is not None if isinstance(package, CondaPackage) else package.file_name.endswith("-none-any.whl")
        for package in lock.packages
    )


def _start() -> JudgeHere:
    import subprocess

    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        return _Aside(subprocess.Popen(command_of(__name__), stdin=pipe, stdout=pipe, stderr=nothing))
    except OSError:
        return JudgeHere()


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Do what is asked for until there is no more. What that takes is imported first."""
    from dataloader.trial import lessons as contradictions
    from dataloader.verify import judgement, libraries, run
    from dataloader.verify.checks import contents, opened
    from dataloader.verify.checks import lock as drift
    from dataloader.verify.checks import requires_dist as dependencies
    from dataloader.verify.tables import load_tables

    del contents, contradictions, dependencies, drift, judgement, libraries, opened, run
    load_tables()
    while True:
        try:
            what, arguments = receive(questions)
        except EOFError:
            return
        if what == read_ahead.__name__:
            read_ahead(*arguments)
        else:
            send(answers, judge_tree(*arguments))


def main() -> None:
    """Serve whoever began this process, and end with it."""
    status = 1
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
        status = 0
    finally:
        # Who asked will see it, and say why. An interpreter that is torn down takes 15 ms.
        os._exit(status)
