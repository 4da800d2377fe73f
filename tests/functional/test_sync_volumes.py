"""Volumes as they are: full, read-only, somebody else's, mounted at the prefix, without hard links, with clones."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from dataloader.base.errors import DiskFull, PrefixBusy, PrefixError
from dataloader.install.model import SyncResult
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.unchanged import fast_status, lock_digest
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.wheels import make_wheel

Mount = Callable[..., Path]

ENOUGH = 4
"""Steps of 128 KiB: room for the unpacked files and the tree (links take none); the archive is not written."""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a file system at a new directory; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount_it(*arguments: str, at: Path | None = None) -> Path:
        target = at or tmp_path / f"volume{len(mounted)}"
        target.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(target)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")
        mounted.append(target)
        return target

    yield mount_it
    for target in reversed(mounted):
        subprocess.run(["umount", "-l", target], check=True)


def sync(lock: Lockfile, prefix: Path, cache: Path, **options: object) -> tuple[SyncResult, Heard]:
    heard = Heard()
    return asyncio.run(sync_prefix(lock, prefix, options_for(cache, **options), heard, FolderDownloads())), heard


def lock_at(folder: Path, release: str, *, size: int = 1000) -> Lockfile:
    """A wheel that says its release, with ``size`` bytes that do not compress."""
    files: dict[str, str | bytes] = {"part/__init__.py": f"release = {release!r}\n", "part/data.bin": os.urandom(size)}
    points = {"console_scripts": {"part": "part:main"}}
    return lock_of(make_wheel(folder / "wheels", "part", release, files=files, entry_points=points))


def release_of(prefix: Path) -> str:
    command = [str(prefix / "bin/python"), "-c", "import part; print(part.release)"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.strip()


def beside(prefix: Path) -> list[str]:
    return [path.name for path in prefix.parent.glob(f".{prefix.name}*")]


@pytest.mark.parametrize("room", range(1, 9))
def test_full_volume_leaves_the_old_environment(tmp_path: Path, mount: Mount, room: int) -> None:
    """Step by step with more room: the volume fills up while unpacking, linking, or not at all."""
    volume = mount("-t", "tmpfs", "-o", "size=5m", "tmpfs")
    prefix = volume / "env"
    sync(lock_at(tmp_path, "1"), prefix, volume)
    free = shutil.disk_usage(volume).free
    (volume / "ballast").write_bytes(bytes(max(free - room * 128 * 1024, 0)))
    newer = lock_at(tmp_path, "2", size=350_000)

    with pytest.raises(DiskFull) if room < ENOUGH else nullcontext():
        sync(newer, prefix, volume)
    if room < ENOUGH:
        assert release_of(prefix) == "1"
        (volume / "ballast").unlink()
        sync(newer, prefix, volume)
    assert release_of(prefix) == "2"
    assert beside(prefix) == []
    assert not list((volume / "cache").rglob(".new-*"))


def test_read_only_volume(tmp_path: Path, mount: Mount) -> None:
    volume = mount("-t", "tmpfs", "tmpfs")
    prefix = volume / "env"
    lock = lock_at(tmp_path, "1")
    sync(lock, prefix, tmp_path, lock_digest=lock_digest(b"1"))
    subprocess.run(["mount", "-o", "remount,ro", volume], check=True)

    with pytest.raises(PrefixError) as refusal:
        sync(lock_at(tmp_path, "2"), prefix, tmp_path)

    assert refusal.value.code == "prefix-read-only"
    assert release_of(prefix) == "1"
    assert fast_status(prefix, b"1")
    assert not sync(lock, prefix, tmp_path, lock_digest=lock_digest(b"other bytes, same lock"))[0].changed


def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env/thesis.tex").write_text("years of work")

    with pytest.raises(PrefixError) as refusal:
        sync(lock_at(tmp_path, "1"), tmp_path / "env", tmp_path, adopt=True)

    assert refusal.value.code == "prefix-foreign"
    assert [path.name for path in (tmp_path / "env").iterdir()] == ["thesis.tex"]


def test_another_tools_environment_is_taken_over_only_when_asked(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (prefix / "mine.txt").write_text("keep")

    with pytest.raises(PrefixError) as refusal:
        sync(lock_at(tmp_path, "1"), prefix, tmp_path)
    assert refusal.value.code == "prefix-foreign"

    sync(lock_at(tmp_path, "1"), prefix, tmp_path, adopt=True)
    assert release_of(prefix) == "1"
    assert (prefix / "mine.txt").read_text() == "keep"


def test_file_at_the_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("a file")

    with pytest.raises(PrefixError):
        sync(lock_at(tmp_path, "1"), tmp_path / "env", tmp_path)


def test_link_at_the_prefix_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "env").symlink_to("real")

    for release in ("1", "2"):
        sync(lock_at(tmp_path, release), tmp_path / "env", tmp_path)
        assert release_of(tmp_path / "env") == release

    assert (tmp_path / "env").is_symlink()


def test_volume_mounted_at_the_prefix(tmp_path: Path, mount: Mount) -> None:
    prefix = mount("-t", "tmpfs", "tmpfs", at=tmp_path / "env")
    lock = lock_at(tmp_path, "1")
    sync(lock, prefix, tmp_path, lock_digest=lock_digest(b"1"))
    (prefix / "mine.txt").write_text("keep")

    _, heard = sync(lock_at(tmp_path, "2"), prefix, tmp_path)

    assert release_of(prefix) == "2"
    assert (prefix / "mine.txt").read_text() == "keep"
    assert [path.name for path in (prefix / ".dataloader").iterdir()] == ["state.json"]
    assert len(heard.warnings) == 1  # that files are copied, from the cache on another volume


@pytest.mark.parametrize("steps", range(12))
def test_switch_of_a_mounted_prefix_is_finished_after_a_kill(
    tmp_path: Path, mount: Mount, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = mount("-t", "tmpfs", "tmpfs", at=tmp_path / "env")
    sync(lock_at(tmp_path, "1"), prefix, tmp_path)
    left = steps
    rename = os.rename

    def stop_after(*arguments: str) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        rename(*arguments)

    newer = lock_at(tmp_path, "2")
    with monkeypatch.context() as patch:
        patch.setattr("dataloader.install.switch.exchange.os.rename", stop_after)
        try:
            sync(newer, prefix, tmp_path)
        except KeyboardInterrupt:
            assert not fast_status(prefix, b"1")

    sync(newer, prefix, tmp_path)

    assert release_of(prefix) == "2"
    assert [path.name for path in (prefix / ".dataloader").iterdir()] == ["state.json"]


def test_volume_mounted_inside_the_prefix_is_not_touched(tmp_path: Path, mount: Mount) -> None:
    prefix = tmp_path / "env"
    sync(lock_at(tmp_path, "1"), prefix, tmp_path)
    data = mount("-t", "tmpfs", "tmpfs", at=prefix / "data")
    (data / "precious").touch()

    with pytest.raises(PrefixError) as refusal:
        sync(lock_at(tmp_path, "2"), prefix, tmp_path)

    assert refusal.value.code == "prefix-has-mounts"
    assert (data / "precious").exists()


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_volumes_of_clusters(tmp_path: Path, mount: Mount, kind: str) -> None:
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"mkfs.{kind} is not installed")
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(350 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
    volume = mount("-o", "loop", str(image))

    for release in ("1", "2", "1"):
        _, heard = sync(lock_at(tmp_path, release), volume / "env", volume)
        assert release_of(volume / "env") == release
        assert heard.warnings == []
    assert beside(volume / "env") == []


def test_clones_serve_where_links_do_not(tmp_path: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("mkfs.btrfs"):
        pytest.skip("mkfs.btrfs is not installed")
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(200 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
    volume = mount("-o", "loop", str(image))
    for name in ("cache", "envs"):  # between subvolumes there are clones but no links
        subprocess.run(["btrfs", "subvolume", "create", str(volume / name)], check=True, capture_output=True)

    _, heard = sync(lock_at(tmp_path, "1"), volume / "envs" / "env", volume)

    assert release_of(volume / "envs" / "env") == "1"
    assert heard.warnings == []


@pytest.mark.waits
def test_fuse_volume_without_links(tmp_path: Path) -> None:
    if not shutil.which("rclone") or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("rclone or /dev/fuse is missing")
    behind, volume = tmp_path / "behind", tmp_path / "volume"
    behind.mkdir()
    volume.mkdir()
    command = ["rclone", "mount", str(behind), str(volume), "--vfs-cache-mode", "full", "--file-perms", "0777"]
    command += ["--cache-dir", str(tmp_path / "vfs"), "--vfs-write-back", "1s", "--config", "/dev/null"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if os.path.ismount(volume):
                break
            time.sleep(0.1)
        else:
            pytest.skip("rclone cannot mount here")
        for release in ("1", "2"):
            _, heard = sync(lock_at(tmp_path, release), volume / "env", volume)
            assert release_of(volume / "env") == release
            assert len(heard.warnings) <= 2
        assert beside(volume / "env") == []
        time.sleep(3)  # what was removed while it was on its way would arrive by now
        assert beside(behind / "env") == []
        assert list(behind.glob("cache/wheels/*/.*")) == []
    finally:
        subprocess.run(["umount", "-l", volume], check=False, capture_output=True)
        server.terminate()
        server.wait()


def test_busy_prefix_is_said_after_waiting(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path / "env", tmp_path)
    from dataloader.install.switch.lease import Lease

    async def collide() -> None:
        async with Lease(tmp_path / ".env.dataloader-lease", "env", Heard(), 5):
            options = options_for(tmp_path, wait_seconds=0.3)
            await sync_prefix(lock_at(tmp_path, "2"), tmp_path / "env", options, Heard(), FolderDownloads())

    with pytest.raises(PrefixBusy) as refusal:
        asyncio.run(collide())

    assert f"process {os.getpid()}" in refusal.value.message
    assert beside(tmp_path / "env") == []


@pytest.mark.parametrize("durable", [True, False])
def test_power_loss_after_a_durable_sync_leaves_a_whole_environment(
    tmp_path: Path, mount: Mount, *, durable: bool
) -> None:
    """A copy of a mounted volume's image is what a power loss leaves on its disk."""
    image, copy = tmp_path / "image", tmp_path / "copy"
    with image.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    volume = mount("-o", "loop,commit=300", str(image))
    sync(lock_at(tmp_path, "1"), volume / "env", volume, durable=True)
    lock = lock_at(tmp_path, "2")
    sync(lock, volume / "env", volume, durable=durable)
    # Somebody else's fsync commits the journal, and with it the switch; of our files only what was flushed is there.
    handle = os.open(volume / "other", os.O_CREAT | os.O_WRONLY)
    os.fsync(handle)
    os.close(handle)

    subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
    after = mount("-o", "loop", str(copy))

    code = after / "env" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "part" / "__init__.py"
    # Not durable, the volume has the new environment's names without their content: what the flush is there for.
    assert code.read_text() == ("release = '2'\n" if durable else "")
    sync(lock, after / "env", after)
    assert release_of(after / "env") == "2"
