"""What a cache remembers has a checksum: any change of it is seen."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base.files import keep_file, read_kept
from dataloader.base.sealed import read_part, seal, skip_part, unseal


@given(st.binary(max_size=200))
def test_what_was_sealed_is_read_again(content: bytes) -> None:
    assert unseal(seal(content)) == content


@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_seen(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(content))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(ValueError, match="damaged"):
        unseal(bytes(sealed))


@given(st.binary(max_size=200), st.data())
def test_any_cut_and_anything_behind_is_seen(content: bytes, data: st.DataObject) -> None:
    sealed = seal(content)
    for other in (sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + data.draw(st.binary(min_size=1))):
        with pytest.raises(ValueError, match="damaged"):
            unseal(other)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4))
def test_parts_follow_each_other_and_can_be_passed_over(parts: list[bytes]) -> None:
    whole = b"".join(map(seal, parts))

    file = io.BytesIO(whole)
    assert [read_part(file) for _ in parts] == parts
    file = io.BytesIO(whole)
    for _ in parts[1:]:
        skip_part(file)
    assert read_part(file) == parts[-1]
    with pytest.raises(ValueError, match="cut off"):
        read_part(file)


def test_a_kept_file_is_read_until_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "below" / "kept"
    assert read_kept(path) is None
    assert keep_file(path, b"content") is None
    assert read_kept(path) == b"content"

    path.write_bytes(path.read_bytes().replace(b"n", b"m"))
    assert read_kept(path) is None
