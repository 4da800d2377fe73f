"""The edge between the loader's model and the disk: what paths hold, and a Python that has started."""

from __future__ import annotations

import os
import stat as stat_module
from collections.abc import Container, Sequence
from hashlib import sha256
from pathlib import Path

from dataloader.base.state import state_of, text_of
from dataloader.elf.cache import FactsCache
from dataloader.elf.definitions import AskedNames, Definitions, bare
from dataloader.elf.facts import read_definitions, read_elf, read_relocated_names
from dataloader.elf.image import MalformedElf
from dataloader.elf.readers import read_into_cache
from dataloader.elf.scan import ScannedFile
from dataloader.loader.model import Environment, FileId, FileImage, Memory
from dataloader.loader.process import Process
from dataloader.prefix.python import PrefixPython


class Disk:
    """Files as the loader sees them: those of the prefix as scanned, all others read when first asked for."""

    def __init__(self, prefix: Path, scanned: Sequence[ScannedFile], cache: FactsCache) -> None:
        self._cache = cache
        self._images: dict[FileId, FileImage] = {}
        self._by_path: dict[str, FileImage | None] = {}
        self._folders: dict[str, bool] = {}
        self._undefined: dict[str, frozenset[bytes]] = {}
        self._definitions: dict[str, tuple[int, Definitions]] = {}
        """Content -> how many additions of names were heard of when it was last read, and what it defines of them."""
        self._asked = AskedNames()
        self._paths: dict[FileId, str] = {}
        self._scanned: list[FileId] = []
        self._unasked: list[FileId] = []
        """Those of the scanned that nobody knows the needs of."""
        self.add(prefix, scanned)

    def add(self, prefix: Path, scanned: Sequence[ScannedFile]) -> None:
        """Take these for files of the prefix, too."""
        self._scanned += [file.file_id for file in scanned if file.facts]
        self._unasked += [file.file_id for file in scanned if file.facts]
        for file in scanned:
            path = str(prefix / file.path)
            image = FileImage(file_id=file.file_id, facts=file.facts, problem=file.problem, key=file.key)
            self._by_path[path] = self._images.setdefault(file.file_id, image)
            self._paths[file.file_id] = path

    def image(self, path: str) -> FileImage | None:
        """See :class:`dataloader.loader.model.Files`."""
        if path not in self._by_path:
            self._by_path[path] = self._read(path)
        return self._by_path[path]

    def is_folder(self, path: str) -> bool:
        """See :class:`dataloader.loader.model.Files`."""
        if path not in self._folders:
            self._folders[path] = os.path.isdir(path)  # noqa: PTH112 - as below
        return self._folders[path]

    def _read(self, path: str) -> FileImage | None:
        try:
            status = os.stat(path)  # noqa: PTH116 - thousands of times
        except (OSError, ValueError):
            return None
        if not stat_module.S_ISREG(status.st_mode):
            return None
        file_id, key = (status.st_dev, status.st_ino), text_of(state_of(status))
        known = self._images.get(file_id)
        if known is None:
            facts = self._cache.load_facts(key)
            problem = None
            if facts is None:
                facts, problem = read_into_cache(self._cache, path, key)
            if facts is None:
                problem = problem or "invalid ELF header"
            known = FileImage(file_id=file_id, facts=facts, problem=problem, key=key)
            self._images[file_id] = known
            self._paths[file_id] = path
        return known

    def undefined(self, image: FileImage) -> frozenset[bytes]:
        """See :class:`dataloader.loader.model.Files`."""
        while self._unasked:  # all at once: whenever more is asked for, definitions are looked up again
            self._ask_for(self._images[self._unasked.pop()])
        return self._ask_for(image)

    def _ask_for(self, image: FileImage) -> frozenset[bytes]:
        """What an image needs; lookups may ask for it from now on."""
        known = self._undefined.get(image.key)
        if known is None:
            known = self._cache.load_undefined(image.key)
            known = self._undefined[image.key] = self._read_undefined(image) if known is None else known
            self._asked.add(known)
        return known

    def _read_undefined(self, image: FileImage) -> frozenset[bytes]:
        try:
            return read_elf(Path(self._paths[image.file_id]))[1]
        except (MalformedElf, OSError):
            return frozenset()  # it was readable a moment ago; the next run says what happened to it

    def definitions(self, image: FileImage) -> Definitions:
        """See :class:`dataloader.loader.model.Files`."""
        heard, known = self._definitions.get(image.key, (0, Definitions()))
        if heard < len(
            self._asked.added
        ):  # most libraries have none of what came later: they are not read again for it
            known |= self._read_definitions(image, self._asked.since(heard))
            self._definitions[image.key] = len(self._asked.added), known
        return known

    def _read_definitions(self, image: FileImage, asked: AskedNames) -> Definitions:
        try:
            return read_definitions(Path(self._paths[image.file_id]), asked)
        except (MalformedElf, OSError):
            return Definitions()  # as above

    def looked_at_beside(self, prefix: Path, known: Container[str]) -> list[str]:
        """Every path that was asked for and is not ``known``, whether something was there or not.

        A path below ``prefix`` where nothing is needs no watching: were something there, the walk would see it.
        """
        inside = f"{prefix}/"
        found = {**self._folders, **{path: image is not None for path, image in self._by_path.items()}}
        clean = {path: os.path.normpath(path) for path in found}
        return [
            path
            for path, where in clean.items()
            if not where.startswith(inside) or (found[path] and where.removeprefix(inside) not in known)
        ]

    def defines(self, names: set[bytes], memory: Memory) -> bool:
        """Whether the libraries of the prefix together define all these symbols.

        Each library is opened for it, so the answer is remembered with the lookups, by content as they are.
        """
        contents = sorted({self._images[path].key for path in self._scanned})
        about = sha256(b"\n".join([*map(os.fsencode, contents), b"", *sorted(names)])).hexdigest()
        if about not in memory.missing:
            memory.missing[about] = self._undefined_of(set(map(bare, names)))
        return not memory.missing[about]

    def _undefined_of(self, missing: set[bytes]) -> frozenset[bytes]:
        # What a memo answers was never looked up in this run.
        self._asked.add(missing)
        for key in self._scanned:
            if not missing:
                break
            missing = missing - self.definitions(self._images[key]).plain
        return frozenset(missing)

    def relocated(self, path: str, *, at_once: bool = False) -> frozenset[bytes]:
        """See :class:`dataloader.loader.model.Files`."""
        try:
            return read_relocated_names(Path(path), at_once=at_once)
        except (MalformedElf, OSError):
            return frozenset()


def start_python(environment: Environment, interpreter: PrefixPython) -> Process:
    """A process that runs the prefix's Python and has imported nothing yet."""
    process = Process(environment)
    if interpreter.program is not None:
        process.failures = process.start(str(interpreter.program))
    process.assumes_python = process.main is None
    return process
