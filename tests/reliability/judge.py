"""The judge of an event: what lies in the prefix, in the cache and outside of both, before, after and once mended."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dataloader.base.reporter import Reporter
from dataloader.install.store.caches import verify_cache
from dataloader.install.store.holdings import is_left_over, survey
from dataloader.install.store.pruning import prune_cache
from tests.reliability.world import TORN, World

MAY_END = {0, 3, 130, -2, -9, -15, 137, 143}
"""Exit codes of a process that was disturbed: done, try again later, interrupted, killed."""
AGE = 2 * 3600
"""Seconds by which the judge lets time pass, so that what nobody can judge from here is old."""


@dataclass
class Figures:
    """What was played, and what was found."""

    events: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds of the longest sync after an event."""
    faults: list[str] = field(default_factory=list)

    def fault(self, event: str, text: str) -> None:
        """Note a broken promise."""
        self.faults.append(f"{event}: {text}")

    def summary(self) -> str:
        """For people."""
        lines = [f"{sum(self.events.values())} events, {len(self.faults)} faults"]
        lines += [f"  {count:5} {name}" for name, count in sorted(self.events.items())]
        lines += [f"  ends: {dict(sorted(self.ends.items()))}", f"  slowest sync after an event: {self.slowest:.1f} s"]
        return "\n".join([*lines, *(f"FAULT {fault}" for fault in self.faults)])


@dataclass
class Judge:
    """Looks at a world around one event."""

    world: World
    figures: Figures
    event: str
    detail: str = ""
    is_patient: bool = True
    """Whether to wait until what cannot be judged from here may be taken for dead."""

    def __post_init__(self) -> None:
        self._outside = self.world.outside()
        self._before = self.world.release_of(self.world.prefix)
        self.figures.events[self.event] += 1

    def fault(self, text: str) -> None:
        """A promise is broken."""
        self.figures.fault(f"{self.event} {self.detail}".strip(), text)

    def ended(self, code: int, output: str, may: set[int] = MAY_END) -> None:
        """Judge how a disturbed process ended."""
        self.figures.ends[str(code)] += 1
        if code not in may:
            self.fault(f"exit code {code}: {output[-600:]}")
        if "Traceback" in output:
            self.fault(f"a traceback: {output[-1500:]}")

    def after(self, *targets: str) -> None:
        """The environment is the old one or one that somebody was making; nothing outside has changed."""
        now = self.world.release_of(self.world.prefix)
        if now not in {self._before, *targets} or now.startswith(TORN):
            self.fault(f"the prefix holds {now}, after {self._before}, on the way to {targets}")
        self._look_outside()
        unknown = [found.path for found in survey(self.world.cache) if found.holding is None]
        if unknown:
            self.fault(f"the inventory does not know {unknown}")

    def mended(self, release: str, *, seconds: float = 60.0, stale: float = 0.0) -> None:
        """The next sync ends well, and nothing is left of what was before.

        Args:
            seconds: How long it may take.
            stale: Seconds after which what cannot be judged from here may be taken for dead. A sync with nothing to do
                does not wait so long; one that comes later clears up.
        """
        began = time.monotonic()
        done = self.world.run(self.world.sync(release))
        took = time.monotonic() - began
        self.figures.slowest = max(self.figures.slowest, took)
        output = done.stdout + done.stderr
        if done.returncode != 0 or "Traceback" in output:
            self.fault(f"the next sync ended with {done.returncode}: {output[-1500:]}")
            return
        if took > seconds:
            self.fault(f"the next sync took {took:.1f} s")
        if self.world.release_of(self.world.prefix) != release:
            self.fault(f"the next sync left {self.world.release_of(self.world.prefix)}")
        if stale and not self.is_patient:
            return
        if stale and self._beside():
            time.sleep(stale)
            self.ended(self.world.run(self.world.sync(release)).returncode, "", {0})
        if self._beside():
            self.fault(f"beside the prefix: {self._beside()}")
        self._look_outside()

    def cache_is_clean(self) -> None:
        """After a prune, an hour later, the cache holds nothing that is unknown, left over or damaged."""
        cache = self.world.cache
        grow_old(cache)
        prune_cache(cache)
        left = [found.path for found in survey(cache) if found.holding is None or is_left_over(cache, found)]
        waiting = [
            found.path for found in survey(cache) if found.holding and found.holding.stay in {"temporary", "lease"}
        ]
        if left or waiting:
            self.fault(f"left in the cache: {left or waiting}")
        damaged = verify_cache(cache, Reporter()).names
        if damaged:
            self.fault(f"damaged in the cache: {damaged}")

    def _beside(self) -> list[str]:
        return [path.name for path in self.world.volume.glob(".env.dataloader-*")]

    def _look_outside(self) -> None:
        now = self.world.outside()
        changed = sorted(path for path in {*now, *self._outside} if now.get(path) != self._outside.get(path))
        if changed:
            self.fault(f"changed outside: {changed}")
            self._outside = now


def grow_old(cache: Path) -> None:
    """As if two hours had gone by for all but packages."""
    for found in survey(cache):
        if found.holding and found.holding.stay != "package":
            path = cache / found.path
            then = path.lstat().st_mtime - AGE
            os.utime(path, (then, then), follow_symlinks=False)
