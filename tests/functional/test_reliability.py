"""The events of ``tests.reliability`` that no other test plays, one of each; ``nox -s reliability`` plays all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.__main__ import a_world, play
from tests.reliability.events import (
    damaged_cache,
    full_volume,
    killed_beside,
    killed_by_call,
    prunes_beside_syncs,
    why_not,
)
from tests.reliability.judge import Figures

EVENTS = (prunes_beside_syncs, killed_by_call, full_volume, killed_beside, damaged_cache)
"""The others are those of ``test_sync_killed.py``, ``test_sync_cut_off.py`` and ``test_hostile_packages.py``."""


@pytest.mark.slow
def test_one_event_of_each_kind(tmp_path: Path) -> None:
    events = [event for event in EVENTS if not why_not(event)]
    figures = Figures()
    with a_world(tmp_path, seed=7, small=full_volume in events) as world:
        assert world.run(world.sync("1")).returncode == 0
        play(world, events, figures, until=float("inf"), count=len(events), is_patient=False)

    assert figures.faults == []
    assert sum(figures.events.values()) == len(events) >= 3
