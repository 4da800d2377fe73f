"""A small world to play in: an index with two releases of an environment, a volume, and something outside."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile
from dataloader.lockfile.yaml import write_lock
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.hostile import CondaArchive, Verdict, Wish, as_conda, as_wheel, conda_only, wishes
from tests.helpers.locks import lock_of, locked_wheel
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

REPOSITORY = Path(__file__).parents[2]
RELEASES = ("1", "2")
PARTS = 4
MODULES = 30
CONDA = ("cone", "ctwo")
CHECK = (
    "import importlib.metadata as m, sys\n"
    f"parts = [__import__(f'part{{n}}') for n in range({PARTS})]\n"
    "found = {part.check() for part in parts} | {d.version for d in m.distributions()}\n"
    f"for name in {CONDA!r}:\n"
    "    for number in range(8):\n"
    "        found.add(open(f'{sys.prefix}/share/{name}/{number}.txt').read())\n"
    "release, = found\n"
    "print(release)\n"
)
"""Run inside an environment: it prints the release that all files are of, and fails when they are of several."""

Hostile: TypeAlias = Callable[[Path, Path], tuple[str, Verdict, Lockfile]]
"""Makes packages in a folder that aim at another; gives their kind, what is to become of them, and a lock of them."""

NONE = "none"
TORN = "torn"


@dataclass(frozen=True)
class World:
    """The folders, and the commands as people type them."""

    root: Path
    server: IndexServer
    chance: random.Random
    environ: dict[str, str]
    hostile: Iterator[Hostile]
    """Hostile packages of both worlds, without end."""

    @property
    def volume(self) -> Path:
        """Where prefix and cache lie."""
        return self.root / "volume"

    @property
    def prefix(self) -> Path:
        return self.volume / "env"

    @property
    def cache(self) -> Path:
        return self.volume / "cache"

    def sync(self, release: str, *, prefix: Path | None = None, cache: Path | None = None) -> list[str]:
        """The command line of a sync to a release."""
        lock = str(self.root / f"{release}.lock")
        return self.command("sync", "--frozen", "--lockfile", lock, "-p", str(prefix or self.prefix), cache=cache)

    def generation(self, release: str) -> list[str]:
        """The same, to a generation of ``volume/envs/train``."""
        lock = str(self.root / f"{release}.lock")
        return self.command(
            "sync", "--frozen", "--lockfile", lock, "--root", str(self.volume / "envs"), "--name", "train"
        )

    def command(self, *arguments: str, cache: Path | None = None) -> list[str]:
        """A command line of this program, in its world."""
        assigned = {**self.environ, "DATALOADER_CACHE_DIR": str(cache or self.cache)}
        return [
            "env",
            *(f"{name}={value}" for name, value in assigned.items()),
            sys.executable,
            "-m",
            "dataloader",
            *arguments,
        ]

    def run(self, command: Sequence[str], seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.root,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start, and do not wait."""
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
        )

    def release_of(self, prefix: Path) -> str:
        """What an environment holds: a release, ``none``, or ``torn``."""
        if not prefix.exists():
            return NONE
        done = subprocess.run(
            [prefix / "bin/python", "-B", "-c", CHECK], capture_output=True, text=True, env={}, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else f"{TORN}: {done.stderr[-300:]}"

    def outside(self) -> dict[str, tuple[object, ...]]:
        """All that lies in the world but prefix, cache and what a sync may keep beside the prefix."""
        found = {}
        for where, folders, names in os.walk(self.root):
            if Path(where) == self.volume:
                folders[:] = [name for name in folders if name not in {"env", "envs", "cache"}]
                folders[:] = [name for name in folders if not name.startswith(".env.dataloader-")]
                names = [name for name in names if not name.startswith(".env.dataloader-")]
            for name in (*names, *(folder for folder in folders if Path(where, folder).is_symlink())):
                found[f"{where}/{name}"] = _state(f"{where}/{name}")
        return found


def make_world(root: Path, server: IndexServer, seed: int) -> World:
    """Build the packages and the locks of both releases, and something outside."""
    root.mkdir(parents=True, exist_ok=True)
    for release in RELEASES:
        write_lock(_lock(server, release), root / f"{release}.lock")
    (root / "volume").mkdir()
    (root / "home").mkdir()
    outside = root / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("years of work")
    (outside / "victim").write_text("what hostile packages aim at")
    (outside / "folder").mkdir()
    (outside / "folder" / "data").write_bytes(bytes(range(256)))
    (outside / "link").symlink_to("folder/data")
    furnish(root / "volume")
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "PYENV_ROOT"}}
    environ = {**keep, "HOME": str(root / "home"), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    chance = random.Random(seed)
    return World(root, server, chance, {**environ, "DATALOADER_CONDA": "never"}, _hostile(chance))


def furnish(volume: Path) -> None:
    """What lies on a volume beside prefix and cache."""
    (volume / "neighbour.txt").write_text("mine")
    (volume / "hostile").mkdir()


def _hostile(chance: random.Random) -> Iterator[Hostile]:
    makers: list[Hostile] = []
    for wish in wishes():
        makers += [partial(_hostile_wheel, wish), partial(_hostile_conda, wish.name, wish.verdict, [as_conda(wish)])]
    makers += [partial(_hostile_conda, case.name, case.verdict, list(case.archives)) for case in conda_only()]
    while True:
        chance.shuffle(makers)
        yield from makers


def _hostile_wheel(wish: Wish, place: Path, outside: Path) -> tuple[str, Verdict, Lockfile]:
    return f"wheel: {wish.name}", wish.in_wheels or wish.verdict, lock_of(as_wheel(wish, place, outside))


def _hostile_conda(
    name: str, verdict: Verdict, archives: list[CondaArchive], place: Path, outside: Path
) -> tuple[str, Verdict, Lockfile]:
    packages = [archive.write(place, outside) for archive in archives]
    return f"conda: {name}", verdict, lock_of(*packages, python=LockedPython(source="none"))


def _lock(server: IndexServer, release: str) -> Lockfile:
    shelf = server.folder
    packages: list[CondaPackage] = []
    wheels = [_wheel(shelf, part, release) for part in range(PARTS)]
    for name in CONDA:
        make_conda_package(shelf, name, release, files={f"share/{name}/{number}.txt": release for number in range(8)})
    index_channel(shelf)
    for name in CONDA:
        record = read_record(shelf, name, release)
        packages.append(replace(record, url=server.file_url(shelf / record.subdir / record.file_name)))
    found = [replace(locked_wheel(wheel), url=server.file_url(wheel)) for wheel in wheels]
    return replace(lock_of(*found, *packages), channels=(), indexes=(server.index_url,))


def _wheel(folder: Path, part: int, release: str) -> Path:
    name = f"part{part}"
    names = ", ".join(f"m{number}" for number in range(MODULES))
    files: dict[str, str | bytes] = {f"{name}/m{number}.py": f"release = {release!r}\n" for number in range(MODULES)}
    files[f"{name}/__init__.py"] = (
        f"from {name} import {names}\n"
        f"def check():\n    release, = {{m.release for m in ({names},)}}\n    return release\n"
    )
    files[f"{name}/data.bin"] = random.Random(f"{part}{release}").randbytes(150_000 * (part + 1))
    return make_wheel(folder, name, release, files=files)


def _state(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return ("link", str(Path(path).readlink()))
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
    return (status.st_mode, status.st_size, status.st_mtime_ns, digest)


def remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
