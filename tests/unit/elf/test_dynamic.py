"""Definitions are the same whether symbols are read by themselves or in their tables, and whenever they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.elf import dynamic
from dataloader.elf.definitions import AskedNames, Definitions
from dataloader.elf.facts import find_definitions
from dataloader.elf.image import MalformedElf
from tests.helpers.elf import make_library, needs_gcc

pytestmark = needs_gcc

_NAMES = [f"name{n}".encode() for n in range(12)]
_SOURCE = "".join(
    f"int name{n}(void) {{ return {n}; }}\n" if n % 3 else f"extern int name{n}(void); int (*p{n})(void) = &name{n};\n"
    for n in range(12)
)


@pytest.fixture(scope="module", params=["with versions", "without"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("image")
    versions = "ONE { global: name1; name2; }; TWO { global: name4; } ONE;" if request.param != "without" else None
    path: Path = make_library(folder / "libnames.so", _SOURCE, soname="libnames.so", versions=versions)
    return path.read_bytes()


def definitions(data: bytes, asked: AskedNames, part: int) -> Definitions | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic, "_PART", part)
        try:
            return find_definitions(data, asked)
        except MalformedElf:
            return None


@given(
    names=st.lists(st.sampled_from([*_NAMES, b"", b"name1@ONE", b"other"]), max_size=20),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
)
@settings(deadline=None)
def test_by_themselves_or_in_their_tables(image: bytes, names: list[bytes], changes: list[tuple[float, int]]) -> None:
    data = bytearray(image)
    for where, value in changes:
        data[int(where * len(data))] = value
    asked = AskedNames(names)
    alone, together = (definitions(bytes(data), asked, part) for part in (0, 1 << 40))

    if alone is not None and together is not None:  # a table that reaches past the end is refused as a whole only
        assert alone == together
    if not changes:
        assert alone is not None
        assert alone.plain == {name for name in asked.names if name in _NAMES and int(name[4:]) % 3}


@given(st.lists(st.sets(st.sampled_from([*_NAMES, b"name4@TWO"])), max_size=4))
@settings(deadline=None)
def test_what_is_asked_later_is_added(image: bytes, additions: list[set[bytes]]) -> None:
    asked, found, heard = AskedNames(), Definitions(), 0
    for names in additions:
        asked.add(names)
        found |= find_definitions(image, asked.since(heard))
        heard = len(asked.added)

    assert found == find_definitions(image, asked)
