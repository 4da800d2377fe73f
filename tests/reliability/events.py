"""What may happen to a sync; each event disturbs something, lets the judge look, and mends it with a plain sync."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache as cached
from pathlib import Path
from typing import Literal

from dataloader.base.errors import DataloaderError
from dataloader.base.reporter import Reporter
from dataloader.install.model import SyncOptions
from dataloader.install.store.caches import verify_cache
from dataloader.install.store.holdings import survey
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from tests.helpers.hostile import links_out
from tests.helpers.locks import FolderDownloads
from tests.helpers.server import Fault
from tests.reliability.judge import Judge
from tests.reliability.world import RELEASES, World, remove

CALLS = (
    "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "ftruncate,utimensat,syncfs"
)
STRACE = ("strace", "-f", "--seccomp-bpf")
"""The process stops at the calls that are asked for alone: else a sync takes three times as long."""
SWITCH = "renameat2"
STALE = 20
"""Seconds after which a silent lease is taken over (docs/sync.md)."""

HOSTILE_AT_ONCE = 8

PRUNE_LOOP = """
import sys
from pathlib import Path
from dataloader.install.store.pruning import prune_cache
print("go", flush=True)
while True:
    prune_cache(Path(sys.argv[1]), everything=sys.argv[2] == "all")
"""


def killed_by_time(world: World, judge: Judge) -> None:
    """A sync is killed at some moment."""
    target = other(world)
    if world.chance.random() < 0.3:
        remove(world.cache)  # a cold one, with downloads
    how = world.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    judge.detail = how.name
    judge.ended(*kill(world, world.sync(target), how, 2.0))
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))


def killed_by_call(world: World, judge: Judge) -> None:
    """A sync is killed before its N-th call of the kernel that changes something; often after the switch."""
    target = other(world)
    is_cold = world.chance.random() < 0.3
    before = world.release_of(world.prefix)
    calls = _calls(world, before, target, is_cold)
    switch = max((number for number, (name, _) in enumerate(calls) if name == SWITCH), default=0)
    after = world.chance.random() < 0.4
    name, count = world.chance.choice(calls[switch + 1 :] if after and calls[switch + 1 :] else calls)
    judge.detail = f"{name} {count}{' after the switch' if after else ''}"
    _prepare(world, is_cold)
    trace = [
        *STRACE,
        "-qq",
        "-o",
        os.devnull,
        "-e",
        f"trace={CALLS}",
        "-e",
        f"inject={name}:signal=KILL:when={count}",
    ]
    done = world.run([*trace, *world.sync(target)])
    judge.ended(done.returncode, done.stdout + done.stderr)
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))


def killed_beside(world: World, judge: Judge) -> None:
    """Not a sync: a prune, a warm, or a verify of the cache is killed."""
    lock = str(world.root / f"{other(world)}.lock")
    actions = (
        ["cache", "prune"],
        ["cache", "prune", "--all"],
        ["cache", "verify"],
        ["cache", "warm", "--lockfile", lock],
    )
    action = world.chance.choice(actions)
    judge.detail = " ".join(action[:2])
    judge.ended(*kill(world, world.command(*action), signal.SIGKILL, 1.5))
    judge.after()
    judge.mended(world.chance.choice(RELEASES))


def killed_generation(world: World, judge: Judge) -> None:
    """A sync to a generation is killed; the link leads to a whole environment, and the next sync is well."""
    target = world.chance.choice(RELEASES)
    link = world.volume / "envs" / "train"
    before = world.release_of(link)
    judge.ended(*kill(world, world.generation(target), signal.SIGKILL, 2.0))
    judge.after()
    if world.release_of(link) not in {before, target}:
        judge.fault(f"the generation holds {world.release_of(link)} after {before}, on the way to {target}")
    done = world.run(world.generation(target))
    judge.ended(done.returncode, done.stdout + done.stderr, {0})
    left = [path.name for path in (world.volume / "envs/.generations/train").iterdir() if not path.name[0].isdigit()]
    if world.release_of(link) != target or set(left) - {"history"}:
        judge.fault(f"the generation holds {world.release_of(link)}, and beside it lies {left}")
    judge.mended(target)


def prunes_beside_syncs(world: World, judge: Judge) -> None:
    """Prunes in a loop while three syncs run: all of them end well."""
    how = world.chance.choice(["all", "unused"])
    judge.detail = how
    if how == "unused":
        for entry in (*world.cache.glob("wheels/*/*"), *world.cache.glob("pkgs/*-*-*")):
            os.utime(entry, (1, 1))
    target = other(world)
    pruner = world.start(["env", *assignments(world), sys.executable, "-c", PRUNE_LOOP, str(world.cache), how])
    assert pruner.stdout is not None
    try:
        pruner.stdout.readline()
        prefixes = [world.prefix, *(world.volume / "envs" / f"beside-{number}" for number in range(2))]
        syncs = [world.start(world.sync(target, prefix=prefix)) for prefix in prefixes]
        for process in syncs:
            output, _ = process.communicate(timeout=120)
            judge.ended(process.returncode, output, {0})
            if "damaged" in output:
                judge.fault(f"something is called damaged: {output[-600:]}")
        for prefix in prefixes:
            if world.release_of(prefix) != target:
                judge.fault(f"{prefix.name} holds {world.release_of(prefix)}, not {target}")
    finally:
        pruner.kill()
        output, _ = pruner.communicate()
    judge.ended(0 if "Traceback" not in output else 1, output)
    for prefix in prefixes[1:]:
        remove(prefix)
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))


def container_killed(world: World, judge: Judge) -> None:
    """A sync in another pid namespace, of another boot, is killed; who comes next waits as long as a lease lasts."""
    target = other(world)
    if world.chance.random() < 0.5:
        remove(world.cache)
    boot = world.root / "home" / "boot-id"
    boot.write_text(f"{world.chance.getrandbits(128):032x}\n")
    mount = f'mount --bind "{boot}" /proc/sys/kernel/random/boot_id && exec "$@"'
    contained = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", mount, "sh"]
    judge.ended(*kill(world, [*contained, *world.sync(target)], signal.SIGKILL, 2.5))
    boot.unlink()
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES), seconds=STALE + 15, stale=STALE + 1)


def full_volume(world: World, judge: Judge) -> None:
    """The volume fills up while a sync works; with room again, the next one ends well."""
    target = other(world)
    if world.chance.random() < 0.7:
        remove(world.cache)
    room = int(world.chance.random() * 6e6)
    judge.detail = f"{room} bytes"
    ballast = world.volume / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(shutil.disk_usage(world.volume).free - room, 1))
    done = world.run(world.sync(target))
    ballast.unlink()
    judge.ended(done.returncode, done.stdout + done.stderr, {0, 3})
    if done.returncode == 3:
        left = [
            found.path
            for found in survey(world.cache)
            if found.holding and found.holding.stay in {"archive", "lease", "temporary"}
        ]
        if left:
            judge.fault(f"left in the cache: {left}")
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))


def damaged_cache(world: World, judge: Judge) -> None:
    """Some files of the cache are flipped, cut, emptied or removed; what is installed is right all the same."""
    files = [path for path in world.cache.rglob("*") if path.is_file() and not path.is_symlink()]
    environments = [path for place in (world.prefix, world.volume / "envs") for path in place.rglob("*")]
    shared = {path.lstat().st_ino for path in environments}  # those would damage an environment itself
    victims = [path for path in files if path.stat().st_ino not in shared]
    for path in world.chance.sample(victims, min(3, len(victims))):
        judge.detail += f"{damage(world, path)} {path.relative_to(world.cache)} "
    target = other(world)
    done = world.run(world.sync(target))
    judge.ended(done.returncode, done.stdout + done.stderr, {0})
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))
    verify_cache(world.cache, Reporter())  # what no sync has needed is found by it


def bad_server(world: World, judge: Judge) -> None:
    """Files come wrong, late or not at all; then the server is well again."""
    target = other(world)
    remove(world.cache)
    kinds: tuple[Literal["reset", "truncate", "corrupt", "status"], ...] = ("reset", "truncate", "corrupt", "status")
    kind = world.chance.choice(kinds)
    part = world.chance.choice(["part*", "*.conda", "*"])
    judge.detail = f"{kind} {part}"
    world.server.fault(
        f"/files/*{part}", Fault(kind, after=world.chance.randrange(100_000), times=world.chance.choice([1, 3, None]))
    )
    done = world.run(world.sync(target))
    world.server.heal()
    judge.ended(done.returncode, done.stdout + done.stderr, {0, 3, 4})
    if done.returncode == 4:
        left = [
            found.path
            for found in survey(world.cache)
            if found.holding and found.holding.stay in {"lease", "temporary"}
        ]
        if left:
            judge.fault(f"left in the cache: {left}")
    judge.after(target)
    judge.mended(world.chance.choice(RELEASES))


def hostile_packages(world: World, judge: Judge) -> None:
    """Packages that want more than their place are refused, or do no harm; some of each world, in turn."""
    outside, place = world.root / "outside", world.volume / "envs" / "hostile"
    prefix = world.volume / "hostile" / "env"
    for _ in range(HOSTILE_AT_ONCE):
        name, verdict, lock = next(world.hostile)(place, outside)
        code = _sync_here(lock, prefix, world.cache)
        may = {4} if verdict == "refused" else {0, 2, 4}
        judge.detail = name
        judge.ended(code, "", may)
        if links_out(prefix):
            judge.fault(f"links lead out: {links_out(prefix)}")
        if code and prefix.exists():
            judge.fault("something of it stays")
        if prefix.exists():
            remove(prefix)
        judge.after()
        remove(place)
    judge.mended(world.chance.choice(RELEASES))


def _sync_here(lock: Lockfile, prefix: Path, cache: Path) -> int:
    """Sync in this process, which is quick; the exit code."""
    options = SyncOptions(cache_dir=cache, interpreter=Path(sys.executable), wait_seconds=30)
    try:
        asyncio.run(sync_prefix(lock, prefix, options, Reporter(), FolderDownloads()))
    except DataloaderError as error:
        return int(error.exit_code)
    return 0


Event = Callable[[World, Judge], None]
EVENTS: tuple[Event, ...] = (
    killed_by_time,
    killed_by_call,
    killed_beside,
    killed_generation,
    prunes_beside_syncs,
    container_killed,
    full_volume,
    damaged_cache,
    bad_server,
    hostile_packages,
)


def why_not(event: Event) -> str | None:
    """Why an event cannot be played on this machine; ``None`` when it can."""
    if event is killed_by_call and not _works(*STRACE, "-o", os.devnull, "true"):
        return "strace is not there, or may not trace"
    if event is container_killed and not _works("unshare", "-m", "-p", "-f", "--mount-proc", "true"):
        return "unshare is not there, or namespaces may not be made"
    if event is full_volume and not _can_mount():
        return "a tmpfs cannot be mounted here"
    return None


@cached
def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@cached
def _can_mount() -> bool:
    return _works("unshare", "-m", "sh", "-c", "mount -t tmpfs none /tmp") and os.geteuid() == 0


def other(world: World) -> str:
    """The release that the prefix does not hold."""
    return RELEASES[world.release_of(world.prefix) == RELEASES[0]]


def assignments(world: World) -> Iterator[str]:
    """The environment of a process, for env(1)."""
    return (f"{name}={value}" for name, value in world.environ.items())


def kill(world: World, command: list[str], how: signal.Signals, within: float) -> tuple[int, str]:
    """Start a command, kill it at a moment of chance, and return how it ended and what it said."""
    process = world.start(command)
    try:
        process.wait(world.chance.uniform(0.05, within))
    except subprocess.TimeoutExpired:
        process.send_signal(how)
    output, _ = process.communicate()
    return process.returncode, output


def damage(world: World, path: Path) -> str:
    """Do something to a file, and say what."""
    data = bytearray(path.read_bytes())
    how = world.chance.choice(["flip", "cut", "empty", "remove"] if data else ["remove"])
    if how == "remove":
        path.unlink()
        return how
    if how == "flip":
        data[world.chance.randrange(len(data))] ^= 1 << world.chance.randrange(8)
    path.write_bytes(bytes({"flip": data, "cut": data[: len(data) // 2], "empty": bytearray()}[how]))
    return how


_PROFILES: dict[tuple[str, str, bool], list[tuple[str, int]]] = {}


def _calls(world: World, before: str, target: str, is_cold: bool) -> list[tuple[str, int]]:
    """The calls that an undisturbed sync makes: name, and the how many-th of that name in its thread."""
    key = (before, target, is_cold)
    if key not in _PROFILES:
        aside = world.root / "home" / "profile"
        shutil.copytree(world.volume, aside / "volume", symlinks=True)
        log = aside / "log"
        _prepare(world, is_cold)
        world.run([*STRACE, "-qq", "-o", str(log), "-e", f"trace={CALLS}", *world.sync(target)])
        seen: Counter[tuple[str, str]] = Counter()
        calls = []
        for thread, name in re.findall(r"^(\d+) +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE):
            seen[thread, name] += 1
            calls.append((name, seen[thread, name]))
        _PROFILES[key] = calls
        remove(aside)
        back = world.run(world.sync(before) if before in RELEASES else ["rm", "-rf", str(world.prefix)])
        assert back.returncode == 0, back.stderr
    return _PROFILES[key]


def _prepare(world: World, is_cold: bool) -> None:
    if is_cold:
        remove(world.cache)
