"""A file that is named for an output is never the project's own, and a device, a pipe or a link is not replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

OUTLETS = (
    ("export", "requirements.txt", "-o"),
    ("bundle", "--no-program", "-o"),
    ("sync", "--status-file"),
    ("sync", "--events"),
    ("sync", "--metrics-file"),
)
FILES = (("export", "requirements.txt", "-o"), ("bundle", "--no-program", "-o"), ("sync", "--status-file"))
"""Those that replace a file; events are appended."""


class Project:
    """A manifest, its lock and the environment, which are in step."""

    def __init__(self, here: Path, index: str) -> None:
        self.here = here
        dropped = ("PIP_", "DATALOADER_")
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.environ |= {"DATALOADER_INDEX_URL": index, "DATALOADER_CACHE_DIR": f"{here}/cache"}
        self.environ |= {"DATALOADER_CONDA": "never"}
        here.mkdir()
        (here / "dataloader.toml").write_text('[project]\nname = "x"\n\n[pypi-dependencies]\nlib = "*"\n')
        for words in (("lock",), ("sync",)):
            done = self.run(*words)
            assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_command(*words, cwd=self.here, env=self.environ)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("outputs")
    make_wheel(folder / "shelf", "lib", "1.0")
    with IndexServer(folder / "shelf") as server:
        made = Project(folder / "here", server.index_url)
        (made.here / "dataloader.gpu.lock").write_bytes((made.here / "dataloader.lock").read_bytes())
        (made.here / "to-manifest").symlink_to("dataloader.toml")
        (made.here / "to-lock").hardlink_to(made.here / "dataloader.lock")
        yield made


@pytest.mark.parametrize("words", OUTLETS, ids=" ".join)
def test_the_projects_own_files_are_refused(project: Project, words: tuple[str, ...]) -> None:
    owned = {name: (project.here / name).read_bytes() for name in ("dataloader.toml", "dataloader.lock")}
    for name in (*owned, "dataloader.gpu.lock", "to-manifest", "to-lock"):
        done = project.run(*words, name)

        assert done.returncode == 2, (name, done.stderr)
        assert f"{name} is the" in done.stderr
        assert {each: (project.here / each).read_bytes() for each in owned} == owned


@pytest.mark.parametrize("words", FILES, ids=" ".join)
def test_links_are_followed_and_pipes_and_devices_stay(
    project: Project, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "target").write_text("before")
    (tmp_path / "link").symlink_to("target")
    assert project.run(*words, str(tmp_path / "link")).returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() != b"before"

    pipe, read = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # whoever writes several times finds a reader each time
    reader = threading.Thread(target=lambda: _read_all(pipe, read))
    reader.start()
    done = project.run(*words, str(pipe))
    os.close(held)
    reader.join()
    assert done.returncode == 0, done.stderr
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    if words[0] == "bundle":
        (tmp_path / "read").write_bytes(read)
        with zstandard.open(tmp_path / "read", "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            assert "archives/lib-1.0-py3-none-any.whl" in tar.getnames()
    assert read

    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("no devices can be made here")
    assert project.run(*words, str(device)).returncode == 0
    assert stat.S_ISCHR(device.stat().st_mode)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def _read_all(pipe: Path, into: bytearray) -> None:
    with pipe.open("rb") as stream:
        while piece := stream.read1():
            into += piece


@pytest.mark.parametrize("words", FILES[:2], ids=" ".join)
def test_a_folder_is_named_as_such(project: Project, words: tuple[str, ...], tmp_path: Path) -> None:
    done = project.run(*words, str(tmp_path))

    assert done.returncode == 2
    assert f"{tmp_path} is a folder" in done.stderr
