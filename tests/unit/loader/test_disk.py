"""What the files of a prefix need is asked of libraries at once, whenever the files come to light."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.state import state_of, text_of
from dataloader.elf.cache import FactsCache
from dataloader.elf.definitions import AskedNames, Definitions
from dataloader.elf.facts import read_definitions, read_elf
from dataloader.elf.scan import ScannedFile
from dataloader.loader import disk
from tests.helpers.elf import make_library, needs_gcc


@needs_gcc
def test_definitions_are_read_once_for_all_files_of_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = make_library(tmp_path / "libbase.so", "".join(f"int base{n}(void) {{ return 0; }}\n" for n in range(9)))
    users = [
        make_library(tmp_path / f"libuser{n}.so", f"int base{n}(void); int user{n}(void) {{ return base{n}(); }}")
        for n in range(9)
    ]
    read: list[Path] = []
    reading = read_definitions

    def noted(path: Path, asked: AskedNames) -> Definitions:
        read.append(path)
        return reading(path, asked)

    monkeypatch.setattr(disk, "read_definitions", noted)
    files = disk.Disk(tmp_path, [scanned(users[0])], FactsCache(None))
    first = files.image(str(users[0]))
    assert first is not None
    files.undefined(first)  # the loader begins with what it has
    files.add(tmp_path, [scanned(path) for path in [*users[1:], library]])

    for path in users:
        image, base = files.image(str(path)), files.image(str(library))
        assert image is not None
        assert base is not None
        assert files.undefined(image) & files.definitions(base).plain

    assert read == [library]


def scanned(path: Path) -> ScannedFile:
    state = state_of(path.stat())
    return ScannedFile(path.name, state, text_of(state), read_elf(path)[0])
