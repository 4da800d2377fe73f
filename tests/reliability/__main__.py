"""``python -m tests.reliability [--minutes M] [--seed N] [--only EVENT] [--keep]``: events by chance, and figures."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.server import IndexServer
from tests.reliability.events import EVENTS, Event, full_volume, why_not
from tests.reliability.judge import Figures, Judge
from tests.reliability.world import World, furnish, make_world

EVENTS_OF_A_WORLD = 40


@contextmanager
def a_world(folder: Path, seed: int, *, small: bool) -> Iterator[World]:
    """A fresh world; ``small``: its volume is one of 60 MB in memory, which can be filled."""
    with IndexServer(folder / "shelf") as server:
        world = make_world(folder / "world", server, seed)
        if small:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", world.volume], check=True)
            furnish(world.volume)
        try:
            yield world
        finally:
            if small:
                subprocess.run(["umount", "-l", world.volume], check=True)


def play(
    world: World, events: Sequence[Event], figures: Figures, *, until: float, count: int, is_patient: bool = True
) -> None:
    """Play events by chance, each judged; the cache is looked through after every fourth, and at the end."""
    for number in range(count):
        if time.monotonic() > until:
            break
        event = events[number] if count == len(events) else world.chance.choice(events)
        judge = Judge(world, figures, event.__name__, is_patient=is_patient)
        try:
            event(world, judge)
            if number % 4 == 3 or number == count - 1:
                judge.cache_is_clean()
        except Exception:  # noqa: BLE001  (a fault of the harness is one of the figures)
            judge.fault(traceback.format_exc())


def main() -> int:
    """Play until the time is over; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--only", action="append", choices=[event.__name__ for event in EVENTS])
    asked = parser.parse_args()
    figures, until, seed = Figures(), time.monotonic() + asked.minutes * 60, asked.seed
    events = [event for event in EVENTS if not asked.only or event.__name__ in asked.only]
    for event in events:
        if reason := why_not(event):
            print(f"left out: {event.__name__}: {reason}")
    events = [event for event in events if not why_not(event)]
    print(f"seed {seed}", flush=True)
    while time.monotonic() < until:
        small = seed % 2 == 0 and full_volume in events
        with tempfile.TemporaryDirectory() as folder, a_world(Path(folder), seed, small=small) as world:
            playable = [event for event in events if small or event is not full_volume]
            play(world, playable, figures, until=until, count=EVENTS_OF_A_WORLD)
        print(f"... {figures.summary().splitlines()[0]}", flush=True)
        seed += 1
    print(figures.summary())
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
