"""Archives unpacked while they come: exactly as zipfile reads them, or not at all."""

from __future__ import annotations

import errno
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataloader.install.store.behind import Workers
from dataloader.install.store.member import MemberFile
from dataloader.install.store.zip_stream import ZipStream

CHANCE = random.Random(7)
TEXT = b"".join(b"%d\n" % CHANCE.randrange(10**9) for _ in range(30_000))
MEMBERS = {
    "empty": b"",
    "a/text": TEXT,
    "a/b/zeros": bytes(9_000_000),
    "noise": CHANCE.randbytes(700_000),
    "naïve": b"x",
    **{f"many/{number}": b"%d" % number for number in range(300)},
}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Unseekable(io.RawIOBase):
    """What a pipe is to zipfile: sizes come behind the members."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def unpacked(archive: bytes, root: Path, pool: ThreadPoolExecutor, sizes: Callable[[], int]) -> dict[str, bytes] | None:
    root.mkdir()
    stream = ZipStream(os.fspath(root), pool, Workers(CHANCE.choice([1, -1])))  # left to the pool, or not
    position = 0
    while position < len(archive):
        size = sizes()
        # The buffer is used again, as that of a download is.
        buffer = bytearray(archive[position : position + size])
        stream.feed(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
        position += size
    found = stream.finish()
    stream.close()
    if found is None:
        return None
    assert set(found) == {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    contents = {name: (root / name).read_bytes() for name in found}
    assert [each.size for each in found.values()] == [len(content) for content in contents.values()]
    return contents


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("most", [97, 5_000, 300_000, 1 << 24])
def test_content_is_what_was_put_in(tmp_path: Path, pool: ThreadPoolExecutor, compression: int, most: int) -> None:
    members = MEMBERS if most > 1_000 else {name: content[:3_000] for name, content in MEMBERS.items()}

    assert unpacked(packed(members, compression), tmp_path / "x", pool, lambda: CHANCE.randint(1, most)) == members


@pytest.mark.parametrize("more", [-258, -1, 0, 1, 257, 258])
def test_content_that_ends_near_a_full_block(tmp_path: Path, pool: ThreadPoolExecutor, more: int) -> None:
    members = {"once": bytes((4 << 20) + more), "twice": b"ab" * ((4 << 20) + more)}

    assert unpacked(packed(members), tmp_path / "x", pool, lambda: 1 << 18) == members


@pytest.mark.parametrize("is_large", [False, True])
def test_sizes_behind_the_members(tmp_path: Path, pool: ThreadPoolExecutor, is_large: bool) -> None:
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            with archive.open(name, "w", force_zip64=is_large) as member:
                member.write(content)

    assert unpacked(bytes(pipe.content), tmp_path / "x", pool, lambda: CHANCE.randint(1, 30_000)) == MEMBERS


def test_sizes_of_eight_bytes_and_a_comment(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"comment " * 1_000
        with archive.open("a", "w", force_zip64=True) as member:
            member.write(TEXT)

    assert unpacked(stream.getvalue(), tmp_path / "x", pool, lambda: 10_000) == {"a": TEXT}


def test_programs_can_be_run_and_folders_are_not_files(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        for name, mode in (("run", 0o100755), ("read", 0o100644), ("link", 0o120777)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"true")

    assert unpacked(stream.getvalue(), tmp_path / "x", pool, lambda: 7) is not None
    assert {name: os.access(tmp_path / "x" / name, os.X_OK) for name in ("run", "read", "link")} == {
        "run": True,
        "read": False,
        "link": False,
    }


def _renamed_in_directory(archive: bytes) -> bytes:
    where = archive.rindex(b"noise")
    return archive[:where] + b"nOise" + archive[where + 5 :]


def _unlisted(archive: bytes) -> bytes:
    """One more member than the directory names, before all others."""
    more = packed({"more": b"more"})
    more = more[: more.index(b"PK\1\2")]
    end = bytearray(archive)
    count, size, start = struct.unpack("<HLL", end[-12:-2])
    end[-12:-2] = struct.pack("<HLL", count, size, start + len(more))
    position = start
    for _ in range(count):
        (offset,) = struct.unpack_from("<L", end, position + 42)
        struct.pack_into("<L", end, position + 42, offset + len(more))
        position += 46 + sum(struct.unpack_from("<3H", end, position + 28))
    return more + bytes(end)


def _of_two_names(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("aaaaaaaaaa", b"one")
        archive.writestr("a", b"two")
    return stream.getvalue().replace(b"a" * 10, name.encode().rjust(10, b"a"))


def _encrypted(archive: bytes) -> bytes:
    found = bytearray(archive)
    found[6] |= 1
    return bytes(found)


def _of_a_version_to_come(archive: bytes) -> bytes:
    found = bytearray(archive)
    struct.pack_into("<H", found, found.index(b"PK\1\2") + 6, 200)
    return bytes(found)


UNUSUAL = {
    "a directory longer than itself": packed(MEMBERS)[:-10] + b"\xff\xff\xff\x7f" + packed(MEMBERS)[-6:],
    "a version to come": _of_a_version_to_come(packed(MEMBERS)),
    "something before it": b"#!/bin/sh\n" + packed(MEMBERS),
    "another name in its directory": _renamed_in_directory(packed(MEMBERS)),
    "a member that its directory does not name": _unlisted(packed(MEMBERS)),
    "a path that leads out": _of_two_names("/../../out"),
    "an absolute path": _of_two_names("/etc/aaaaa"),
    "a file as a folder": _of_two_names("a/aaaaaaaa"),
    "encrypted": _encrypted(packed(MEMBERS)),
    "another method": packed(MEMBERS, zipfile.ZIP_BZIP2),
    "no archive": TEXT,
    "nothing": b"",
    "cut off": packed(MEMBERS)[:-5_000],
    "cut off in its directory": packed(MEMBERS)[:-40],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_left_to_who_has_it_whole(tmp_path: Path, pool: ThreadPoolExecutor, name: str) -> None:
    assert unpacked(UNUSUAL[name], tmp_path / "x", pool, lambda: 10_000) is None
    assert {path.name for path in tmp_path.iterdir()} == {"x"}


def test_the_archive_with_one_member_more_is_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(UNUSUAL["a member that its directory does not name"])

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(MEMBERS)


def test_damage_anywhere_never_passes_for_something_else(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    members = {"a": TEXT[:2_000], "b/c": b"c" * 500, "stored": CHANCE.randbytes(300)}
    archive = packed(members)
    refused = 0
    for number in range(400):
        damaged = bytearray(archive)
        damaged[CHANCE.randrange(len(damaged))] ^= 1 << CHANCE.randrange(8)
        found = unpacked(bytes(damaged), tmp_path / str(number), pool, lambda: CHANCE.randint(1, 900))
        if found is None:
            refused += 1
        else:  # the damage is in a date, a mode or a version
            with zipfile.ZipFile(io.BytesIO(damaged)) as opened:
                assert found == {name: opened.read(name) for name in opened.namelist()} == members

    assert 250 < refused < 400


@pytest.mark.parametrize("processors", [1, -1])
def test_a_full_disk_is_said(
    tmp_path: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    def full(self: MemberFile, block: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(MemberFile, "write", full)
    (tmp_path / "x").mkdir()
    stream = ZipStream(os.fspath(tmp_path / "x"), pool, Workers(processors))

    def take() -> None:
        stream.feed(packed(MEMBERS))
        stream.finish()

    with pytest.raises(OSError, match="No space left"):
        take()
    stream.feed(b"what comes behind")  # a download hands on what it has, whatever became of the rest
    if processors == -1:
        assert stream.finish() is None
    stream.close()
