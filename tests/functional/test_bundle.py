"""A bundle made with a network, installed in a network namespace without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest

from dataloader.base.errors import IntegrityError
from dataloader.bundle.tar import opened
from dataloader.cli.clusters.bundle import _aside
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow


def without_network() -> list[str]:
    """Words before a command that take the network away; none where this machine does not let us."""
    words = [shutil.which("unshare") or "", "--user", "--map-root-user", "--net"]
    if words[0] and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        return words
    return []


class Place:
    """A machine: its own folder and cache."""

    def __init__(self, here: Path, index: str) -> None:
        self.here, self.index = here, index
        here.mkdir()

    def environ(self) -> dict[str, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "DATALOADER_"))}
        return environ | {"DATALOADER_INDEX_URL": self.index, "DATALOADER_CACHE_DIR": f"{self.here}/cache"}

    def run(
        self,
        *words: str | Path,
        code: int = 0,
        before: list[str] | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        environ = {**self.environ(), **more}
        if before:
            command = [*before, sys.executable, "-m", "dataloader", *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=self.here, env=environ, check=False)
        else:
            done = run_command(*map(str, words), cwd=self.here, env=environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    def installed(self, prefix: str | Path) -> dict[str, str]:
        return {p["name"]: p["version"] for p in json.loads(self.run("list", "-p", prefix, "--json"))["packages"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A bundle of both worlds, with the program; where it was made is gone by the time it is installed."""
    folder = tmp_path_factory.mktemp("made")
    make_wheel(folder / "shelf", "app", "1.0", requires=["lib"], files={"app.py": "import lib\n"})
    make_wheel(folder / "shelf", "lib", "1.5", files={"lib.py": "V = 1\n"})
    channel = folder / "channel"
    make_python_package(channel)
    make_conda_package(channel, "alpha", "1.0", depends=["beta"], files={"share/a": "a"})
    make_conda_package(channel, "beta", "1.2", noarch="generic", format="tar.bz2", files={"share/b": "b"})
    index_channel(channel)
    with IndexServer(folder / "shelf") as index:
        place = Place(folder / "here", index.index_url)
        place.run("lock", "--conda", "always", "-c", channel.as_uri(), "conda:alpha", "conda:python", "app")
        place.run("bundle", "-o", folder / "env.tar.zst")
        place.run("bundle", "-o", folder / "again.tar.zst", "--no-program")
        place.run("bundle", "-o", folder / "third.tar.zst", "--no-program")
        if shutil.which("mksquashfs"):
            place.run("bundle", "-o", folder / "env.squashfs", "--no-program")
            place.run("bundle", "-o", folder / "again.squashfs", "--no-program")
    shutil.rmtree(channel)
    return place, folder


def unpacked(bundle: Path, folder: Path) -> Path:
    """What `tar --zstd -xf` makes of it."""
    import tarfile

    import zstandard

    with (
        bundle.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        tar.extractall(folder, filter="data")
    return folder


def test_a_bundle_is_installed_without_a_network(made: tuple[Place, Path], tmp_path: Path) -> None:
    before = without_network()
    if not before:
        pytest.skip("this machine makes no network namespaces for us")
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")

    said = there.run("unbundle", made[1] / "env.tar.zst", "-p", "env", before=before)

    assert "is ready: 5 installed" in said
    assert set(there.installed("env")) == {"alpha", "beta", "python", "app", "lib"}
    python = there.here / "env/bin/python"
    assert subprocess.check_output([python, "-c", "import app, lib; print(lib.V)"], text=True) == "1\n"
    there.run("verify", "-p", "env", before=before)
    again = there.run("unbundle", made[1] / "env.tar.zst", "-p", "env", before=before)
    assert "matches the lock already" in again
    assert not list((there.here / "cache").glob("bundle-*"))


def test_a_sync_of_a_bundle_is_one_with_its_options(made: tuple[Place, Path], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")
    bundle = made[1] / "again.tar.zst"

    assert "cannot be" not in there.run("sync", "--bundle", bundle, "-p", "env", "--check", code=1)
    assert not (there.here / "env").exists()
    there.run("sync", "--bundle", bundle, "--root", "root", "--name", "n", before=without_network())

    assert set(there.installed("root/n")) == {"alpha", "beta", "python", "app", "lib"}
    there.run("sync", "--bundle", bundle, "--root", "root", "--name", "n", "--check")
    for more in (["--locked"], ["--lockfile", "x"], ["-c", "conda-forge"], ["--mirror", "https://a=https://b"]):
        assert more[0].removeprefix("-c") in there.run("sync", "--bundle", bundle, "-p", "env", *more, code=2)


@pytest.mark.skipif(not shutil.which("mksquashfs"), reason="squashfs-tools is not installed")
def test_an_image_is_a_bundle_too(made: tuple[Place, Path], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")
    image = made[1] / "env.squashfs"

    there.run("sync", "--bundle", image, "-p", "env", before=without_network())

    assert set(there.installed("env")) == {"alpha", "beta", "python", "app", "lib"}
    assert image.read_bytes() == (made[1] / "again.squashfs").read_bytes()
    data = image.read_bytes()
    for kept in (30, len(data) // 2, len(data) - 5000):
        (there.here / "cut.squashfs").write_bytes(data[:kept])
        assert "bundle-damaged" in there.run("unbundle", "cut.squashfs", "-p", "other", code=4)
    subprocess.run(["unsquashfs", "-q", "-n", "-d", there.here / "mounted", image], capture_output=True, check=True)
    there.run("unbundle", "mounted", "-p", "third")
    assert (there.here / "third/share/a").is_file()


def test_no_image_is_written_without_the_tool(made: tuple[Place, Path], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")
    shutil.copy(made[0].here / "dataloader.lock", there.here)
    (tmp_path / "bin").mkdir()

    said = there.run("bundle", "-o", "a.squashfs", code=2, more={"PATH": str(tmp_path / "bin")})

    assert "squashfs-missing" in said


def test_the_script_inside_needs_no_dataloader_on_the_machine(made: tuple[Place, Path], tmp_path: Path) -> None:
    folder = unpacked(made[1] / "env.tar.zst", tmp_path / "unpacked")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "env"):
        (programs / name).symlink_to(shutil.which(name) or "")
    (programs / "python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
    environ = {"PATH": str(programs), "HOME": str(tmp_path), "DATALOADER_CACHE_DIR": str(tmp_path / "cache")}

    done = subprocess.run(
        [*without_network(), "/bin/sh", folder / "install.sh", tmp_path / "env"],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "env/share/a").is_file()
    assert (tmp_path / "env/conda-meta").is_dir()


def test_the_same_lock_gives_the_same_bytes(made: tuple[Place, Path]) -> None:
    assert (made[1] / "again.tar.zst").read_bytes() == (made[1] / "third.tar.zst").read_bytes()


@pytest.mark.parametrize("kept", [0.001, 0.1, 0.5, 0.9, 0.999, 1])
def test_a_bundle_that_is_cut_off_is_damaged(made: tuple[Place, Path], tmp_path: Path, kept: float) -> None:
    data = (made[1] / "again.tar.zst").read_bytes()
    (tmp_path / "b").write_bytes(data[: max(5, min(int(len(data) * kept), len(data) - 1))])
    with pytest.raises(IntegrityError) as caught, opened(tmp_path / "b", tmp_path / "unpacked"):
        pass
    assert caught.value.code == "bundle-damaged"


def test_a_bundle_with_another_byte_is_damaged_or_the_same(made: tuple[Place, Path], tmp_path: Path) -> None:
    data = bytearray((made[1] / "again.tar.zst").read_bytes())
    for at in range(16, len(data), len(data) // 12):
        (tmp_path / "b").write_bytes(bytes(data[:at]) + bytes([data[at] ^ 0xFF]) + bytes(data[at + 1 :]))
        with suppress(IntegrityError), opened(tmp_path / "b", tmp_path / f"unpacked-{at}") as bundle:
            assert len(bundle.archives) == len(list((tmp_path / f"unpacked-{at}" / "archives").iterdir()))


@pytest.mark.parametrize("spoil", [lambda _: b"no bundle at all", lambda _: b""])
def test_what_is_no_bundle_is_refused(
    made: tuple[Place, Path], tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")
    (there.here / "b").write_bytes(spoil((made[1] / "again.tar.zst").read_bytes()))

    assert "bundle-invalid" in there.run("unbundle", "b", "-p", "env", code=2)
    assert not (there.here / "env").exists()


def test_a_file_that_was_changed_is_found(made: tuple[Place, Path], tmp_path: Path) -> None:
    there = Place(tmp_path / "there", "http://127.0.0.1:9/simple")
    folder = unpacked(made[1] / "again.tar.zst", there.here / "b")
    wheel = next((folder / "archives").glob("lib-*"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")

    assert "bundle-damaged" in there.run("unbundle", "b", "-p", "env", code=4)
    wheel.unlink()
    assert "missing" in there.run("unbundle", "b", "-p", "env", code=4)
    assert not (there.here / "env").exists()


def test_what_a_killed_bundle_left_goes_with_the_next(tmp_path: Path) -> None:
    program = "from dataloader.install.switch.owner import signed; print(signed('.bundle-'))"
    name = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / name / "0").mkdir(parents=True)
    (tmp_path / ".bundle-of-somebody").mkdir()
    with _aside(tmp_path) as folder, _aside(tmp_path):  # one that lives stays
        assert {path.name for path in tmp_path.iterdir()} >= {folder.name, ".bundle-of-somebody"}
        assert not (tmp_path / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == [".bundle-of-somebody"]
