"""Members of archives: as zipfile reads them, by either inflater; what is damaged or contradicts itself is refused."""

from __future__ import annotations

import os
import random
import zipfile
import zlib
from pathlib import Path

import pytest

from dataloader.install.store import inflate
from dataloader.install.store.inflate import read_member


@pytest.fixture(params=["installed", "zlib"], autouse=True)
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setattr(inflate, "_decompressor", inflate._ZlibDecompressor)
        monkeypatch.setattr(inflate, "_Damaged", zlib.error)
        monkeypatch.setattr(inflate, "checksum", zlib.crc32)


def archive_of(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read_all(path: Path) -> dict[str, bytes]:
    with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        return {info.filename: b"".join(read_member(archive, stream.fileno(), info)) for info in archive.infolist()}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_content_is_what_was_put_in(tmp_path: Path, compression: int) -> None:
    chance = random.Random(1)
    text = b"".join(b"%d\n" % chance.randrange(10**9) for _ in range(100_000))
    members = {"empty": b"", "text": text, "zeros": bytes(20_000_000), "noise": os.urandom(700_000), "naïve": b"x"}

    assert read_all(archive_of(tmp_path, members, compression)) == members


@pytest.mark.parametrize("more", [-258, -1, 0, 1, 257, 258])
def test_content_that_ends_near_a_full_block(tmp_path: Path, more: int) -> None:
    members = {"once": bytes((4 << 20) + more), "twice": b"ab" * ((4 << 20) + more)}

    assert read_all(archive_of(tmp_path, members)) == members


def test_archive_behind_something_else(tmp_path: Path) -> None:
    path = archive_of(tmp_path, {"a": b"content" * 100})
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())

    assert read_all(path) == {"a": b"content" * 100}


@pytest.mark.parametrize("position", [40, 300, 5_000])
def test_flipped_bits_are_seen(tmp_path: Path, position: int) -> None:
    path = archive_of(tmp_path, {"a": bytes(random.Random(2).choices(b"abcdefgh", k=50_000))})
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)

    with pytest.raises((zipfile.BadZipFile, EOFError)):
        read_all(path)


def test_two_names_for_one_member_are_refused(tmp_path: Path) -> None:
    """Readers that trust one of them would see another archive than those that trust the other."""
    path = archive_of(tmp_path, {"good.py": b"x = 1\n" * 10})
    path.write_bytes(path.read_bytes().replace(b"good.py", b"evil.py", 1))

    with pytest.raises(zipfile.BadZipFile):
        read_all(path)


def test_size_that_is_a_lie_is_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path, {"a": b"content" * 100})
    with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        (info,) = archive.infolist()
        info.file_size -= 1

        with pytest.raises(zipfile.BadZipFile):
            list(read_member(archive, stream.fileno(), info))
        info.compress_size -= 5
        with pytest.raises(EOFError):
            list(read_member(archive, stream.fileno(), info))
