"""What environments cost on a volume: cold installs from a local index, and room taken by many that are alike."""

from __future__ import annotations

import os
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataloader.base.digests import hex_digest
from tests.bench.results import Result, limit, ratio
from tests.bench.server import serving
from tests.bench.tools import World, alternate, calm, dataloader, timed, uv

REQUIREMENTS = ("torch==2.1.0", "transformers==4.36.0", "accelerate==0.25.0")
PYTHON = "3.11"

PURE = (
    *("attrs", "blinker", "cachetools", "click", "cloudpickle", "cycler", "decorator", "docutils", "einops", "execnet"),
    *("iniconfig", "isodate", "itsdangerous", "joblib", "mdurl", "natsort", "pluggy", "ply", "pyparsing", "six"),
    *("tabulate", "toolz"),
)
"""Small pure packages; each environment of the disk case has three of its own besides what all share."""

_COLD_RUNS = 3
"""Each is half a minute."""
_ROOM = 8 << 30
"""Bytes that one of them may take."""


def pins(lines: list[str]) -> Iterator[str]:
    """Yield ``name==version`` of each wheel in the text of a lock."""
    for position, line in enumerate(lines):
        if line.startswith("- pypi:") and position + 2 < len(lines) and lines[position + 1].startswith("  name:"):
            name = lines[position + 1].split(": ", 1)[1].strip('"')
            version = lines[position + 2].split(": ", 1)[1].strip('"')
            yield f"{name}=={version}"


def _hashed_pins(wheels: Path) -> Iterator[str]:
    """Yield ``name==version --hash=...`` of each wheel of a folder."""
    for path in sorted(wheels.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        yield f"{name}=={version} --hash=sha256:{hex_digest(path)}"


def cold(world: World) -> Iterator[Result]:
    """Install with an empty cache from an index on this machine, against ``uv pip install --no-deps``."""
    here = world.directory("cold")
    wheels = world.directory("wheels", empty=False)
    lock = _lock(here, world.environ(DATALOADER_CACHE_DIR=str(here / "lock-cache")), REQUIREMENTS)
    _fetch_all(sorted(set(re.findall(r"https://\S+\.whl", lock))), wheels)
    (here / "requirements.txt").write_text("\n".join(pins(lock.splitlines())) + "\n")
    with serving(wheels) as url:
        (here / "dataloader.lock").write_text(re.sub(r"https://\S+/(\S+\.whl)", rf"{url}/files/\1", lock))
        (here / "hashed.txt").write_text("\n".join(_hashed_pins(wheels)) + "\n")
        ours = _OursCold(world, here)
        theirs = _TheirsCold(world, here, url, "requirements")
        hashed = _TheirsCold(world, here, url, "hashed", "--require-hashes")
        ours_s, theirs_s, hashed_s = alternate(min(world.runs, _COLD_RUNS), ours, theirs, hashed)
        yield ratio("install, empty cache", [ours_s, theirs_s], 1.1, "uv")
        yield ratio("both with hashes", [ours_s, hashed_s], None, "uv")
    shutil.rmtree(here)


class _OursCold:
    def __init__(self, world: World, here: Path) -> None:
        self._world, self._here, self._count = world, here, 0

    def __call__(self) -> float:
        self._count += 1
        cache, prefix = self._here / f"cache-{self._count}", self._here / f"ours-{self._count}"
        _calm(self._here)
        env = self._world.environ(DATALOADER_CACHE_DIR=str(cache))
        return timed([dataloader(), "sync", "-p", str(prefix)], cwd=self._here, env=env)


class _TheirsCold:
    def __init__(self, world: World, here: Path, url: str, name: str, *options: str) -> None:
        self._world, self._here, self._url, self._count = world, here, url, 0
        self._name, self._options = name, ("-r", f"{name}.txt", *options)

    def __call__(self) -> float:
        self._count += 1
        place = f"{self._count}-{self._name}"
        cache, prefix = self._here / f"uv-cache-{place}", self._here / f"theirs-{place}"
        _calm(self._here)
        env = self._world.environ(UV_CACHE_DIR=str(cache))
        made = timed([uv(), "venv", "-q", "--python", PYTHON, str(prefix)], cwd=self._here, env=env)
        command = [uv(), "pip", "install", "-q", "--no-deps", "--index-url", f"{self._url}/simple/"]
        command += [*self._options, "-p", str(prefix / "bin" / "python")]
        return made + timed(command, cwd=self._here, env=env)


def noop(world: World) -> Iterator[Result]:
    """A thousand syncs with nothing to do, one after the other."""
    here = world.directory("noop")
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"))
    _lock(here, env, ("transformers==4.36.0",))
    command = [dataloader(), "sync", "-p", str(here / "env")]
    timed(command, cwd=here, env=env)
    started = time.perf_counter()
    for _ in range(1000):
        timed(command, cwd=here, env=env)
    yield limit("1,000 syncs, nothing to do", [time.perf_counter() - started], 60)


def disk(world: World) -> Iterator[Result]:
    """Ten and twenty environments that differ in three pure packages, as generations beside their cache."""
    here = world.directory("disk")
    volume = here / "volume"
    env = world.environ(DATALOADER_CACHE_DIR=str(volume / "cache"))
    locks = world.environ(DATALOADER_CACHE_DIR=str(here / "lock-cache"))
    root, name = volume / "envs", "train"
    one = 0
    for number in range(20):
        _lock(here, locks, (*REQUIREMENTS, *PURE[number : number + 3]))
        timed([dataloader(), "sync", "--root", str(root), "--name", name], cwd=here, env=env)
        # What is imported leaves bytecode, which each environment has of its own.
        timed([str(root / name / "bin" / "python"), "-c", "import torch, transformers, accelerate"], cwd=here, env=env)
        if number == 0:
            one = room(volume)
        if number in {9, 19}:
            bound = {9: 1.15, 19: 1.25}[number]
            yield _times(f"room of {number + 1} environments", room(volume), one, bound)
    shutil.rmtree(here)


def room(folder: Path) -> int:
    """Return the bytes that a folder takes on its volume, hard links counted once (as ``du`` does)."""
    seen: dict[tuple[int, int], int] = {}
    for where, folders, names in os.walk(folder):
        for entry in (".", *names, *(each for each in folders if Path(where, each).is_symlink())):
            status = os.lstat(os.path.join(where, entry))  # noqa: PTH118  (hundreds of thousands of them)
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def _times(name: str, many: int, one: int, bound: float) -> Result:
    return Result(
        name=name,
        ours=f"{many / 1e6:.0f} MB",
        theirs=f"one {one / 1e6:.0f} MB",
        figure=f"{many / one:.3f}x",
        bound=f"at most {bound}x",
        missed=many / one > bound,
    )


def _lock(here: Path, env: dict[str, str], requirements: tuple[str, ...]) -> str:
    (here / "dataloader.lock").unlink(missing_ok=True)
    cuda = ["--cuda=12.1"] if any(each.startswith("torch") for each in requirements) else []
    timed([dataloader(), "lock", f"--python={PYTHON}", *cuda, *requirements], cwd=here, env=env)
    return (here / "dataloader.lock").read_text()


def _fetch_all(urls: list[str], into: Path) -> None:
    def fetch(url: str) -> None:
        target = into / url.rsplit("/", 1)[1]
        if not target.exists():
            part = target.with_suffix(".part")
            with urllib.request.urlopen(url) as response, part.open("wb") as stream:
                shutil.copyfileobj(response, stream, 1 << 20)
            part.rename(target)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(fetch, urls))


def _calm(here: Path) -> None:
    """Wait until the disk is idle. What earlier runs made (five gigabytes each) is removed only where room is short:
    ext4 passes over inodes that were freed in the last minutes, which would be a part of what is measured."""
    if shutil.disk_usage(here).free < _ROOM:
        for left in (*here.glob("*cache-[0-9]*"), *here.glob("ours-*"), *here.glob("theirs-*")):
            shutil.rmtree(left)
    calm()
