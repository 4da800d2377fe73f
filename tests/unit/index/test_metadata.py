from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.base.errors import IntegrityError
from dataloader.index.wheels.metadata import Tail, directory_start, extract, find_member, parse_metadata
from dataloader.index.wheels.on_disk import read_metadata
from tests.helpers.wheels import make_metadata, make_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    files = {f"my_pkg/m{number}.py": "pass\n" * number for number in range(40)}
    return make_wheel(tmp_path_factory.mktemp("w"), "My-Pkg", "1.0", requires=["a>=1"], files=files).read_bytes()


TEXT = make_metadata("My-Pkg", "1.0", requires=["a>=1"]).encode()


def test_metadata_comes_from_the_end_of_a_wheel(wheel: bytes) -> None:
    tail = Tail(data=wheel[-1500:], start=len(wheel) - 1500)

    member = find_member(tail, "my-pkg")

    assert member is not None
    assert directory_start(tail) < tail.start
    assert extract(member, wheel[member.start : member.stop]) == TEXT


def test_a_tail_too_short_says_so_and_never_lies(wheel: bytes) -> None:
    for length in range(22, len(wheel)):
        member = find_member(Tail(data=wheel[-length:], start=len(wheel) - length), "my-pkg")
        if member is not None:
            assert extract(member, wheel[member.start : member.stop]) == TEXT
    assert member is not None


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_members_are_read(tmp_path: Path, compression: int) -> None:
    path = make_wheel(tmp_path, "my-pkg", "1.0", requires=["a>=1"], compression=compression)

    assert read_metadata(path, "my-pkg") == make_metadata("my-pkg", "1.0", requires=["a>=1"]).encode()


def test_a_nested_wheel_is_not_taken_for_the_wheel(tmp_path: Path) -> None:
    inner = make_wheel(tmp_path / "in", "other", "9", compression=zipfile.ZIP_STORED).read_bytes()
    path = make_wheel(tmp_path, "my-pkg", "1.0", files={"my_pkg/w.whl": inner}, compression=zipfile.ZIP_STORED)

    assert read_metadata(path, "my-pkg").startswith(b"Metadata-Version: 2.1\nName: my-pkg\n")


def test_a_long_directory_is_read_whole_when_metadata_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "my_pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("my_pkg-1.0.dist-info/METADATA", TEXT)
        for number in range(2000):
            archive.writestr(f"my_pkg/a_rather_long_name_of_a_module_{number}.py", "")

    assert read_metadata(path, "my-pkg") == TEXT


def test_offsets_beyond_four_gigabytes_are_read_from_zip64_fields() -> None:
    far = (5 << 30) + 17
    name = b"my_pkg-1.0.dist-info/METADATA"
    extra = struct.pack("<2HQ", 1, 8, far)
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\1\2", 45, 3, 45, 0, 0, 0, 0, 0, 7, 9, 9, len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF
    )
    directory = entry + name + extra
    start = far + 200
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)

    member = find_member(Tail(data=directory + end64 + locator + end, start=start), "my-pkg")

    assert member is not None
    assert member.start == far


@settings(deadline=None)
@given(st.data())
def test_a_flipped_byte_is_an_integrity_error_or_changes_nothing(wheel: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(len(wheel) - 1500, len(wheel) - 1))
    broken = bytearray(wheel)
    broken[at] ^= data.draw(st.integers(1, 255))
    tail = Tail(data=bytes(broken), start=0)

    with suppress(IntegrityError):
        member = find_member(tail, "my-pkg")
        if member is not None:
            assert extract(member, tail.data[member.start :]) in {None, TEXT}


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06"])
def test_what_is_no_zip_file_is_malformed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my_pkg-1.0-py3-none-any.whl"
    path.write_bytes(content)

    with pytest.raises(IntegrityError) as caught:
        read_metadata(path, "my-pkg")

    assert caught.value.code == "wheel-malformed"


def test_a_wheel_without_metadata_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "my_pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("my_pkg.py", "")

    with pytest.raises(IntegrityError, match="has no METADATA of my-pkg"):
        read_metadata(path, "my-pkg")


def test_a_member_that_claims_gigabytes_is_not_unpacked() -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("my_pkg-1.0.dist-info/METADATA", bytes(40 << 20))
    data = memory.getvalue()
    member = find_member(Tail(data=data, start=0), "my-pkg")

    assert member is not None
    with pytest.raises(IntegrityError, match="claims"):
        extract(member, data)


def test_the_header_is_read_to_the_first_empty_line() -> None:
    text = (
        b"Metadata-Version: 2.1\r\nname: My_Pkg\r\nVersion: 1.0.0\r\nRequires-Dist: a>=1\r\n"
        b"requires-dist: b;\r\n   extra == 'x'\r\nProvides-Extra: x\r\nRequires-Python: >=3.8\r\n"
        b"\r\nRequires-Dist: no\r\n"
    )

    metadata = parse_metadata(text, project="my-pkg", version="1.0")

    assert metadata.requires_dist == ("a>=1", "b; extra == 'x'")
    assert (metadata.name, metadata.version) == ("my-pkg", "1.0")
    assert (metadata.requires_python, metadata.extras) == (">=3.8", ("x",))


@pytest.mark.parametrize(
    "text", [b"", b"Name: my-pkg\n", b"Name: other\nVersion: 1.0\n", b"Name: my-pkg\nVersion: 2\n"]
)
def test_metadata_of_something_else_is_malformed(text: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_metadata(text, project="my-pkg", version="1.0")

    assert caught.value.code == "wheel-malformed"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_fields_after_a_licence_with_blank_continuation_lines_are_read(newline: str) -> None:
    lines = [
        "Metadata-Version: 2.4",
        "Name: my-pkg",
        "Version: 1.0",
        "License: Copyright",
        "        All rights reserved.",
        "        ",
        "        1. Redistribution: \x0c is permitted.",
        "\t",
        "Requires-Dist: other>=1",
        "",
        "Requires-Dist: of-the-body",
    ]

    metadata = parse_metadata(newline.join(lines).encode(), project="my-pkg", version="1.0")

    assert metadata.requires_dist == ("other>=1",)


@given(
    st.lists(st.sampled_from(["", " ", "\t", "  text", "Requires-Dist: a", "License: x", "no field", "\x0c", "\u2028"]))
)
def test_the_header_ends_where_the_email_parser_says(lines: list[str]) -> None:
    from email.parser import Parser

    text = "\n".join(["Name: my-pkg", "Version: 1.0", "Summary: s", *lines])
    expected = Parser().parsestr(text, headersonly=True).get_all("Requires-Dist", [])

    found = parse_metadata(text.encode(), project="my-pkg", version="1.0").requires_dist

    assert [value.split()[0] for value in found] == [value.split()[0] for value in expected]
