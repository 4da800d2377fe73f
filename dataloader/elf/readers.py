"""Processes that read ELF files into the cache of facts: ``[path, key]`` lines in, ``[null]`` or a problem out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dataloader.elf.cache import FactsCache
from dataloader.elf.facts import ElfFacts, read_elf
from dataloader.elf.image import MalformedElf
from dataloader.prefix.python import extension_tag
from dataloader.process.fork import fork
from dataloader.process.program import command_of

if TYPE_CHECKING:
    from typing_extensions import Self


def _is_text(path: str) -> bool:
    """A linker script or a stub: ``libx.so`` may be ``INPUT(-lx)``, which nobody loads."""
    with open(path, "rb") as file:
        head = file.read(512)
    return bool(head) and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


def read_into_cache(cache: FactsCache, path: str, key: str) -> tuple[ElfFacts | None, str | None]:
    """(facts, None) of one file, kept in the cache under ``key``; (None, why) otherwise.

    A text file that is only named like a library gives (None, None); by the name of an extension module it is imported.
    """
    try:
        facts, undefined = read_elf(Path(path))
    except MalformedElf as error:
        return None, None if extension_tag(path.rpartition("/")[2]) is None and _is_text(path) else str(error)
    except OSError as error:
        return None, error.strerror or str(error)
    cache.store(key, facts, undefined)
    return facts, None


class Helper:
    """One such process, spoken to over two pipes."""

    def __init__(self, asks: IO[str], answers: IO[str], wait: Callable[[], object]) -> None:
        self._asks, self._answers, self._wait = asks, answers, wait

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._wait()

    def close(self) -> None:
        """This process's ends of the pipes."""
        with self._answers, suppress(BrokenPipeError):
            self._asks.close()

    def give(self, path: str, key: str) -> bool:
        """A file to read; False when the process is gone."""
        try:
            print(json.dumps([path, key]), file=self._asks, flush=True)
        except OSError:
            return False
        return True

    def hear(self) -> Any:
        """The answer to the file that was given first: ``[None]`` where its facts are in the cache, else the problem.

        Raises:
            OSError, ValueError: the process is gone.
        """
        return json.loads(self._answers.readline())


def start_helper(cache: FactsCache, others: Sequence[Helper]) -> Helper:
    """A fork of this process, which has all that is needed; a new one where threads forbid that.

    Args:
        others: Forked before; their pipes are none of the new one's business.
    """
    asked, asks = os.pipe()
    answers, answered = os.pipe()

    def work() -> bool:
        for helper in others:
            helper.close()
        os.close(asks)
        os.close(answers)
        with open(asked, encoding="utf-8") as stream, open(answered, "w", encoding="utf-8") as told:
            serve(cache, stream, told)
        return True

    child = fork(work)
    os.close(asked)
    os.close(answered)
    if child:
        return Helper(open(asks, "w", encoding="utf-8"), open(answers, encoding="utf-8"), lambda: os.waitpid(child, 0))
    os.close(asks)
    os.close(answers)
    import subprocess

    worker = subprocess.Popen(
        command_of("dataloader.elf.worker", str(cache.root)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    return Helper(worker.stdin, worker.stdout, worker.wait)


def serve(cache: FactsCache, asks: IO[str], answers: IO[str]) -> None:
    """Read what is asked for until there is no more."""
    for line in asks:
        path, key = json.loads(line)
        facts, problem = read_into_cache(cache, path, key)
        answers.write(json.dumps([None] if facts else problem) + "\n")
        answers.flush()
