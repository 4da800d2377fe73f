"""A tree whose files were linked elsewhere is what it was; one that was written is not, whatever its times say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.prefix.walk import walk
from dataloader.verify.memory.relinked import Stamps, is_relinked, stamps_of


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = tmp_path / "env"
    (prefix / "lib").mkdir(parents=True)
    for name in ("a.py", "b.py", "libc.so.1"):
        (prefix / "lib" / name).write_text(name)
    (prefix / "lib" / "libc.so").symlink_to("libc.so.1")
    (prefix / "lib" / "nowhere").symlink_to("gone")
    return prefix


def _now(prefix: Path) -> tuple[str, Stamps]:
    tree = walk(prefix).seal()
    return tree.digest, stamps_of(tree)


def test_links_that_are_made_or_removed_change_nothing(prefix: Path, tmp_path: Path) -> None:
    digest, before = _now(prefix)
    for name in ("a.py", "libc.so.1"):
        os.link(prefix / "lib" / name, tmp_path / name)
    other, linked = _now(prefix)
    assert other != digest
    assert is_relinked(before, linked)
    (tmp_path / "a.py").unlink()
    assert is_relinked(linked, _now(prefix)[1])


def _written(file: Path) -> None:
    before = file.stat()
    file.write_text("b.px")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _grown(file: Path) -> None:
    file.write_text("longer than it was")


def _replaced(file: Path) -> None:
    file.unlink()
    file.write_text("b.py")


def _added(file: Path) -> None:
    file.with_name("c.py").write_text("")


def _retargeted(file: Path) -> None:
    link = file.with_name("libc.so")
    link.unlink()
    link.symlink_to("a.py")


@pytest.mark.parametrize("change", [_written, _grown, _replaced, _added, _retargeted, Path.unlink])
def test_every_other_change_is_one(prefix: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    _, before = _now(prefix)
    os.link(prefix / "lib" / "a.py", tmp_path / "a.py")
    change(prefix / "lib" / "b.py")
    assert not is_relinked(before, _now(prefix)[1])


def test_what_was_not_kept_is_no_proof(prefix: Path) -> None:
    _, now = _now(prefix)
    assert not is_relinked(Stamps(now.content, b""), now)
