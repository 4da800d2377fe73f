"""verify of the torch environment against ``ldd -r`` over the same libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from dataloader.base.sealed import seal, unseal
from tests.bench.results import Result, memory, ratio
from tests.bench.tools import World, alternate, calm, dataloader, peak_memory, timed

_MEMORY = 300 << 20


def verify(world: World, requirements: tuple[str, ...], python: str) -> Iterator[Result]:
    """With cold facts, with cached facts, of an unchanged prefix; and peak memory.

    Cold: nothing is known of any library, the hashes of unchanged files are. Judged anew: the facts are kept, the
    report is not. ``ldd -r`` neither hashes nor reads GPU code nor any record.
    """
    here = world.directory("verify")
    prefix, facts = here / "env", here / "cache" / "facts"
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"))
    timed([dataloader(), "lock", f"--python={python}", "--cuda=12.1", *requirements], cwd=here, env=env)
    timed([dataloader(), "sync", "-p", str(prefix)], cwd=here, env=env)
    calm()
    command = [dataloader(), "verify", "-p", str(prefix)]
    libraries = [str(path) for path in prefix.rglob("*.so*") if path.is_file() and not path.is_symlink()]

    def first() -> float:
        shutil.rmtree(facts, ignore_errors=True)
        return timed(command, cwd=here, env=env)

    def cold() -> float:
        forget(facts, everything=True)
        return timed(command, cwd=here, env=env)

    def anew() -> float:
        forget(facts, everything=False)
        return timed(command, cwd=here, env=env)

    def again() -> float:
        return timed(command, cwd=here, env=env)

    def ldd() -> float:
        started = time.perf_counter()
        # It fails where a symbol is undefined, and says so of 4,000 that are not.
        subprocess.run(["ldd", "-r", *libraries], capture_output=True, check=False, env=env)
        return time.perf_counter() - started

    (whole,) = alternate(1, first)
    cold_s, anew_s, again_s, ldd_s = alternate(world.runs, cold, anew, again, ldd)
    yield ratio("verify, cold facts", [cold_s, ldd_s], 0.5, "ldd -r")
    yield ratio("verify again", [again_s, ldd_s], 0.1, "ldd -r")
    yield ratio("verify, judged anew", [anew_s, ldd_s], None, "ldd -r")
    yield ratio("verify, first, with hashes", [whole, ldd_s], None, "ldd -r")
    forget(facts, everything=True)
    peak = peak_memory(command, cwd=here, env=env)
    yield memory("peak memory of verify", peak, _MEMORY)


def forget(facts: Path, *, everything: bool) -> None:
    """Remove the last report; with ``everything`` all that is known of libraries too, but no hash of a file."""
    for said in (*facts.glob("prefix-*/*.memo.json"), *facts.glob("prefix-*/*.answer")):
        said.unlink()
    if everything:
        for folder in facts.glob("elf-*"):
            shutil.rmtree(folder)
        for state in facts.glob("prefix-*/*.json"):
            known = {**json.loads(unseal(state.read_bytes())), "sufficed": {}, "missing": {}, "opened": {}}
            state.write_bytes(seal(json.dumps(known).encode()))
