"""Volumes that lack links of either kind, or make something else of them: true ones (FUSE, exFAT), and what runs there.

Also files that are removed while they are open, which stay under another name there, as on NFS.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataloader.base.errors import PrefixError
from dataloader.base.links import copy_where_links_lead, takes_symbolic_links
from dataloader.install.switch.generations import generations, prune, rollback, sync_generation
from dataloader.install.switch.line import names
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.volumes import volume
from tests.helpers.wheels import make_wheel


def lock_at(folder: Path, release: str) -> Lockfile:
    files: dict[str, str | bytes] = {"part/__init__.py": f"release = {release!r}\n", "part/data.bin": b"data" * 99}
    return lock_of(make_wheel(folder / "wheels", "part", release, files=files))


def release_of(prefix: Path) -> str:
    command = [str(prefix / "bin/python"), "-c", "import part; print(part.release)"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.strip()


def sync_root(lock: Lockfile, root: Path, cache: Path) -> Heard:
    heard = Heard()
    asyncio.run(sync_generation(lock, root, "train", options_for(cache), heard, FolderDownloads()))
    return heard


def sync(lock: Lockfile, prefix: Path, cache: Path) -> Heard:
    heard = Heard()
    asyncio.run(sync_prefix(lock, prefix, options_for(cache), heard, FolderDownloads()))
    return heard


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    if not shutil.which("mkfs.exfat") or not shutil.which("mount.exfat-fuse"):
        pytest.skip("exfat-fuse is not installed")
    folder.mkdir()
    image, mounted = folder / "image", folder / "volume"
    mounted.mkdir()
    with image.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    found = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, check=False)
    device = found.stdout.strip()
    command = ["mount.exfat-fuse", device, str(mounted)]
    if found.returncode or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not possible here")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.parametrize("kind", ["exfat", "fuse"])
def test_without_symbolic_links_the_name_is_the_environment(tmp_path: Path, kind: str) -> None:
    without = volume(tmp_path / "v", "no-symbolic-links", "no-hard-links")
    with exfat(tmp_path / "v") if kind == "exfat" else without as v:
        assert takes_symbolic_links(v / "envs") is False
        for release in ("1", "2"):
            heard = sync_root(lock_at(tmp_path, release), v / "envs", v)
            assert release_of(v / "envs/train") == release
            assert sum("has no symbolic links" in warning for warning in heard.warnings) == 1

        assert sync_root(lock_at(tmp_path, "2"), v / "envs", v).warnings == []  # nothing to do
        assert names(v / "envs") == ("train",)
        (only,) = generations(v / "envs", "train")
        assert only.is_current
        assert only.path == v / "envs/train"
        assert asyncio.run(prune(v / "envs", "train", Heard())) == ()
        with pytest.raises(PrefixError, match="is the environment itself"):
            asyncio.run(rollback(v / "envs", "train", Heard()))
        assert [path.name for path in (v / "envs").iterdir()] == ["train"]


@pytest.mark.parametrize("refusal", ["no-hard-links", "links-are-symbolic"])
def test_no_file_of_an_environment_is_a_link_into_the_cache(tmp_path: Path, refusal: str) -> None:
    """What the cache loses, environments keep."""
    channel = tmp_path / "channel"
    files: dict[str, str | bytes | Path] = {"lib/libx.so.1": b"x" * 999, "share/x/a.txt": "a"}
    make_conda_package(channel, "libx", "1.0", files=files, links={"lib/libx.so": "libx.so.1", "share/y": "x"})
    index_channel(channel)
    wheel = lock_at(tmp_path, "1")
    conda = lock_of(read_record(channel, "libx"))
    with volume(tmp_path / "v", refusal) as v:
        heard = sync_root(wheel, v / "envs", v)
        sync(conda, v / "conda", v)
        assert sum("copying instead" in warning for warning in heard.warnings) == 1
        shutil.rmtree(v / "cache")

        assert release_of(v / "envs/train") == "1"
        for place in (v / "envs/train/", v / "conda"):
            for path in place.rglob("*"):
                assert not path.is_symlink() or not str(path.readlink()).startswith(str(v / "cache"))
        assert (v / "conda/lib/libx.so").read_bytes() == b"x" * 999
        assert (v / "conda/share/y/a.txt").read_text() == "a"


def test_conda_packages_whose_links_a_volume_cannot_hold_are_named(tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    files: dict[str, str | bytes | Path] = {"lib/libx.so.1": b"x" * 999, "share/x/a.txt": "a"}
    make_conda_package(channel, "files", "1.0", files=files, links={"lib/libx.so": "libx.so.1"})
    make_conda_package(channel, "folders", "1.0", files={"share/z/a.txt": "a"}, links={"share/y": "z"})
    index_channel(channel)
    to_files, to_folders = lock_of(read_record(channel, "files")), lock_of(read_record(channel, "folders"))
    with volume(tmp_path / "v", "no-symbolic-links") as v:
        sync(to_files, v / "env", tmp_path)
        assert (v / "env/lib/libx.so").read_bytes() == b"x" * 999

        with pytest.raises(PrefixError) as refusal:
            sync(to_folders, v / "env", tmp_path)
        assert (refusal.value.code, refusal.value.causes) == (
            "volume-without-links",
            ("share/y of folders, which leads to z",),
        )
        with pytest.raises(PrefixError) as refusal:
            sync(to_files, tmp_path / "here", v)
        assert refusal.value.code == "volume-without-links"
        assert "DATALOADER_CACHE_DIR" in refusal.value.suggestions[0]
        assert (v / "env/lib/libx.so").read_bytes() == b"x" * 999


def test_what_was_open_when_it_was_removed_goes_later(tmp_path: Path) -> None:
    """The volume keeps such a file under another name, and with it the folder, until it is closed."""
    with volume(tmp_path / "v") as v:
        for release in ("1", "2"):
            sync_root(lock_at(tmp_path, release), v / "envs", v)
        first, line = generations(v / "envs", "train")[0].path, v / "envs/.generations/train"
        doomed = first.rename(line / ".old-0123456789ab")  # as `prune` does; here it would see who serves the volume
        with next(doomed.rglob("data.bin")).open("rb"):
            for _ in range(2):
                assert asyncio.run(prune(v / "envs", "train", Heard(), keep=0)) == ()
                sync_root(lock_at(tmp_path, "2"), v / "envs", v)
            assert doomed.is_dir()
        sync_root(lock_at(tmp_path, "2"), v / "envs", v)
        assert list(line.glob(".*")) == []

        sync(lock_at(tmp_path, "1"), v / "env", v)
        with next((v / "env").rglob("data.bin")).open("rb"):
            sync(lock_at(tmp_path, "2"), v / "env", v)
            assert len(list(v.glob(".env*"))) == 1
        sync(lock_at(tmp_path, "2"), v / "env", v)
        assert list(v.glob(".env*")) == []


def test_links_that_cannot_be_are_copies_of_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "lib/sub").mkdir(parents=True)
    (tmp_path / "lib/x.so.1").write_text("x")
    (tmp_path / "lib/sub/a").write_text("a")
    links = {"lib/x.so": "x.so.0", "lib/x.so.0": "x.so.1", "share": "lib/sub", "lib64": "lib", "bin": "/nowhere"}

    assert copy_where_links_lead(tmp_path, links) == ["bin"]

    assert (tmp_path / "lib/x.so").read_text() == "x"
    assert (tmp_path / "share/a").read_text() == "a"
    assert not (tmp_path / "lib64").exists()
