"""What kind of file system a folder lies on, and who is asked whether it writes back late."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.install.switch import settle as settle_module
from dataloader.install.switch.exchange import carry_over
from dataloader.install.switch.mounts import file_system, mounts
from dataloader.install.switch.settle import settle
from dataloader.install.tree.linking import Linker


def test_the_nearest_mount_tells(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")

    assert file_system(Path("/proc/self")) == file_system(tmp_path / "link") == mounts()["/proc"] == "proc"
    assert file_system(Path("/")) == mounts()["/"]


def test_names_are_read_as_the_kernel_escapes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = r"36 35 98:0 / /mnt/a\040b\134c rw,noatime master:1 - fuse.rclone remote:\040x rw"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"{line} - x\n")

    assert mounts() == {"/mnt/a b\\c": "fuse.rclone"}
    assert file_system(Path("/mnt/a b\\c/d/e")) == "fuse.rclone"
    assert file_system(Path("/mnt/a")) is None


@pytest.mark.parametrize(("kind", "scouts"), [("ext4", 0), ("fuse.rclone", 1), (None, 1)])
def test_only_a_volume_that_may_write_back_late_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, scouts: int
) -> None:
    sent: list[Path] = []
    send = settle_module._Scouts.send

    def note(self: settle_module._Scouts) -> Path:
        sent.append(self.folder)
        return send(self)

    monkeypatch.setattr(settle_module, "file_system", lambda _: kind)
    monkeypatch.setattr(settle_module._Scouts, "send", note)
    (tmp_path / "folder").mkdir()

    assert asyncio.run(settle(tmp_path / "folder", Reporter())) == {}
    assert len(sent) == scouts
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_bytecode_goes_along_only_where_its_source_is_the_same(tmp_path: Path) -> None:
    """Also where times and sizes say that it is: some volumes, and some packers, keep no times."""
    linker = Linker(Reporter(), "here")
    for tree, release in (("old", "1"), ("new", "2")):
        for module in ("changed", "same"):
            (tmp_path / tree / "__pycache__").mkdir(parents=True, exist_ok=True)
            path = tmp_path / tree / f"{module}.py"
            path.write_text(release if module == "changed" else "s")
            os.utime(path, (1, 1))
            if tree == "old":
                (tmp_path / tree / f"__pycache__/{module}.cpython-311.pyc").write_bytes(b"code")

    assert carry_over(tmp_path / "old", tmp_path / "new", {"changed.py", "same.py"}, linker) == 1

    assert [path.name for path in (tmp_path / "new/__pycache__").iterdir()] == ["same.cpython-311.pyc"]
