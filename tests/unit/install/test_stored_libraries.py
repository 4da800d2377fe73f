"""What a stored wheel says of its libraries before they are linked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dataloader.base.digests import LARGE, hex_digest, record_digest
from dataloader.install.store.recipe import Recipe, StoredFile
from dataloader.install.store.store import StoredWheel


def stored(folder: Path, *names: str) -> StoredWheel:
    """A wheel of these files, each of which holds its own name."""
    files = []
    for name in names:
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        status = path.stat()
        digest = record_digest(path)
        files.append(StoredFile("platlib", name, name, digest, status.st_size, status.st_mtime_ns, False))
    recipe = Recipe(
        name="pkg", version="1.0", dist_info="d", root_scheme="platlib", files=tuple(files), entry_points=()
    )
    return StoredWheel(sha256="0" * 64, layer=folder, files=folder / "files", recipe=recipe)


def test_libraries_are_named_with_their_hashes(tmp_path: Path) -> None:
    wheel = stored(tmp_path, "pkg/_x.abi3.so", "pkg.libs/libx-1.so.2.3", "pkg/__init__.py", "pkg/x.so.txt")

    assert dict(wheel.libraries()) == {
        str(path): hex_digest(path) for path in (wheel.files / "pkg/_x.abi3.so", wheel.files / "pkg.libs/libx-1.so.2.3")
    }


def test_nothing_is_said_of_what_was_changed_or_is_gone(tmp_path: Path) -> None:
    wheel = stored(tmp_path, "same.so", "longer.so", "later.so", "gone.so")
    (wheel.files / "longer.so").write_text("longer than it was")
    before = (wheel.files / "later.so").stat()
    os.utime(wheel.files / "later.so", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    (wheel.files / "gone.so").unlink()

    assert [Path(path).name for path, _ in wheel.libraries()] == ["same.so"]


def test_what_only_record_vouches_for_speaks_for_no_other_package(tmp_path: Path) -> None:
    """RECORD may give a large library the digest of another one."""
    wheel = stored(tmp_path, "pkg/libx.so")
    (file,) = wheel.recipe.files
    other = replace(wheel, sha256="1" * 64)
    large = file._replace(size=LARGE + 1, crc=7)

    assert wheel.key_of(file) == other.key_of(file) == hex_digest(wheel.files / "pkg/libx.so")
    keys = {wheel.key_of(large), other.key_of(large), other.key_of(large._replace(source="pkg/liby.so"))}
    assert len({*keys, wheel.key_of(file)}) == 4
    assert all(len(key) == 64 for key in keys)
