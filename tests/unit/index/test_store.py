from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.store import IndexStore, StoredPage

FILES = (
    IndexFile(name="foo", version="1.0", filename="foo-1.0.zip", url="https://h/foo-1.0.zip", index="i"),
    IndexFile(
        name="foo",
        version="1.1",
        filename="foo-1.1-py3-none-any.whl",
        url="https://h/é/foo-1.1-py3-none-any.whl",
        sha256="a" * 64,
        size=0,
        requires_python=">=3.8",
        yanked=True,
        yanked_reason="a reason",
        upload_time="2024-01-01T00:00:00Z",
        metadata_sha256="",
        index="i",
    ),
    IndexFile(name="foo", version="1.2", filename="foo-1.2.zip", url="u", yanked=True, metadata_sha256="b", index="i"),
)
METADATA = WheelMetadata(name="foo", version="1.1", requires_dist=("é>=1",), requires_python=None, extras=("x",))


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index", Reporter())


@pytest.mark.parametrize("files", [(), FILES[:1], FILES])
def test_a_page_comes_back_as_it_was_stored(store: IndexStore, files: tuple[IndexFile, ...]) -> None:
    store.save_page("u", StoredPage(files=files, age=0, etag='"e"', last_modified="m", max_age=5, found=bool(files)))

    page = store.load_page("u")

    assert page is not None
    assert page.files == files
    assert (page.etag, page.last_modified, page.max_age, page.found) == ('"e"', "m", 5, bool(files))
    assert page.age < 60


def test_a_confirmed_page_is_young_again(store: IndexStore, tmp_path: Path) -> None:
    store.save_page("u", StoredPage(files=FILES, age=0))
    (path,) = (tmp_path / "index" / "pages").iterdir()
    os.utime(path, (1, 1))
    before = store.load_page("u")

    store.confirm_page("u")

    after = store.load_page("u")
    assert before is not None
    assert after is not None
    assert before.age > 1e9
    assert after.age < 60


def test_metadata_and_digests_come_back(store: IndexStore) -> None:
    store.save_metadata("key", METADATA)
    store.save_digest("url", "abc")

    assert store.load_metadata("key") == METADATA
    assert store.load_digest("url") == "abc"
    assert store.load_metadata("other") is None


def test_no_flipped_bit_of_an_entry_goes_unseen(store: IndexStore, tmp_path: Path) -> None:
    store.save_page("u", StoredPage(files=FILES, age=0, etag="e"))
    store.save_metadata("key", METADATA)
    (page,) = (tmp_path / "index" / "pages").iterdir()
    (metadata,) = (path for path in (tmp_path / "index" / "metadata").rglob("*") if path.is_file())

    for path, load, good in ((page, store.load_page, "u"), (metadata, store.load_metadata, "key")):
        whole = path.read_bytes()
        first = whole.index(b"\n") + 1
        for at in range(first, len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert load(good) is None
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert load(good) is None


def test_a_cache_that_cannot_be_written_is_said_once_and_is_no_error(tmp_path: Path) -> None:
    lines: list[str] = []

    class Listening(Reporter):
        def debug(self, message: str) -> None:
            lines.append(message)

    (tmp_path / "index").write_text("a file where the directory should be")
    store = IndexStore(tmp_path / "index", Listening())

    store.save_digest("a", "b")
    store.save_digest("c", "d")

    assert store.load_digest("a") is None
    assert len(lines) == 1
    assert str(tmp_path / "index") in lines[0]
