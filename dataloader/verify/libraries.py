"""The libraries of a prefix, each opened on its own: no package needs to be known for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from dataloader.elf.cache import FactsCache, Learnt
from dataloader.elf.scan import ScannedFile
from dataloader.loader.disk import Disk, start_python
from dataloader.loader.model import Memory, Result
from dataloader.loader.process import Process
from dataloader.machine.target import Target
from dataloader.prefix.python import PrefixPython, extension_tag, find_interpreter
from dataloader.prefix.variables import library_folders, preloaded
from dataloader.verify.options import VerifyOptions
from dataloader.verify.world import build_environment, is_this_machine

T = TypeVar("T")


class BareLoads(NamedTuple):
    """Every library of a prefix, opened in a Python that has imported nothing."""

    prefix: Path
    target: Target
    described: bool
    """The target is judged by its description, and not by this machine's libraries."""
    interpreter: PrefixPython
    process: Process
    """Python, with nothing imported."""
    files: Mapping[str, ScannedFile]
    """By path, in that order."""
    variables: Mapping[str, str]
    """Of the process, those that are heeded."""
    results: Mapping[str, Result]
    """Of each library that this target's loader would take."""

    def is_candidate(self, path: str) -> bool:
        """Whether the file is a library for this machine and, as an extension, for this Python."""
        return is_candidate(self.files[path], self.process, self.interpreter)

    def is_extension(self, path: str) -> bool:
        """Whether an import of this Python would load the file."""
        facts = self.files[path].facts if path in self.files else None
        name = path.rsplit("/", 1)[-1]
        if extension_tag(name) is not None:
            return self.interpreter.takes_extension(name)
        return facts is not None and name.split(".", 1)[0] in facts.python_init


def is_candidate(file: ScannedFile, process: Process, interpreter: PrefixPython) -> bool:
    """As :meth:`BareLoads.is_candidate`."""
    facts, environment = file.facts, process.environment
    if facts is None or not facts.is_library:
        return False
    if (facts.machine, facts.bits) != (environment.machine, environment.bits):
        return False
    return interpreter.takes_extension(file.path.rsplit("/", 1)[-1])


class Libraries(NamedTuple):
    """The libraries of a prefix as every target's loader sees them."""

    disk: Disk
    bare: Sequence[BareLoads]
    """For each target."""


def open_libraries(
    prefix: Path,
    scanned: Sequence[ScannedFile],
    targets: Sequence[Target],
    options: VerifyOptions,
    cache: FactsCache,
    learnt: Learnt,
) -> Libraries:
    """Open each library of ``prefix`` on its own, for each target.

    Args:
        learnt: Of symbol lookups; added to.
    """
    disk, memory = Disk(prefix, scanned, cache), Memory(learnt.sufficed, learnt.missing)
    fresh = [_fresh_python(prefix, target, options, disk, memory) for target in targets]
    return Libraries(disk=disk, bare=[_opened(tree, scanned) for tree in fresh])


def open_more(prefix: Path, libraries: Libraries, scanned: Sequence[ScannedFile]) -> Libraries:
    """Open more libraries of the same prefix: what the others came to does not hang on them."""
    libraries.disk.add(prefix, scanned)
    return Libraries(disk=libraries.disk, bare=[_opened(tree, scanned) for tree in libraries.bare])


def _fresh_python(prefix: Path, target: Target, options: VerifyOptions, disk: Disk, memory: Memory) -> BareLoads:
    interpreter = find_interpreter(prefix)
    described = options.described if options.described is not None else not is_this_machine(target)
    variables = dict(options.variables if target.variables is None else target.variables)
    environment = build_environment(
        disk,
        target,
        described=described,
        library_path=(*options.library_path, *library_folders(variables)),
        preload=preloaded(variables),
        memory=memory,
    )
    return BareLoads(
        prefix=prefix,
        target=target,
        described=described,
        interpreter=interpreter,
        process=start_python(environment, interpreter),
        variables=variables,
        files={},
        results={},
    )


def _opened(bare: BareLoads, scanned: Sequence[ScannedFile]) -> BareLoads:
    """The same with these libraries too."""
    process, interpreter = bare.process, bare.interpreter
    candidates = [file.path for file in scanned if is_candidate(file, process, interpreter)]
    results = {path: process.open(str(bare.prefix / path), keep=False) for path in candidates}
    files = {file.path: file for file in scanned}
    return bare._replace(files=_by_path(bare.files, files), results=_by_path(bare.results, results))


def _by_path(known: Mapping[str, T], more: Mapping[str, T]) -> dict[str, T]:
    return dict(sorted({**known, **more}.items()))
