"""Single files of a wheel: whatever is damaged in it is told as such."""

from __future__ import annotations

import asyncio
import io
import random
import zipfile
from pathlib import Path

import pytest

from dataloader.base.errors import IntegrityError
from dataloader.index.wheels.members import LocalMembers

LIBRARIES = {f"a/lib{number}.so": bytes(range(200)) * 3 + b"x" * 500 for number in range(3)}


def _wheel(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in LIBRARIES.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _read(wheel: Path) -> dict[str, bytes]:
    members, found = LocalMembers(wheel), {}
    for name in members.infos:
        asyncio.run(members.read_into(name, buffer := io.BytesIO()))
        found[name] = buffer.getvalue()
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_told_however_a_wheel_is_packed(tmp_path: Path, method: int) -> None:
    whole, chance, told = _wheel(method), random.Random(method), set[str]()
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    wheel.write_bytes(whole)
    assert _read(wheel) == LIBRARIES

    for _ in range(300):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= chance.choice((0xFF, 1 << chance.randrange(8)))
        wheel.write_bytes(damaged[: chance.choice((None, chance.randrange(len(whole))))])
        try:
            found = _read(wheel)
        except IntegrityError as error:
            told.add(error.code)
        else:  # dates, rights and names have no checksum
            assert set(found.values()) <= set(LIBRARIES.values())
    assert told == {"wheel-malformed"}


def test_a_member_without_a_name_is_told(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    wheel.write_bytes(_wheel(zipfile.ZIP_STORED).replace(b"a/lib0.so", b"\0" * 9))  # names end where a zero is

    with pytest.raises(IntegrityError, match="cannot be read"):
        LocalMembers(wheel)
