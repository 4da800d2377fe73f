"""What is compared with uv and rattler."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import mixed, solves
from tests.bench import verify as verify_bench
from tests.bench.results import Result, limit, memory, ratio
from tests.bench.samples import unpack_sample
from tests.bench.tools import World, alternate, dataloader, peak_memory, timed, uv
from tests.bench.verbs import verbs
from tests.bench.volumes import PYTHON, REQUIREMENTS, cold, disk, noop, pins

SAMPLE = Path(__file__).parents[1] / "data" / "channels"


def lock(world: World) -> Iterator[Result]:
    """Lock from an empty cache, and again with a warm one, against ``uv pip compile``."""
    here = world.directory("lock")
    (here / "requirements.in").write_text("\n".join(REQUIREMENTS) + "\n")
    ours_cache, uv_cache = here / "cache", here / "uv-cache"
    env = world.environ(DATALOADER_CACHE_DIR=str(ours_cache), UV_CACHE_DIR=str(uv_cache))
    ours = [dataloader(), "lock", f"--python={PYTHON}", "--cuda=12.1", *REQUIREMENTS]
    theirs = [uv(), "pip", "compile", "-q", "--python-version", PYTHON, "requirements.in", "-o", "requirements.txt"]

    def cold(command: list[str], cache: Path) -> Callable[[], float]:
        def run() -> float:
            shutil.rmtree(cache, ignore_errors=True)
            return warm(command)()

        return run

    def warm(command: list[str]) -> Callable[[], float]:
        def run() -> float:
            (here / "dataloader.lock").unlink(missing_ok=True)
            (here / "requirements.txt").unlink(missing_ok=True)
            return timed(command, cwd=here, env=env)

        return run

    yield ratio("lock, cold", alternate(world.runs, cold(ours, ours_cache), cold(theirs, uv_cache)), 2, "uv")
    yield ratio("lock, warm", alternate(world.runs, warm(ours), warm(theirs)), 1.5, "uv")


def install(world: World) -> Iterator[Result]:
    """Install from a warm cache, and sync with nothing to do, against ``uv pip install --offline --no-deps``."""
    here = world.directory("install", empty=False)
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"), UV_CACHE_DIR=str(here / "uv-cache"))
    fresh = (here / f"run-{number}" for number in itertools.count(1))
    prefix = next(fresh)
    timed([dataloader(), "lock", f"--python={PYTHON}", "--cuda=12.1", *REQUIREMENTS], cwd=here, env=env)
    timed([dataloader(), "sync", "-p", str(prefix)], cwd=here, env=env)
    requirements = here / "requirements.txt"
    lines = (here / "dataloader.lock").read_text().splitlines()
    requirements.write_text("\n".join(pins(lines)) + "\n")

    # Each run makes an environment of its own: ext4 passes over inodes that were freed in the last seconds, so
    # removing one just before would be most of what is measured.
    def ours() -> float:
        return timed([dataloader(), "sync", "--offline", "-p", str(next(fresh))], cwd=here, env=env)

    def theirs(*more: str) -> float:
        where = next(fresh)
        made = timed([uv(), "venv", "-q", "--python", PYTHON, str(where)], cwd=here, env=env)
        into = ["-r", str(requirements), "-p", str(where / "bin" / "python")]
        return made + timed([uv(), "pip", "install", "-q", "--no-deps", *into, *more], cwd=here, env=env)

    def nothing() -> float:
        return timed([dataloader(), "sync", "-p", str(prefix)], cwd=here, env=env)

    theirs()
    time.sleep(6)
    yield ratio("install, warm cache", alternate(world.runs, ours, lambda: theirs("--offline")), 1.5, "uv")
    yield limit("sync, nothing to do", alternate(4 * world.runs, nothing), 0.06)
    for left in here.glob("run-*"):
        shutil.rmtree(left)


def start(world: World) -> Iterator[Result]:
    """How long the program takes to say its version, and to plan a stack."""
    here = world.directory("start")
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"))
    version = [dataloader(), "--version"]
    yield limit("--version", alternate(4 * world.runs, lambda: timed(version, cwd=here, env=env)), 0.1)
    command = [dataloader(), "plan", "--cuda=11.8", "--torch=2.1"]
    yield limit("plan", alternate(4 * world.runs, lambda: timed(command, cwd=here, env=env)), 0.15)


def conda(world: World) -> Iterator[Result]:
    """A conda-only solve against rattler called directly on the same specs, in this process; and peak memory."""
    here = world.directory("conda")
    root = unpack_sample(SAMPLE, here / "channels")
    channels = tuple((root / name).as_uri() + "/" for name in ("pytorch", "nvidia", "conda-forge"))
    specs = ("pytorch[version='2.1.0',build='*cuda11.8*']", "pytorch-cuda 11.8.*", "python 3.11.*")
    yield ratio(
        "conda-only solve", alternate(world.runs, _ours(channels, specs), _rattler(channels, specs)), 1.2, "rattler"
    )
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"))
    command = [dataloader(), "lock", "--cuda=11.8", "--torch=2.1", "-c", channels[2], "peft", "datasets", "evaluate"]
    peak = peak_memory(command, cwd=here, env=env)
    yield memory("peak memory of a mixed lock", peak, 500 << 20)


def _ours(channels: tuple[str, ...], specs: tuple[str, ...]) -> Callable[[], float]:
    from dataloader.base.reporter import Reporter
    from dataloader.machine.target import Target
    from dataloader.resolve.model import Problem
    from dataloader.resolve.solve import resolve

    target = Target(glibc="2.36", driver_cuda="12.4", kernel="5.10", archspec="x86_64_v3")
    problem = Problem(target=target, channels=channels, conda_specs=specs)

    def run() -> float:
        started = time.perf_counter()
        asyncio.run(resolve(problem, None, Reporter()))
        return time.perf_counter() - started

    return run


def _rattler(channels: tuple[str, ...], specs: tuple[str, ...]) -> Callable[[], float]:
    import rattler

    virtual = [
        rattler.GenericVirtualPackage(rattler.PackageName(n), rattler.Version(v), rattler.BuildString(b))
        for n, v, b in (
            ("__glibc", "2.36", "0"),
            ("__cuda", "12.4", "0"),
            ("__linux", "5.10", "0"),
            ("__unix", "0", "0"),
            ("__archspec", "1", "x86_64_v3"),
        )
    ]

    async def solve() -> None:
        await rattler.solve(
            sources=[rattler.Channel(url) for url in channels],
            specs=[rattler.MatchSpec(spec) for spec in specs],
            platforms=["linux-64", "noarch"],
            virtual_packages=virtual,
        )

    def run() -> float:
        started = time.perf_counter()
        asyncio.run(solve())
        return time.perf_counter() - started

    return run


def verify(world: World) -> Iterator[Result]:
    """Verify against ``ldd -r``."""
    return verify_bench.verify(world, REQUIREMENTS, PYTHON)


CASES: dict[str, Callable[[World], Iterator[Result]]] = {
    "start": start,
    "verbs": verbs,
    "conda": conda,
    "lock": lock,
    **solves.CASES,
    **mixed.CASES,
    "install": install,
    "verify": verify,
    "cold": cold,
    "noop": noop,
    "disk": disk,
}
